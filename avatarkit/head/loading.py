"""Find a head model by name or file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatarkit import assets
from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError
from avatarkit.head.flame import FLAME_VERTICES, LANDMARK_KEYS, TEETH_VERTICES, FlameModel, read_arrays, read_flame
from avatarkit.types import PathArg

FILES = (".npz", ".pkl", ".pickle")


def load_head(name_or_file: PathArg, *, expected: Mapping[str, Any] | None = None, teeth: bool = False) -> HeadModel:
    """The head model ``"bust"``, ``"flame"`` (the registered asset), a plugin's name, or a FLAME-topology .npz.

    expected: counts the model must have, keys of ``HeadModel.reference`` (``vertices``, ``shape``, ``expr``; others are ignored,
    so that a reference itself can be given).  5143 vertices give a FLAME-topology head its teeth; fewer shape modes, or fewer
    expression modes without names, than the file has keep the first ones, as principal components allow.
    teeth: append them where the head is in FLAME topology (``expected`` goes first).
    Raises InputError when the counts cannot be met, MissingAsset when ``flame`` is not registered.
    """
    head = _named_head(str(name_or_file))
    if isinstance(head, FlameModel):
        wanted = dict(expected or {})
        if wanted.get("vertices") == FLAME_VERTICES + TEETH_VERTICES or (teeth and "vertices" not in wanted):
            head = head.with_teeth()
        head = head.truncated(wanted.get("shape"), wanted.get("expr"))
    if expected is not None:
        check_expected(head, expected)
    return head


def registered_flame() -> FlameModel:
    """The head model that ``avatarkit assets add flame FILE`` registered.  Raises MissingAsset."""
    return _read_flame(assets.require("flame"), "flame")


def default_head() -> str:
    """For a video: ``"flame"`` if it is registered, else ``"bust"``."""
    return "flame" if assets.find("flame") is not None else "bust"


def _named_head(text: str) -> HeadModel:
    if text == "bust":
        from avatarkit.head.bust import BustModel

        return BustModel()
    if text == "flame":
        return registered_flame()
    if Path(text).suffix.lower() in FILES or Path(text).is_file():
        if Path(text).suffix.lower() in FILES[1:]:
            raise InputError(f"{text}: register it once with: avatarkit assets add flame {text}; then use --head flame")
        return _read_flame(Path(text), None)
    from avatarkit.registry import registry

    model: HeadModel = registry().create("head_model", text)
    return model


def _read_flame(file: Path, name: str | None) -> FlameModel:
    """A FLAME-topology npz, with the registered masks, and with the registered landmarks where it has none."""
    masks_file, landmarks_file = assets.find("flame-masks"), assets.find("flame-landmarks")
    masks = read_arrays(masks_file)[0] if masks_file is not None else None
    landmarks = read_arrays(landmarks_file)[0] if landmarks_file is not None else {}
    return read_flame(
        file, name=name, masks=masks, landmarks={k: landmarks[k] for k in LANDMARK_KEYS if k in landmarks}
    )


def check_expected(head: HeadModel, expected: Mapping[str, Any]) -> None:
    """Raise InputError naming the count in which ``head`` differs from ``expected``."""
    found = head.reference
    for key in ("vertices", "shape", "expr"):
        if expected.get(key) is not None and int(expected[key]) != found[key]:
            raise InputError(
                f"head model '{head.name}' has {found[key]} {WORDS[key]}, {expected[key]} are needed; choose another with --head NAME|FILE"
            )


WORDS = {"vertices": "vertices", "shape": "shape modes", "expr": "expression modes"}
