"""Does a detector see what was asked for, and where?  OWLv2 (Minderer et al., NeurIPS 2023) scoring edits as the benchmark of
self-correcting LLM-controlled diffusion does (Wu et al., CVPR 2024).

As in the published evaluation: texts "image of a red hat", all of one expectation together, so that a box belongs to the text that
fits it best; boxes of one text that overlap are one; a thing's box is its best one; places are compared by the middles of boxes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from avatarkit.contracts import EditedViews, Measured
from avatarkit.edit.expectations import Expectation
from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit_learned_metrics.loading import loaded
from avatarkit_learned_metrics.options import Owlv2Config
from avatarkit_learned_metrics.source import OWLV2

KINDS = ("attribute", "spatial", "number", "negation")


@dataclass(frozen=True)
class Detection:
    """thing: which text; score in [0, 1]; box: left, top, right, bottom in pixels of the picture."""

    thing: str
    score: float
    box: tuple[float, float, float, float]

    @property
    def middle(self) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


RELATIONS: dict[str, Callable[[Detection, Detection], bool]] = {
    "left_of": lambda thing, anchor: thing.middle[0] < anchor.middle[0],
    "right_of": lambda thing, anchor: thing.middle[0] > anchor.middle[0],
    "above": lambda thing, anchor: thing.middle[1] < anchor.middle[1],
    "below": lambda thing, anchor: thing.middle[1] > anchor.middle[1],
}


class Owlv2:
    """``contracts.EditMetric``: a figure for each kind of expectation, 1 for a view that shows all of that kind and 0 for one that
    does not; beside it the same asked of the pictures before, for a thing that was there already is no success."""

    def __init__(self, config: Owlv2Config | None = None) -> None:
        self.config = config or Owlv2Config()
        for name in ("attribute_threshold", "threshold", "overlap", "hold"):
            if not 0.0 < getattr(self.config, name) <= 1.0:
                raise InputError(
                    f"option '{name}' of 'owlv2' is {getattr(self.config, name)}; expected more than 0 and at most 1"
                )
        self._with = loaded(OWLV2, self.config.model, download=self.config.download, device=self.config.device)

    def score(self, edit: EditedViews, run: Run) -> tuple[Measured, ...]:
        """Figures of the kinds that this edit's views are expected to show; none where nothing of it can be detected."""
        found = []
        for kind in KINDS:
            wanted = [tuple(e for e in view if e.kind == kind) for view in edit.expected]
            if not any(wanted):
                continue
            views = self._held(edit.after, wanted, run)
            told = [value for value in views if value is not None]
            passed = sum(told) / len(told) >= self.config.hold
            found.append(Measured(f"owlv2 {kind} ({self._with.label})", views, passed))
            found.append(Measured(f"owlv2 {kind} before ({self._with.label})", self._held(edit.before, wanted, run)))
        return tuple(found)

    def _held(self, pictures: Tensor, wanted: list[tuple[Expectation, ...]], run: Run) -> tuple[float | None, ...]:
        return tuple(
            float(all(self.holds(e, picture, run) for e in some)) if some else None
            for picture, some in zip(pictures, wanted, strict=True)
        )

    def holds(self, expectation: Expectation, picture: Tensor, run: Run) -> bool:
        """Whether ``picture`` (3, H, W) in [0, 1] shows what is expected."""
        if run.stopping:
            raise KeyboardInterrupt
        threshold = self.config.attribute_threshold if expectation.kind == "attribute" else self.config.threshold
        things = [expectation.thing, *([expectation.anchor] if expectation.anchor else [])]
        seen = self.detect(picture, things, threshold)
        of_thing = [one for one in seen if one.thing == expectation.thing]
        if expectation.kind == "negation":
            return not of_thing
        if expectation.kind == "number":
            return len(of_thing) == expectation.count
        if expectation.kind == "attribute":
            return bool(of_thing)
        of_anchor = [one for one in seen if one.thing == expectation.anchor]
        return bool(of_thing and of_anchor) and RELATIONS[expectation.relation](of_thing[0], of_anchor[0])

    def detect(self, picture: Tensor, things: list[str], threshold: float) -> list[Detection]:
        """What a picture (3, H, W) in [0, 1] shows of ``things``, the best first."""
        with torch.inference_mode():
            out = self._with.model(
                pixel_values=self._with.pixels(picture[None]), **self._with.texts([f"image of {t}" for t in things])
            )
        (found,) = self._with.processor.post_process_grounded_object_detection(
            out, threshold=threshold, target_sizes=[tuple(picture.shape[1:])]
        )
        boxes, scores, labels = (found[name].cpu() for name in ("boxes", "scores", "labels"))
        kept = _apart(boxes, scores, labels, self.config.overlap)
        return [Detection(things[int(labels[k])], float(scores[k]), tuple(boxes[k].tolist())) for k in kept]


def _apart(boxes: Tensor, scores: Tensor, labels: Tensor, overlap: float) -> list[int]:
    """Indices of the boxes that no better one of the same text overlaps by more, the best first."""
    from torchvision.ops import batched_nms

    kept: list[int] = batched_nms(boxes.float(), scores.float(), labels, overlap).tolist()
    return kept
