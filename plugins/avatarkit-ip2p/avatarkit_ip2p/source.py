"""Where the model comes from: a folder, or a name on the hub.  Imports nothing heavy."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from avatarkit.errors import InputError

VARIABLE = "AVATARKIT_IP2P"
DEFAULT = "timbrooks/instruct-pix2pix"
NEEDED = (
    "unet/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json",
    "tokenizer/tokenizer_config.json", "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """name: a folder, or ``owner/model`` on the hub.  local: it is a folder, and nothing is ever downloaded for it."""

    name: str
    local: bool


def model_source(chosen: str) -> Source:
    """``chosen``, else AVATARKIT_IP2P, else the default.  Raises InputError for a folder that holds no model."""
    named = chosen or os.environ.get(VARIABLE, "") or DEFAULT
    folder = Path(named).expanduser()
    if folder.is_dir():
        absent = lacking(folder)
        if absent:
            pickled = "; its weights are pickles, which are not read" if _has_pickles(folder) else ""
            raise InputError(
                f"{folder}: no {absent[0]} there{pickled}; expected a folder that diffusers' save_pretrained wrote (safetensors)"
            )
        return Source(str(folder), True)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", named) or named.startswith("."):
        raise InputError(
            f"{named}: no such folder; expected a folder with a model, or a name on the hub such as {DEFAULT}"
        )
    return Source(named, False)


def lacking(folder: Path) -> list[str]:
    """Which of the files that are read ``folder`` does not have; weights may be one file or several with an index."""
    return [name for name in NEEDED if not (folder / name).is_file() and not (folder / f"{name}.index.json").is_file()]


def _has_pickles(folder: Path) -> bool:
    return any(path for part in ("unet", "vae", "text_encoder") for path in (folder / part).glob("*.bin"))
