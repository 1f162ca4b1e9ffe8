"""What the skin looks like: one albedo per surface point, low-order lighting for each camera, one exposure per picture.

    value[f, i] ≈ exposure[f] · (Σ_k light[c, k] · Y_k(normal[f, i])) · albedo[i]

Lighting stands still in the world while the head turns in it; Y are the nine spherical harmonics up to degree 2, which hold
99 % of a distant light's effect on a matt surface (Ramamoorthi and Hanrahan 2001).  Solved by turns, each a small linear problem,
robustly: a hand, hair or a highlight passes over a point and is not its albedo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatarkit.types import Float32Array, FloatArray, IntArray

HARMONICS = 9
HELD = 0.02  # of the lighting's own weight: how strongly its directed part is held at nothing
GAIN_HELD = 0.05  # likewise, exposures at one


@dataclass
class Appearance:
    """albedo (N,) in [0, 1]; light (C, 9); exposure (F,); noise (N,): how badly each point is explained, a standard deviation."""

    albedo: Float32Array
    light: FloatArray
    exposure: FloatArray
    noise: Float32Array

    def shade(self, harmonics: Float32Array, frame: int, camera: int) -> Float32Array:
        """(N,) what albedo is multiplied by in one picture; harmonics (N, 9)."""
        bright = harmonics @ self.light[camera].astype(np.float32)
        return np.asarray(self.exposure[frame] * np.maximum(bright, 0.1), np.float32)


def harmonics_of(normals: Float32Array) -> Float32Array:
    """(…, 3) unit normals → (…, 9) values of the harmonics, unnormalised: 1, y, z, x, xy, yz, 3z² − 1, xz, x² − y²."""
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    one = np.ones_like(x)
    rows = [one, y, z, x, x * y, y * z, 0.5 * (3 * z * z - 1), x * z, 0.5 * (x * x - y * y)]
    return np.stack(rows, -1).astype(np.float32)


def fit_appearance(
    values: Float32Array, trust: Float32Array, normals: Float32Array, cameras: IntArray, before: Appearance | None,
    rounds: int = 2,
) -> Appearance:  # fmt: skip
    """Albedo, lighting and exposures that explain ``values`` best.

    values, trust (F, N): what each picture shows at each point, and how far that counts (0 where it is hidden); normals
    (F, N, 3) world; cameras (F,).  before: where to start, else no directed light.
    """
    pictures, count = values.shape
    lamps = int(cameras.max()) + 1
    if before is None:
        light = np.zeros((lamps, HARMONICS))
        light[:, 0] = 1.0
        before = Appearance(np.zeros(count, np.float32), light, np.ones(pictures), np.zeros(count, np.float32))
    look = Appearance(before.albedo, before.light.copy(), before.exposure.copy(), before.noise)
    some = np.unique(np.linspace(0, pictures - 1, min(pictures, 80)).astype(int))  # enough for nine numbers
    for _ in range(rounds):
        shade = np.stack([look.shade(harmonics_of(normals[f]), f, int(cameras[f])) for f in range(pictures)])
        look.albedo, residual, robust = robust_albedo(values, trust, shade)
        for camera in range(lamps):
            own = some[cameras[some] == camera]
            if not len(own):
                continue
            basis = np.concatenate([harmonics_of(normals[f]) * look.albedo[:, None] * look.exposure[f] for f in own])
            weight = robust[own].reshape(-1)
            normal = basis.T @ (basis * weight[:, None])
            side = basis.T @ (values[own].reshape(-1) * weight)
            held = HELD * normal[0, 0] * np.r_[1e-6, np.ones(HARMONICS - 1)]
            look.light[camera] = np.linalg.solve(
                normal + np.diag(held), side + held * np.r_[1.0, np.zeros(HARMONICS - 1)]
            )
        shade = np.stack([look.shade(harmonics_of(normals[f]), f, int(cameras[f])) for f in range(pictures)])
        model = shade * look.albedo
        inner, own_inner = (robust * model * values).sum(1), (robust * model * model).sum(1)
        typical = GAIN_HELD * max(float(np.median(own_inner)), 1e-9)
        look.exposure = look.exposure * (inner + typical) / (own_inner + typical)
        look.exposure /= look.exposure.mean()
    shade = np.stack([look.shade(harmonics_of(normals[f]), f, int(cameras[f])) for f in range(pictures)])
    look.albedo, residual, robust = robust_albedo(values, trust, shade)
    seen = np.maximum(robust.sum(0), 1e-6)
    look.noise = np.sqrt((robust * residual**2).sum(0) / seen).astype(np.float32)
    return look


def robust_albedo(
    values: Float32Array, trust: Float32Array, shade: Float32Array
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Per point the albedo, residuals (F, N), and robust weights (F, N): from Cauchy weights around a first mean, three times."""
    weight = trust
    for _ in range(3):
        top, bottom = (weight * shade * values).sum(0), (weight * shade * shade).sum(0)
        albedo = top / np.maximum(bottom, 1e-9)
        residual = (values - shade * albedo) * (trust > 0)
        spread = max(float(np.sqrt((trust * np.minimum(residual**2, 0.01)).sum() / max(trust.sum(), 1e-9))), 0.01)
        weight = trust / (1.0 + (residual / (1.5 * spread)) ** 2)
    return albedo.astype(np.float32), residual, weight
