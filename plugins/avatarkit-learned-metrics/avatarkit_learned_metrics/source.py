"""Which model a metric uses, and whether it is all there.  Imports nothing heavy."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from avatarkit.errors import InputError, MissingAsset


@dataclass(frozen=True)
class Kind:
    """A kind of model.  metric: whose; model_type: as config.json has it; classes: of transformers; variable: of the environment;
    example: a name on the hub."""

    metric: str
    model_type: str
    model_class: str
    processor_class: str
    variable: str
    example: str


CLIP = Kind("clip-direction", "clip", "CLIPModel", "CLIPProcessor", "AVATARKIT_CLIP", "openai/clip-vit-large-patch14")
OWLV2 = Kind(
    "owlv2", "owlv2", "Owlv2ForObjectDetection", "Owlv2Processor", "AVATARKIT_OWLV2", "google/owlv2-base-patch16-ensemble"
)  # fmt: skip

# One of each row must be there; the first is what a message names.
NEEDED = (
    ("config.json",),
    ("model.safetensors", "model.safetensors.index.json"),
    ("preprocessor_config.json", "processor_config.json"),
    ("tokenizer.json", "vocab.json"),
)


@dataclass(frozen=True)
class Source:
    """name: a folder, or ``owner/model`` on the hub.  local: it is a folder, and nothing is ever downloaded for it."""

    name: str
    local: bool


def model_source(kind: Kind, chosen: str) -> Source:
    """``chosen``, else what the kind's variable says.  Raises MissingAsset where neither names one, InputError for a bad folder."""
    named = chosen or os.environ.get(kind.variable, "")
    if not named:
        raise MissingAsset(
            f"metric '{kind.metric}' needs a model and chooses none by itself; name a folder or one on the hub with its option 'model' "
            f"or {kind.variable}, such as {kind.example}"
        )
    folder = Path(named).expanduser()
    if folder.is_dir():
        absent = lacking(folder)
        if absent:
            pickled = "; its weights are pickles, which are not read" if any(folder.glob("*.bin")) else ""
            raise InputError(
                f"{folder}: no {absent[0]} there{pickled}; expected a folder that transformers' save_pretrained wrote (safetensors)"
            )
        return Source(str(folder), True)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", named) or named.startswith("."):
        raise InputError(
            f"{named}: no such folder; expected a folder with a model, or a name on the hub such as {kind.example}"
        )
    return Source(named, False)


def lacking(folder: Path) -> list[str]:
    """Which of the files that are read ``folder`` does not have."""
    return [names[0] for names in NEEDED if not any((folder / name).is_file() for name in names)]


def label(source: Source) -> str:
    """How figures call the model: its name on the hub; a folder's own name and eight digits of its weights' SHA-256, since folders
    of one name may hold any weights."""
    if not source.local:
        return source.name
    digest = hashlib.sha256()
    for file in sorted(Path(source.name).glob("model*.safetensors")):
        with file.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return f"{Path(source.name).resolve().name}, {digest.hexdigest()[:8]}"
