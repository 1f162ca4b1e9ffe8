"""Find the head model that an avatar was made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avatarkit.contracts import HeadModel
from avatarkit.errors import AvatarkitError, MissingAsset
from avatarkit.head.frames import with_frames
from avatarkit.head.loading import load_head


def head_of(reference: dict[str, Any], chosen: str | None = None) -> HeadModel:
    """The model that ``reference`` (an avatar's ``head``) names; ``chosen`` is the user's ``--head``.

    Tried in order: the user's choice, the built-in or registered model of that name, the file that it came from.  A file counts
    only if its sha256 is the recorded one.  Raises InputError when the chosen one has other counts, MissingAsset when none
    is found.
    """
    if chosen is not None:
        return with_frames(load_head(chosen, expected=reference), reference.get("frames", "triangle"))
    names = [reference["name"]] if reference["name"] in ("bust", "flame") else ["flame"]
    if reference.get("path") and Path(reference["path"]).is_file():
        names.append(reference["path"])
    for name in names:
        try:
            model = load_head(name, expected=reference)
        except AvatarkitError:
            continue
        if model.reference["sha256"] == reference["sha256"]:
            return with_frames(model, reference.get("frames", "triangle"))
    raise MissingAsset(
        f"this avatar needs the head model '{reference['name']}' ({reference['vertices']} vertices, {reference['expr']} expressions, "
        f"sha256 {str(reference['sha256'])[:12]}…), which was not found; give its file with --head FILE"
    )
