"""Where the model comes from: a folder, or a name on the hub.  Imports nothing heavy."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from avatarkit.errors import InputError

VARIABLE = "AVATARKIT_FACE_PARSER"
DEFAULT = "jonathandinu/face-parsing"


@dataclass(frozen=True)
class Source:
    """name: a folder, or ``owner/model`` on the hub.  local: it is a folder, and nothing is ever downloaded for it."""

    name: str
    local: bool


def model_source(chosen: str) -> Source:
    """``chosen``, else AVATARKIT_FACE_PARSER, else the default.  Raises InputError for a folder that holds no model."""
    named = chosen or os.environ.get(VARIABLE, "") or DEFAULT
    folder = Path(named).expanduser()
    if folder.is_dir():
        lacking = [name for name in ("config.json", "model.safetensors") if not (folder / name).is_file()]
        if lacking == ["model.safetensors"] and (folder / "model.safetensors.index.json").is_file():
            lacking = []  # in several files
        if lacking:
            raise InputError(
                f"{folder}: no {lacking[0]} there; expected a folder that transformers' save_pretrained wrote (safetensors)"
            )
        return Source(str(folder), True)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", named) or named.startswith("."):
        raise InputError(
            f"{named}: no such folder; expected a folder with a model, or a name on the hub such as {DEFAULT}"
        )
    return Source(named, False)
