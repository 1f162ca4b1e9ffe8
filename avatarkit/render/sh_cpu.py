"""Spherical harmonics and their derivatives for Numba kernels: ``avatarkit.render.sh`` by hand."""

from __future__ import annotations

import numpy as np

from avatarkit.render.compiled import kernel

_f = np.float32
_C1 = _f(0.4886025119029199)
_C2, _C3, _C4 = _f(1.0925484305920792), _f(0.31539156525252005), _f(0.5462742152960396)
_C5, _C6, _C7 = _f(-0.5900435899266435), _f(2.890611442640554), _f(-0.4570457994644658)
_C8, _C9 = _f(0.3731763325901154), _f(1.445305721320277)
_D1, _D2, _D3 = _f(2.5033429417967046), _f(-1.7701307697799304), _f(0.9461746957575601)
_D4, _D5, _D6, _D7 = _f(-0.6690465435572892), _f(0.10578554691520431), _f(0.47308734787878004), _f(0.6258357354491761)
_TWO, _THREE, _FOUR, _SIX, _SEVEN = _f(2), _f(3), _f(4), _f(6), _f(7)
_ONE, _EIGHT, _TWELVE, _FOURTEEN, _TWENTY_ONE = _f(1), _f(8), _f(12), _f(14), _f(21)
_THIRTY, _THIRTY_FIVE, _SIXTY, _HUNDRED_FORTY = _f(30), _f(35), _f(60), _f(140)


@kernel
def fill_basis(x, y, z, degree, basis):  # type: ignore[no-untyped-def]
    """Y_1 … into ``basis``, float32 ((degree + 1)²,); Y_0 is left to the caller.  (x, y, z) is a unit direction."""
    basis[1] = -_C1 * y
    basis[2] = _C1 * z
    basis[3] = -_C1 * x
    if degree >= 2:
        xx, yy, zz = x * x, y * y, z * z
        basis[4] = _C2 * x * y
        basis[5] = -_C2 * y * z
        basis[6] = _C3 * (_TWO * zz - xx - yy)
        basis[7] = -_C2 * x * z
        basis[8] = _C4 * (xx - yy)
        if degree >= 3:
            basis[9] = _C5 * y * (_THREE * xx - yy)
            basis[10] = _C6 * x * y * z
            basis[11] = _C7 * y * (_FOUR * zz - xx - yy)
            basis[12] = _C8 * z * (_TWO * zz - _THREE * xx - _THREE * yy)
            basis[13] = _C7 * x * (_FOUR * zz - xx - yy)
            basis[14] = _C9 * z * (xx - yy)
            basis[15] = _C5 * x * (xx - _THREE * yy)
            if degree >= 4:
                basis[16] = _D1 * x * y * (xx - yy)
                basis[17] = _D2 * y * z * (_THREE * xx - yy)
                basis[18] = _D3 * x * y * (_SEVEN * zz - _ONE)
                basis[19] = _D4 * y * z * (_SEVEN * zz - _THREE)
                basis[20] = _D5 * (zz * (_THIRTY_FIVE * zz - _THIRTY) + _THREE)
                basis[21] = _D4 * x * z * (_SEVEN * zz - _THREE)
                basis[22] = _D6 * (xx - yy) * (_SEVEN * zz - _ONE)
                basis[23] = _D2 * x * z * (xx - _THREE * yy)
                basis[24] = _D7 * (xx * (xx - _THREE * yy) - yy * (_THREE * xx - yy))


@kernel
def direction_gradient(x, y, z, degree, g):  # type: ignore[no-untyped-def]
    """Σ_k g_k ∂Y_k/∂(x, y, z) for ``g`` float32 ((degree + 1)²,), as three numbers."""
    gx, gy, gz = -_C1 * g[3], -_C1 * g[1], _C1 * g[2]
    if degree >= 2:
        xx, yy, zz = x * x, y * y, z * z
        xy, yz, xz = x * y, y * z, x * z
        gx += _C2 * (y * g[4] - z * g[7]) + _TWO * x * (_C4 * g[8] - _C3 * g[6])
        gy += _C2 * (x * g[4] - z * g[5]) - _TWO * y * (_C4 * g[8] + _C3 * g[6])
        gz += -_C2 * (y * g[5] + x * g[7]) + _FOUR * _C3 * z * g[6]
        if degree >= 3:
            difference = _THREE * (xx - yy)
            gx += _C5 * (_SIX * xy * g[9] + difference * g[15]) + _C6 * yz * g[10]
            gx += _C7 * ((_FOUR * zz - _THREE * xx - yy) * g[13] - _TWO * xy * g[11])
            gx += xz * (_TWO * _C9 * g[14] - _SIX * _C8 * g[12])
            gy += _C5 * (difference * g[9] - _SIX * xy * g[15]) + _C6 * xz * g[10]
            gy += _C7 * ((_FOUR * zz - xx - _THREE * yy) * g[11] - _TWO * xy * g[13])
            gy += -yz * (_TWO * _C9 * g[14] + _SIX * _C8 * g[12])
            gz += _C6 * xy * g[10] + _EIGHT * _C7 * (yz * g[11] + xz * g[13])
            gz += _C8 * (_SIX * zz - _THREE * xx - _THREE * yy) * g[12] + _C9 * (xx - yy) * g[14]
            if degree >= 4:
                a, b = _THREE * xx - yy, xx - _THREE * yy
                c, d, e = _SEVEN * zz - _ONE, _SEVEN * zz - _THREE, _TWENTY_ONE * zz - _THREE
                gx += _D1 * y * a * g[16] + _D2 * z * (_SIX * xy * g[17] + difference * g[23]) + _D3 * y * c * g[18]
                gx += _D4 * z * d * g[21] + _TWO * _D6 * x * c * g[22] + _D7 * x * (_FOUR * xx - _TWELVE * yy) * g[24]
                gy += _D1 * x * b * g[16] + _D2 * z * (difference * g[17] - _SIX * xy * g[23]) + _D3 * x * c * g[18]
                gy += _D4 * z * d * g[19] - _TWO * _D6 * y * c * g[22] + _D7 * y * (_FOUR * yy - _TWELVE * xx) * g[24]
                gz += _D2 * (y * a * g[17] + x * b * g[23]) + _FOURTEEN * z * (
                    _D3 * xy * g[18] + _D6 * (xx - yy) * g[22]
                )
                gz += _D4 * e * (y * g[19] + x * g[21]) + _D5 * z * (_HUNDRED_FORTY * zz - _SIXTY) * g[20]
    return gx, gy, gz
