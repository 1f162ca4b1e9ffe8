"""``paint``: the image editor that needs no weights.  Makeup, decals, colours, materials, drawing styles and painted looks.

A painter measures the batch once (where the middle of a cheek is, how light lips are), in ways that other batches of
the same head repeat, then paints view by view.  Textures are functions of the point on the neutral head.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Correspondences, EditStep
from avatarkit.edit.paint.asked import refusal, strength_of
from avatarkit.edit.paint.brushes import brushes
from avatarkit.edit.paint.canvas import canvas
from avatarkit.edit.paint.oklab import srgb
from avatarkit.edit.plan import Operation
from avatarkit.errors import InputError
from avatarkit.events import Progress, Run


class Paint:
    """``avatarkit.contracts.Editor``.  Stateless; the same inputs and seed give the same pictures.

    ``step.noise`` and ``step.round`` change nothing: paint makes nothing anew.  ``references`` serve to find a decal
    that the avatar has learnt already.  ``varies``: asked again, it paints the same; nobody need ask.
    ``reads_words``: it goes by the operation, not by ``step.texts``.
    """

    varies = False
    reads_words = False

    def can_paint(self, operation: Operation) -> bool:
        """Whether ``edit`` would take the operation; why not is ``asked.refusal``."""
        return not refusal(operation)

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
        """Painted views.  Raises InputError for what paint cannot do (``asked.refusal``), and for shapes that do not fit."""
        _checked(views, masks, step, references, correspondences)
        pictures = views.detach().float().cpu().permute(0, 2, 3, 1).numpy()
        weights = masks.detach().float().cpu().clamp(0.0, 1.0)[:, 0].numpy()
        rest = None if correspondences is None else correspondences.rest.detach().float().cpu().numpy()
        triangle = None if correspondences is None else correspondences.triangle.detach().cpu().numpy()
        canvases = [
            canvas(picture, weight, None if rest is None else rest[k], None if triangle is None else triangle[k])
            for k, (picture, weight) in enumerate(zip(pictures, weights, strict=True))
        ]
        learnt = None if references is None else references.detach().float().cpu().permute(0, 2, 3, 1).numpy()
        chosen = brushes(step.operation, canvases, learnt, seed)
        strength = np.float32(strength_of(step.operation))
        painted = pictures.copy()
        for k, (one, brush) in enumerate(zip(canvases, chosen, strict=True)):
            if run.stopping:
                raise KeyboardInterrupt
            if one is not None and brush is not None:
                share = np.where(one.inside, strength * one.mask, 0.0)[..., None]
                painted[k][one.box] = one.rgb + (srgb(brush(one)) - one.rgb) * share
            run.emit(Progress("paint", k + 1, len(canvases)))
        made = torch.from_numpy(painted).permute(0, 3, 1, 2).contiguous().clamp(0.0, 1.0)
        return made.to(views.device)


def _checked(
    views: Tensor, masks: Tensor, step: EditStep, references: Tensor | None, correspondences: Correspondences | None
) -> None:
    reason = refusal(step.operation)
    if reason:
        raise InputError(reason)
    if step.latent in ("delete", "reposition"):
        raise InputError(f"paint cannot '{step.latent}' what is in a picture; undo the edit and give it another region")
    if views.ndim != 4 or views.shape[1] != 3:
        raise InputError(f"views have shape {tuple(views.shape)}; expected (B, 3, H, W)")
    batch, _, height, width = views.shape
    expected: dict[str, tuple[Tensor, tuple[int, ...]]] = {"masks": (masks, (batch, 1, height, width))}
    if references is not None:
        expected["references"] = (references, (batch, 3, height, width))
    if correspondences is not None:
        expected["correspondences.triangle"] = (correspondences.triangle, (batch, height, width))
        expected["correspondences.rest"] = (correspondences.rest, (batch, height, width, 3))
    for name, (value, shape) in expected.items():
        if tuple(value.shape) != shape:
            raise InputError(f"{name} has shape {tuple(value.shape)}; expected {shape}")
