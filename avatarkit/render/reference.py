"""The float64 rasterizer: short, obviously right, slow.  The oracle of the fast one and of every plugin.

Plain torch, gradients by autograd, every pixel against every Gaussian.  The equations are those of Kerbl et al. (SIGGRAPH
2023) with the EWA projection of Zwicker et al. (2001) and the conventions of ``contracts.Rasterizer``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Render
from avatarkit.render.arguments import Scene, checked

LOW_PASS, PIXEL, ALPHA_CUT, ALPHA_CAP, NEAR, STOP = 0.3, 0.1, 1.0 / 255.0, 0.999, 0.01, 1e-4


class ReferenceRasterizer:
    """``contracts.Rasterizer`` in float64.  Memory grows with N·H·W: for small scenes.

    ``ambiguous`` (B, H, W) bool, of the last call: pixels where some α is within 1e-4 (relative) of the cut or the cap, or a
    transmittance of the stop.  There float32 may decide otherwise, and a comparison with it has to leave them out.
    """

    name = "reference"
    capabilities = frozenset({"top", "antialiased", "camera_gradients", "absgrad"})
    ambiguous: Tensor

    def render(
        self,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        features: Tensor,
        cameras: Cameras,
        *,
        background: Tensor | None = None,
        masks: Tensor | None = None,
        antialiased: bool = False,
        top: bool = False,
        absgrad: bool = False,
    ) -> Render:
        """See ``contracts.Rasterizer.render``.  Outputs are float32."""
        scene = checked(means, quats, scales, opacities, features, cameras, background, masks)
        views = [_render_one(scene, cameras, b, antialiased, absgrad) for b in range(len(cameras))]
        self.ambiguous = torch.stack([v.ambiguous for v in views])
        images, alphas = torch.stack([v.features for v in views]), torch.stack([v.alpha for v in views])
        if scene.background is not None:
            images = images + (1 - alphas) * scene.background.double()
        weights = torch.stack([v.weights for v in views]).detach()  # (B, N, H, W)
        best, index = weights.max(1) if weights.shape[1] else (torch.zeros_like(alphas[:, 0]), None)
        nothing = torch.full_like(best, -1, dtype=torch.int32)

        def mean2d_gradients() -> Tensor:
            return torch.stack([v.mean2d_gradient() for v in views]).float()

        return Render(
            features=images.float(),
            alpha=alphas.float(),
            depth=torch.stack([v.depth for v in views]).float(),
            means2d=torch.stack([v.means2d for v in views]).detach().float(),
            radii=torch.stack([v.radii for v in views]),
            sums=None if masks is None else torch.einsum("bmhw,bnhw->bmn", masks.double(), weights).float(),
            top=(nothing if index is None else torch.where(best > 0, index.int(), nothing)) if top else None,
            mean2d_gradients=mean2d_gradients,
        )


@dataclass
class _View:
    """One camera's results, before the background."""

    features: Tensor
    alpha: Tensor
    depth: Tensor
    means2d: Tensor
    radii: Tensor
    weights: Tensor
    ambiguous: Tensor
    mean2d_gradient: Callable[[], Tensor]


def rotation_matrices(quats: Tensor) -> Tensor:
    """(N, 4) wxyz of any non-zero length → (N, 3, 3)."""
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def _det(matrices: Tensor) -> Tensor:
    return matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]


def _render_one(scene: Scene, cameras: Cameras, view: int, antialiased: bool, absgrad: bool) -> _View:
    means, quats, scales, opacities, features = (t[view % len(t)].double() for t in scene.tensors)
    width, height, count = cameras.width, cameras.height, len(means)
    viewmat, K = cameras.viewmats[view].double(), cameras.Ks[view].double()
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]

    everything = torch.cat([means, quats, scales, opacities[:, None], features], 1)
    usable = everything.isfinite().all(1) & (quats.norm(dim=1) > 1e-12) & (scales > 0).all(1) & (opacities > 0)
    safe_mean = torch.zeros(3).to(means)
    camera_means = torch.where(usable[:, None], means, safe_mean) @ viewmat[:3, :3].T + viewmat[:3, 3]
    usable = usable & (camera_means.detach()[:, 2] >= NEAR)

    order = torch.nonzero(usable)[:, 0]
    order = order[torch.argsort(camera_means.detach()[order, 2].float(), stable=True)]  # ties: by index
    x, y, z = camera_means[order].unbind(-1)

    # Σ = R S Sᵀ Rᵀ; Σ' = J W Σ Wᵀ Jᵀ + 0.3 I (0.1 I antialiased).  J's x/z is clamped a little outside the image, as in gsplat.
    factor = rotation_matrices(quats[order]) * scales[order, None, :]
    factor = viewmat[:3, :3] @ factor
    margin_x, margin_y = 0.15 * width / fx.detach(), 0.15 * height / fy.detach()
    left, right = -cx.detach() / fx.detach() - margin_x, (width - cx.detach()) / fx.detach() + margin_x
    upper, lower = -cy.detach() / fy.detach() - margin_y, (height - cy.detach()) / fy.detach() + margin_y
    u, v, zero = (x / z).clamp(left, right), (y / z).clamp(upper, lower), torch.zeros_like(z)
    jacobian = torch.stack([fx / z, zero, -fx * u / z, zero, fy / z, -fy * v / z], -1).unflatten(-1, (2, 3))
    root = jacobian @ factor
    thin = root @ root.transpose(1, 2)
    covariance = thin + (PIXEL if antialiased else LOW_PASS) * torch.eye(2).to(thin)
    means2d = torch.stack([fx * x / z + cx, fy * y / z + cy], -1)
    opacity = opacities[order]
    if antialiased:
        opacity = opacity * (_det(thin) / _det(covariance)).clamp_min(1e-14).sqrt()

    # Every pixel has its own copy of the means, so that |∂/∂mean| can be summed over pixels too.
    offsets = torch.zeros(len(order), height, width, 2, dtype=torch.float64, requires_grad=torch.is_grad_enabled())
    if offsets.requires_grad:
        offsets.retain_grad()
    columns, rows = torch.arange(width).to(means) + 0.5, torch.arange(height).to(means) + 0.5
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
    delta = pixels - means2d[:, None, None] - offsets
    conic = torch.linalg.inv(covariance)[:, None, None]
    distance = (delta[..., None, :] @ conic @ delta[..., None])[..., 0, 0]
    uncapped = opacity[:, None, None] * torch.exp(-0.5 * distance)
    alpha = uncapped.clamp_max(ALPHA_CAP)
    alpha = torch.where(alpha >= ALPHA_CUT, alpha, 0.0)
    before = torch.cat([torch.ones_like(alpha[:1]), torch.cumprod(1 - alpha, 0)])[:-1]
    weights = torch.where(before >= STOP, alpha * before, 0.0)

    with torch.no_grad():
        decisions = torch.cat([uncapped / ALPHA_CUT, uncapped / ALPHA_CAP, before / STOP])
        ambiguous = ((decisions - 1).abs() < 1e-4).any(0)

    coverage = weights.sum(0)
    image = torch.einsum("nhw,nd->dhw", weights, features[order])
    depth = torch.einsum("nhw,n->hw", weights, z) / torch.where(coverage > 0, coverage, 1.0)

    all_weights = torch.zeros(count, height, width).to(weights)
    all_weights[order] = weights.detach()
    shown = torch.zeros(count, dtype=torch.bool)
    shown[order] = (weights.detach() > 0).flatten(1).any(1)
    full_means2d, radii = torch.zeros(count, 2).to(means), torch.zeros(count, dtype=torch.int32)
    full_means2d[order] = means2d.detach()
    reach = 2 * torch.log(opacity.detach() / ALPHA_CUT).clamp_min(0)
    extent = (reach * covariance.detach().diagonal(dim1=1, dim2=2).amax(1)).sqrt().ceil()
    radii[order] = extent.clamp_max(2**30).int()
    radii[~shown] = 0

    def mean2d_gradient() -> Tensor:
        """(N, 2): the sum over pixels of each pixel's own gradient, or of its absolute value."""
        full = torch.zeros(count, 2, dtype=torch.float64)
        if offsets.grad is not None:
            full[order] = (offsets.grad.abs() if absgrad else offsets.grad).sum((1, 2))
        return full

    return _View(image, coverage[None], depth[None], full_means2d, radii, all_weights, ambiguous, mean2d_gradient)
