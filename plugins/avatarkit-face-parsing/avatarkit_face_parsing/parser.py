"""A transformers model for semantic segmentation as ``contracts.Segmenter``: SegFormer trained on CelebAMask-HQ, or its like."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from avatarkit.contracts import View
from avatarkit.errors import EnvironmentProblem, FileFormatError, InputError, MissingDependency
from avatarkit.labels import LABEL_INDEX, NUM_LABELS
from avatarkit_face_parsing.classes import SIDED, exchanged, label_of_channels
from avatarkit_face_parsing.crop import Box, cut, head_box, paste, projected, whole
from avatarkit_face_parsing.options import FaceParsingConfig
from avatarkit_face_parsing.source import VARIABLE, Source, model_source

log = logging.getLogger("avatarkit")
BACKGROUND = LABEL_INDEX["background"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, where the model brings none
APART = 3.0
"""Pixels: the tracked eyes (brows, ears) must be so far apart in the picture to say which is which."""


class FaceParser:
    """Looks at the head of each view, and at the whole picture for what lies beyond it.

    Raises, all when made: InputError (no such folder, an option out of range), FileFormatError (classes that it cannot use, a
    file that is damaged), EnvironmentProblem (the hub cannot be reached, no such device), MissingDependency.
    """

    def __init__(self, config: FaceParsingConfig | None = None) -> None:
        self.config = config or FaceParsingConfig()
        for name, low, high in (("size", 32, 4096), ("batch", 1, 256), ("margin", 0.0, 2.0)):
            if not low <= getattr(self.config, name) <= high:
                raise InputError(
                    f"option '{name}' of 'face-parsing' is {getattr(self.config, name)}; expected {low} to {high}"
                )
        self._device = _device(self.config.device)
        source = model_source(self.config.model)
        self._model, self._mean, self._std = _loaded(source)
        channels = label_of_channels(getattr(self._model.config, "id2label", None), source.name)
        self._into = torch.zeros(len(channels), NUM_LABELS)
        self._into[torch.arange(len(channels)), torch.tensor(channels)] = 1.0
        self._model.to(self._device).eval()
        self._sidedness = 0.0

    def segment(self, images: Tensor, views: Sequence[View]) -> Tensor:
        """images (B, 3, H, W) in [0, 1] → probabilities (B, 19, H, W) that sum to one, the sides the subject's."""
        height, width = images.shape[-2:]
        jobs: list[tuple[int, Box]] = []
        for at, view in enumerate(views):
            box = head_box(view, width, height, self.config.margin)
            if box is None or box[0] > 0 or box[1] > 0 or box[2] < width or box[3] < height:
                jobs.append((at, whole(width, height)))
            if box is not None:
                jobs.append((at, box))  # after the whole picture: it is written over it
        found = torch.zeros(len(images), NUM_LABELS, height, width)
        pictures = images.detach().float().cpu()
        for first in range(0, len(jobs), self.config.batch):
            some = jobs[first : first + self.config.batch]
            shown = torch.stack([cut(pictures[at], box, self.config.size) for at, box in some])
            for (at, box), parsed in zip(some, self._parsed(shown), strict=True):
                paste(found[at], parsed, box)
        found /= found.sum(1, keepdim=True)
        if self._by_picture(found, views):
            found = found[:, exchanged()]
        for at, view in enumerate(views):
            if view.mask is not None:  # the matte knows where the person ends
                found[at] *= view.mask.reshape(1, height, width).to(found)
                found[at, BACKGROUND] = 0.0
                found[at, BACKGROUND] = (1.0 - found[at].sum(0)).clamp(min=0.0)
        return found.to(images.device)

    def _parsed(self, shown: Tensor) -> Tensor:
        """(B, 3, s, s) → (B, 19, s', s'), the sides as the model calls them."""
        found = self._probabilities(shown)
        if not self.config.mirror:
            return found
        return (found + self._probabilities(shown.flip(-1)).flip(-1)[:, exchanged()]) / 2

    def _probabilities(self, shown: Tensor) -> Tensor:
        with torch.inference_mode():
            pixels = (shown - self._mean) / self._std
            logits = self._model(pixel_values=pixels.to(self._device)).logits.float()
            shares = torch.softmax(logits, 1).cpu()
        return torch.einsum("bkhw,kc->bchw", shares, self._into).clone()

    def _by_picture(self, found: Tensor, views: Sequence[View]) -> bool:
        """Whether the model's ``l_`` is the picture's left: chosen, or measured against the heads that were tracked so far."""
        if self.config.sides != "auto":
            return self.config.sides == "picture"
        self._sidedness += sum(_agreement(found[at], view) for at, view in enumerate(views))
        return self._sidedness <= 0.0


def _agreement(found: Tensor, view: View) -> float:
    """Pixels that speak for the model's sides being the subject's, less those against; 0 where no head is tracked."""
    pixels = torch.stack(torch.meshgrid(*(torch.arange(n) + 0.5 for n in found.shape[-2:]), indexing="ij")[::-1])
    total = 0.0
    for part, pair in zip(("eye", "brow", "ear"), SIDED, strict=True):
        ends = [projected(view, (f"{side}_{part}",)) for side in "lr"]
        if ends[0] is None or ends[1] is None:
            return 0.0
        apart = ends[0].mean(0) - ends[1].mean(0)
        masses = found[list(pair)].sum((1, 2))
        if float(apart.norm()) < APART or float(masses.min()) < 1.0:
            continue
        centres = [(found[k] * pixels).sum((1, 2)) / masses[j] for j, k in enumerate(pair)]
        cosine = torch.nn.functional.cosine_similarity(centres[0] - centres[1], apart, dim=0)
        total += float(masses.min() * cosine)
    return total


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise EnvironmentProblem(
            f"option 'device' of 'face-parsing': '{name}' cannot be used ({_line(error)})"
        ) from error


def _loaded(source: Source) -> tuple[Any, Tensor, Tensor]:
    """The model and the (1, 3, 1, 1) mean and deviation of the pixels that it wants."""
    try:
        transformers = importlib.import_module("transformers")
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"segmenter 'face-parsing' needs {error.name}; run: pip install avatarkit-face-parsing"
        ) from error
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    kind, options = (
        transformers.AutoModelForSemanticSegmentation,
        {"use_safetensors": True, "output_loading_info": True},
    )
    try:  # what is here already needs no network, also of the hub's
        model, report = kind.from_pretrained(source.name, local_files_only=True, **options)
    except _faults() as error:
        if source.local:
            raise FileFormatError(f"{source.name}: not a model that transformers can load ({_line(error)})") from error
        model, report = _downloaded(kind, source, options)
    if report["missing_keys"] or report["mismatched_keys"]:
        lacking = ", ".join(map(str, list(report["missing_keys"] or report["mismatched_keys"])[:3]))
        raise FileFormatError(
            f"{source.name}: its weights lack {lacking}; expected a model trained for semantic segmentation"
        )
    mean, std = _pixels(transformers, source)
    return model, mean, std


def _downloaded(kind: Any, source: Source, options: dict[str, bool]) -> tuple[Any, Any]:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise EnvironmentProblem(
            f"{source.name}: not on this machine, and HF_HUB_OFFLINE forbids to fetch it; name a folder: {VARIABLE}=FOLDER"
        )
    log.warning("face-parsing: downloading the model %s from the Hugging Face hub, once", source.name)
    try:
        model, report = kind.from_pretrained(source.name, **options)
    except _faults() as error:
        raise EnvironmentProblem(
            f"{source.name}: the model could not be fetched from the hub ({_line(error)}); check the name and the network, or "
            f"name a folder: {VARIABLE}=FOLDER"
        ) from error
    return model, report


def _pixels(transformers: Any, source: Source) -> tuple[Tensor, Tensor]:
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(source.name, local_files_only=True)
        mean, std = processor.image_mean, processor.image_std
    except _faults():
        mean, std = MEAN, STD
    return torch.tensor(mean).reshape(1, 3, 1, 1), torch.tensor(std).reshape(1, 3, 1, 1)


def _faults() -> tuple[type[Exception], ...]:
    from safetensors import SafetensorError

    return (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
