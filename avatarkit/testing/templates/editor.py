"""An image editor.  It begins by tinting what the mask allows: put your diffusion model in its place."""

from __future__ import annotations

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Correspondences, EditStep
from avatarkit.events import Run


class Mine:
    """``avatarkit.contracts.Editor``."""

    def edit(
        self,
        views: Tensor,
        masks: Tensor,
        step: EditStep,
        *,
        references: Tensor | None,
        cameras: Cameras,
        correspondences: Correspondences | None,
        seed: int,
        run: Run,
    ) -> Tensor:
        """views (B, 3, H, W) and masks (B, 1, H, W) in [0, 1] → edited views.  ``step``: what to do, in words too."""
        tint = torch.rand(3, 1, 1, generator=torch.Generator().manual_seed(seed)).to(views)
        return (views * (1.0 - masks) + (0.5 * views + 0.5 * tint) * masks).clamp(0.0, 1.0)
