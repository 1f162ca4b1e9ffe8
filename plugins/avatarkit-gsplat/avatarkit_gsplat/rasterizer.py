"""``contracts.Rasterizer`` on gsplat's kernels (Ye et al., gsplat: an open-source library for Gaussian splatting, 2024).

gsplat's conventions are ours (alpha cut 1/255, cap 0.999, pixel centres at +0.5; the low-pass is asked for) but for one: a pixel stops *before*
the splat that would take its transmittance below 1e-4, not after it.  Five things that it lacks are made here: gradients by
intrinsics, backgrounds that are images, sums of α·T under masks, the top contributor, and invisibility of unusable splats.

Nothing here waits for the GPU in a training step.  gsplat itself does once a render: it reads how many tiles its splats touch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Render
from avatarkit.errors import InputError
from avatarkit.render.arguments import Scene, checked
from avatarkit_gsplat.kernels import load_kernels

LOW_PASS, PIXEL, NEAR = 0.3, 0.1, 0.01
MOST_CHANNELS = 512  # what gsplat's kernels are instantiated for, less the depth


class GsplatRasterizer:
    """Renders on the GPU.  Raises EnvironmentProblem or MissingDependency, in one line, where it cannot."""

    name = "gsplat"
    device = "cuda"

    def __init__(self) -> None:
        kernels = load_kernels()
        self._rasterization, self._indices = kernels.rasterization, kernels.indices
        top = set() if self._indices is None else {"top"}
        self.capabilities = frozenset({"antialiased", "camera_gradients", "absgrad"} | top)

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
        """See ``contracts.Rasterizer.render``; tensors on one CUDA device."""
        if top and self._indices is None:
            raise InputError(
                "this gsplat does not know the top contributor of a pixel; update it, or use --rasterizer cpu"
            )
        scene = checked(means, quats, scales, opacities, features, cameras, background, masks, device="cuda")
        if scene.features.shape[-1] > MOST_CHANNELS:
            raise InputError(f"features: {scene.features.shape[-1]} channels; gsplat has at most {MOST_CHANNELS}")
        if scene.means.shape[1] == 0:
            return _empty(scene, cameras, masks, top)
        scene = usable_only(scene)
        viewmats = viewmats_with_intrinsics(cameras)
        image, alpha, meta = self._call(scene, scene.features, viewmats, cameras, antialiased, absgrad, "RGB+ED")
        means2d = meta["means2d"]
        if means2d.requires_grad:
            means2d.retain_grad()
        alpha = alpha[..., 0][:, None]
        blended = image[..., :-1].movedim(-1, 1)
        if scene.background is not None:
            blended = blended + (1 - alpha) * scene.background
        shown = (meta["radii"] > 0).all(-1)
        sums = None if masks is None else self._sums(scene, viewmats, cameras, antialiased, masks)
        count = scene.means.shape[1]
        return Render(
            features=blended,
            alpha=alpha,
            depth=torch.where(alpha > 0, image[..., -1][:, None], 0.0),
            means2d=means2d.detach().reshape(len(cameras), count, 2),
            radii=torch.where(shown, meta["radii"].amax(-1), 0).to(torch.int32).reshape(len(cameras), count),
            sums=sums,
            top=self._top(meta, cameras, count) if top else None,
            mean2d_gradients=_mean2d_gradients(means2d, absgrad, len(cameras), count),
        )

    def _call(
        self,
        scene: Scene,
        features: Tensor,
        viewmats: Tensor,
        cameras: Cameras,
        antialiased: bool,
        absgrad: bool,
        mode: str,
    ) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """(B, H, W, D), (B, H, W, 1) and gsplat's meta.

        gsplat takes either one scene for all cameras, or a batch of scenes with cameras of their own: (B, N, 3) means with
        (B, 1, 4, 4) view matrices.  ``features`` may be per camera in both cases.
        """
        batch = len(cameras)
        parts = (scene.means, scene.quats, scene.scales, scene.opacities)
        Ks = cameras.Ks.detach()
        if all(len(part) == 1 for part in parts):
            given = [part[0] for part in parts]
            colours = features[0] if len(features) == 1 else features
        else:
            given = [part.expand(batch, *part.shape[1:]) for part in parts]
            colours = features.expand(batch, *features.shape[1:])
            viewmats, Ks = viewmats[:, None], Ks[:, None]
        image, alpha, meta = self._rasterization(
            *(part.contiguous() for part in given),
            colours.contiguous(),
            viewmats.contiguous(),
            Ks.contiguous(),
            cameras.width,
            cameras.height,
            near_plane=NEAR,
            eps2d=PIXEL if antialiased else LOW_PASS,
            packed=False,
            absgrad=absgrad,
            rasterize_mode="antialiased" if antialiased else "classic",
            render_mode=mode,
            # In chunks, only the last chunk's |∂/∂means2d| would be kept.
            channel_chunk=MOST_CHANNELS + 1 if absgrad else 32,
        )
        size = (batch, cameras.height, cameras.width, -1)
        return image.reshape(size), alpha.reshape(size), meta

    def _sums(self, scene: Scene, viewmats: Tensor, cameras: Cameras, antialiased: bool, masks: Tensor) -> Tensor:
        """(B, M, N): Σ mask·α·T is the gradient of ⟨mask, image of a feature⟩ by that feature, whatever its value."""
        with torch.enable_grad():
            means, quats, scales, opacities, features = (tensor.detach() for tensor in scene.tensors)
            fixed = Scene(means, quats, scales, opacities, features, None)
            shape = (len(cameras), fixed.means.shape[1], masks.shape[1])
            weights = torch.zeros(shape, device=masks.device, requires_grad=True)
            image, _, _ = self._call(fixed, weights, viewmats.detach(), cameras, antialiased, False, "RGB")
            (gradient,) = torch.autograd.grad((image.movedim(-1, 1) * masks).sum(), weights)
        return gradient.transpose(1, 2).contiguous()

    @torch.no_grad()
    def _top(self, meta: dict[str, Any], cameras: Cameras, count: int) -> Tensor:
        """(B, H, W) int32: of every pixel the splat with the largest α·T, from gsplat's list of who blends where."""
        assert self._indices is not None
        batch, height, width = len(cameras), cameras.height, cameras.width
        means2d, conics, opacities = meta["means2d"].detach(), meta["conics"].detach(), meta["opacities"].detach()
        untouched = torch.ones(*means2d.shape[:-2], height, width, device=means2d.device)
        splats, pixels, images = self._indices(
            0, 2**30, untouched, means2d, conics, opacities, width, height, meta["tile_size"], meta["isect_offsets"],
            meta["flatten_ids"],
        )  # fmt: skip
        row = images.long() * count + splats.long()
        x, y = means2d.reshape(-1, 2)[row].unbind(1)
        x, y = pixels % width + 0.5 - x, torch.div(pixels, width, rounding_mode="floor") + 0.5 - y
        a, b, c = conics.reshape(-1, 3)[row].unbind(1)
        alpha = (opacities.reshape(-1)[row] * torch.exp(-0.5 * (a * x * x + c * y * y) - b * x * y)).clamp(max=0.999)
        place = images.long() * (height * width) + pixels.long()
        return top_of_runs(place, splats, alpha, batch * height * width).reshape(batch, height, width)


def top_of_runs(place: Tensor, splats: Tensor, alpha: Tensor, places: int) -> Tensor:
    """(places,) int32: for each place the splat with the largest α·T, the first of equals, −1 where there is none.

    place (M,): pairs of one place stand together, front to back; splats, alpha (M,).
    """
    count = len(place)
    at = torch.arange(count, device=place.device)
    first = torch.ones_like(place, dtype=torch.bool)
    first[1:] = place[1:] != place[:-1]
    passed = torch.log1p(-alpha.double()).cumsum(0)
    before = torch.cat([torch.zeros_like(passed[:1]), passed])[:-1]
    start = torch.where(first, at, 0).cummax(0).values if count else at
    weight = alpha * (before - before[start]).exp()
    best = torch.zeros(places, dtype=weight.dtype, device=place.device).scatter_reduce(0, place, weight, "amax")
    winner = torch.full((places,), count, device=place.device)
    winner = winner.scatter_reduce(0, place, torch.where(weight == best[place], at, count), "amin")
    nobody = torch.full((1,), -1, dtype=torch.int32, device=place.device)
    return torch.cat([splats.to(torch.int32), nobody])[winner]


def usable_only(scene: Scene) -> Scene:
    """Splats with a non-finite parameter, a zero quaternion or a non-positive scale become invisible, without gradients."""
    means, quats, scales, opacities, features = scene.tensors
    with torch.no_grad():  # a sum keeps any NaN and infinity: a few launches in place of twenty
        total = means.sum(-1) + quats.sum(-1) + scales.sum(-1) + features.sum(-1) + opacities
        usable = total.isfinite() & (quats.norm(dim=-1) > 1e-12) & (scales.amin(-1) > 0) & (opacities > 0)
    keep, unit = usable[..., None], torch.zeros_like(quats[:1, :1])
    unit[..., 0] = 1.0
    return Scene(
        torch.where(keep, means, 0.0),
        torch.where(keep, quats, unit),
        torch.where(keep, scales, 1.0),
        torch.where(usable, opacities, 0.0),  # gsplat drops what is fainter than 1/255
        torch.where(keep, features, 0.0),
        scene.background,
    )


def viewmats_with_intrinsics(cameras: Cameras) -> Tensor:
    """View matrices whose gradient reaches ``cameras.Ks`` too, which gsplat treats as constants.

    K·x = K₀·(K₀⁻¹K)·x, so with A = K₀⁻¹K (the identity in value, K₀ a constant) every use of K is a change of the camera's
    frame: projecting A·W·x with K₀ has the value and both derivatives of projecting W·x with K.
    """
    if not cameras.Ks.requires_grad:
        return cameras.viewmats
    fixed = cameras.Ks.detach()
    used = torch.tensor([[1.0, 0, 1], [0, 1, 1], [0, 0, 0]]).to(fixed)  # focal lengths and principal point; no skew
    change = torch.linalg.solve(fixed, torch.where(used > 0, cameras.Ks, fixed))
    change = change - change.detach() + torch.eye(3).to(change)
    return torch.cat([change @ cameras.viewmats[:, :3], cameras.viewmats[:, 3:]], 1)


def _mean2d_gradients(means2d: Tensor, absgrad: bool, batch: int, count: int) -> Callable[[], Tensor]:
    def gradients() -> Tensor:
        """(B, N, 2), zero before ``backward``."""
        found = getattr(means2d, "absgrad", None) if absgrad else means2d.grad
        return torch.zeros(batch, count, 2).to(means2d.detach()) if found is None else found.reshape(batch, count, 2)

    return gradients


def _empty(scene: Scene, cameras: Cameras, masks: Tensor | None, top: bool) -> Render:
    """A picture of nothing, which gsplat's kernels refuse."""
    batch, height, width, channels = len(cameras), cameras.height, cameras.width, scene.features.shape[-1]
    blank = torch.zeros(batch, channels, height, width).to(scene.means)
    alpha = torch.zeros_like(blank[:, :1])
    return Render(
        features=blank if scene.background is None else blank + scene.background,
        alpha=alpha,
        depth=torch.zeros_like(alpha),
        means2d=torch.zeros(batch, 0, 2).to(scene.means),
        radii=torch.zeros(batch, 0, dtype=torch.int32, device=scene.means.device),
        sums=None if masks is None else torch.zeros(batch, masks.shape[1], 0).to(scene.means),
        top=torch.full((batch, height, width), -1, dtype=torch.int32, device=scene.means.device) if top else None,
        mean2d_gradients=lambda: torch.zeros(batch, 0, 2).to(scene.means),
    )
