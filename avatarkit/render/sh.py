"""Real spherical harmonics up to degree 4, in the order and with the signs of 3D Gaussian splatting (Kerbl et al. 2023).

Basis functions as in Sloan, "Efficient Spherical Harmonic Evaluation" (JCGT 2013), polynomials in the unit direction.  A
colour is max(0, 0.5 + Σ_k sh_k · Y_k(direction)), so that zero coefficients are mid grey.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatarkit.errors import InputError

MAX_DEGREE = 4
Y00 = 0.28209479177387814


def sh_basis(directions: Tensor, degree: int) -> Tensor:
    """Y_k of unit ``directions`` (…, 3) → (…, (degree + 1)²), same dtype.  Raises InputError for a degree outside 0 to 4."""
    if not 0 <= degree <= MAX_DEGREE:
        raise InputError(f"spherical-harmonic degree {degree}; expected 0 to {MAX_DEGREE}")
    x, y, z = directions.unbind(-1)
    basis = [torch.full_like(x, Y00)]
    if degree >= 1:
        basis += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    xx, yy, zz, xy, yz, xz = x * x, y * y, z * z, x * y, y * z, x * z
    if degree >= 2:
        basis += [
            1.0925484305920792 * xy,
            -1.0925484305920792 * yz,
            0.31539156525252005 * (2.0 * zz - xx - yy),
            -1.0925484305920792 * xz,
            0.5462742152960396 * (xx - yy),
        ]
    if degree >= 3:
        basis += [
            -0.5900435899266435 * y * (3.0 * xx - yy),
            2.890611442640554 * xy * z,
            -0.4570457994644658 * y * (4.0 * zz - xx - yy),
            0.3731763325901154 * z * (2.0 * zz - 3.0 * xx - 3.0 * yy),
            -0.4570457994644658 * x * (4.0 * zz - xx - yy),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3.0 * yy),
        ]
    if degree >= 4:
        basis += [
            2.5033429417967046 * xy * (xx - yy),
            -1.7701307697799304 * yz * (3.0 * xx - yy),
            0.9461746957575601 * xy * (7.0 * zz - 1.0),
            -0.6690465435572892 * yz * (7.0 * zz - 3.0),
            0.10578554691520431 * (zz * (35.0 * zz - 30.0) + 3.0),
            -0.6690465435572892 * xz * (7.0 * zz - 3.0),
            0.47308734787878004 * (xx - yy) * (7.0 * zz - 1.0),
            -1.7701307697799304 * xz * (xx - 3.0 * yy),
            0.6258357354491761 * (xx * (xx - 3.0 * yy) - yy * (3.0 * xx - yy)),
        ]
    return torch.stack(basis, -1)


def sh_colours(sh: Tensor, directions: Tensor | None, degree: int) -> Tensor:
    """Colours (N, 3) ≥ 0 of ``sh`` (N, K, 3), K ≥ (degree + 1)², seen along unit ``directions`` (N, 3).

    ``directions`` may be None for degree 0, which does not depend on them.
    """
    if degree == 0:
        return torch.relu(0.5 + Y00 * sh[:, 0])
    if directions is None:
        raise InputError(f"spherical harmonics of degree {degree} need view directions")
    basis = sh_basis(directions, degree)
    return torch.relu(0.5 + (basis[:, :, None] * sh[:, : basis.shape[1]]).sum(1))
