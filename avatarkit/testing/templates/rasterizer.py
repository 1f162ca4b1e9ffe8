"""A rasterizer.  It begins as the float64 reference, which is right and slow: put your kernels in its place."""

from __future__ import annotations

from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Render
from avatarkit.render.reference import ReferenceRasterizer


class Mine:
    """``avatarkit.contracts.Rasterizer``."""

    name = "mine"
    capabilities = frozenset({"top", "antialiased", "camera_gradients", "absgrad"})

    def __init__(self) -> None:
        self._reference = ReferenceRasterizer()

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
        """Blend the Gaussians front to back; see the contract for shapes, units and gradients."""
        return self._reference.render(
            means,
            quats,
            scales,
            opacities,
            features,
            cameras,
            background=background,
            masks=masks,
            antialiased=antialiased,
            top=top,
            absgrad=absgrad,
        )
