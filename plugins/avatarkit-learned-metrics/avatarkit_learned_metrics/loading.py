"""A model of transformers from a folder, or from the hub where that was asked for: safetensors only, no code of others run."""

from __future__ import annotations

import importlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avatarkit.errors import EnvironmentProblem, FileFormatError, MissingAsset, MissingDependency
from avatarkit_learned_metrics.source import Kind, Source, label, lacking, model_source

log = logging.getLogger("avatarkit")
FETCHED = ["*.json", "*.txt", "model*.safetensors"]


@dataclass(frozen=True)
class Loaded:
    """label: how figures call it; model: in evaluation mode on ``device``; processor: its tokenizer and picture settings."""

    label: str
    model: Any
    processor: Any
    device: torch.device

    def texts(self, texts: list[str]) -> dict[str, Tensor]:
        """Token ids and mask, cut to what the model takes."""
        most = int(self.model.config.text_config.max_position_embeddings)
        found = self.processor.tokenizer(
            texts, padding="max_length", truncation=True, max_length=most, return_tensors="pt"
        )
        return {name: found[name].to(self.device) for name in ("input_ids", "attention_mask")}

    def pixels(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → what the model is shown, by its own settings; with 8 bits, as from a PNG file."""
        files = list(eight_bits(pictures))
        shown: Tensor = self.processor.image_processor(images=files, return_tensors="pt")["pixel_values"]
        return shown.to(self.device)


def eight_bits(pictures: Tensor) -> Tensor:
    """[0, 1] → uint8 on the CPU."""
    return (pictures.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)


def loaded(kind: Kind, chosen: str, *, download: bool, device: str) -> Loaded:
    """The model that ``chosen`` or the kind's variable names.

    Raises MissingAsset (none is named, or not on this machine), InputError (no such folder), FileFormatError (another kind of model,
    damaged files), EnvironmentProblem (the hub cannot be reached, no such device), MissingDependency.
    """
    source = model_source(kind, chosen)
    where = _device(kind, device)
    try:
        transformers = importlib.import_module("transformers")
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"metric '{kind.metric}' needs {error.name}; run: pip install avatarkit-learned-metrics"
        ) from error
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder = source.name if source.local else str(_on_disk(kind, source, download))
    try:
        found = transformers.AutoConfig.from_pretrained(folder, local_files_only=True).model_type
        if found != kind.model_type:
            raise FileFormatError(
                f"{source.name}: holds a model of type '{found}'; metric '{kind.metric}' needs one of type '{kind.model_type}'"
            )
        model, report = getattr(transformers, kind.model_class).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=torch.float32
        )
        processor = getattr(transformers, kind.processor_class).from_pretrained(folder, local_files_only=True)
    except FileFormatError:
        raise
    except _faults() as error:
        raise FileFormatError(f"{source.name}: not a model that transformers can load ({line(error)})") from error
    absent = sorted(map(str, report["missing_keys"] or report["mismatched_keys"]))
    if absent:
        raise FileFormatError(f"{source.name}: its weights lack {', '.join(absent[:3])}; fetch or save the model again")
    made = Loaded(label(source), model.requires_grad_(False).eval().to(where), processor, where)
    _fits(made, source)
    return made


def line(error: BaseException) -> str:
    """What an error says, in one line that is not too long."""
    return " ".join(str(error).split())[:160]


def _fits(made: Loaded, source: Source) -> None:
    """Raises FileFormatError where tokenizer or picture settings are those of another model."""
    sides = tuple(made.pixels(torch.full((1, 3, 48, 64), 0.5)).shape[-2:])
    wanted = int(made.model.config.vision_config.image_size)
    if sides != (wanted, wanted):
        raise FileFormatError(
            f"{source.name}: its picture settings make {sides[1]}x{sides[0]} pixels and its weights take {wanted}x{wanted}"
        )
    words, known = len(made.processor.tokenizer), int(made.model.config.text_config.vocab_size)
    if words > known:
        raise FileFormatError(f"{source.name}: its tokenizer has {words} tokens and its weights know {known}")


def _device(kind: Kind, name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise EnvironmentProblem(
            f"option 'device' of '{kind.metric}': '{name}' cannot be used ({line(error)})"
        ) from error


def _on_disk(kind: Kind, source: Source, download: bool) -> Path:
    """The folder in the hub's cache.  The hub is asked only where that was asked for and the model is not here already."""
    fetch = importlib.import_module("huggingface_hub").snapshot_download
    try:
        folder = Path(fetch(source.name, local_files_only=True, allow_patterns=FETCHED))
        if not lacking(folder):
            return folder
    except (OSError, ValueError):  # not there, or not all of it
        pass
    mend = f"name a folder: {kind.variable}=FOLDER"
    if not download:
        raise MissingAsset(
            f"{source.name}: not on this machine; let metric '{kind.metric}' fetch it with its option download=true, or {mend}"
        )
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise EnvironmentProblem(f"{source.name}: not on this machine, and HF_HUB_OFFLINE forbids to fetch it; {mend}")
    log.warning(
        "%s: downloading the model %s from the Hugging Face hub, once; no picture is sent", kind.metric, source.name
    )
    try:
        folder = Path(fetch(source.name, allow_patterns=FETCHED))
    except Exception as error:  # what its HTTP client raises differs from version to version
        raise EnvironmentProblem(
            f"{source.name}: the model could not be fetched from the hub ({line(error)}); check the name and the network, or {mend}"
        ) from error
    absent = lacking(folder)
    if absent:
        raise FileFormatError(f"{source.name}: has no {absent[0]} on the hub; expected a model in safetensors")
    return folder


def _faults() -> tuple[type[Exception], ...]:
    from safetensors import SafetensorError

    return (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)
