"""Every edit can be undone: what it changed is kept in the avatar, bit for bit, as whole rows.

A way back holds the Gaussians that the edit changed or took away as they were, the ids of all Gaussians in their order, and the
tensors of the motion that it changed; the history's entry holds the names of groups as they were.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from avatarkit.errors import FileFormatError, InputError
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadParams

NAMES = ("groups", "group_kinds")
"""Of ``Avatar.meta``: group name → number, and → what was added."""


def way_back(before: Avatar, after: Avatar) -> dict[str, Tensor]:
    """The tensors that turn ``after`` into ``before``.  An empty motion tensor stands for one that was not there."""
    old, new = before.gaussians, after.gaussians
    at = _rows_of(new.ids, old.ids)
    same = at >= 0
    for name, value in old.stored().items():
        now = getattr(new, name)
        if now.shape[1:] != value.shape[1:]:
            same &= False
            break
        rows = now[at.clamp(min=0)]
        same &= (rows == value).reshape(len(value), -1).all(1)
    back = {f"gaussians/{name}": value for name, value in old.select(~same).stored().items()}
    back["order"] = old.ids
    for f in fields(HeadParams):
        was, now = getattr(before.motion, f.name), getattr(after.motion, f.name)
        if was is None and now is not None:
            back[f"motion/{f.name}"] = torch.zeros(0)
        elif was is not None and (now is None or not torch.equal(was, now)):
            back[f"motion/{f.name}"] = was
    return back


def changed(before: Avatar, after: Avatar) -> bool:
    """Whether anything of the avatar differs."""
    back = way_back(before, after)
    moved = any(name.startswith("motion/") for name in back)
    return moved or len(back["gaussians/ids"]) > 0 or len(after.gaussians) != len(before.gaussians)


def with_entry(before: Avatar, after: Avatar, entry: dict[str, Any]) -> Avatar:
    """``after`` with one more entry in its history, and the way back to ``before``."""
    names = {name: before.meta.get(name, {}) for name in NAMES}
    return replace(
        after, history=[*before.history, {**entry, "before": names}], undo=[*before.undo, way_back(before, after)]
    )


def undone(avatar: Avatar) -> Avatar:
    """The avatar before its last edit, bit for bit.

    Raises InputError for an avatar that was never edited, FileFormatError for a way back that does not fit it.
    """
    if not avatar.history:
        raise InputError("this avatar has no edit to undo")
    back, entry = avatar.undo[-1], avatar.history[-1]
    kept = Gaussians(**{name: back[f"gaussians/{name}"] for name in avatar.gaussians.stored()})
    order = back["order"]
    from_kept, from_now = _rows_of(kept.ids, order), _rows_of(avatar.gaussians.ids, order)
    if bool(((from_kept < 0) & (from_now < 0)).any()):
        raise FileFormatError("the way back of the last edit does not fit this avatar: some Gaussians are missing")
    values = {}
    for name, old in kept.tensors().items():
        now = getattr(avatar.gaussians, name)
        shape = (len(order), *old.shape[1:])
        rows = torch.empty(shape, dtype=old.dtype)
        of_now = from_kept < 0
        if bool(of_now.any()):
            rows[of_now] = now[from_now[of_now]]
        rows[~of_now] = old[from_kept[~of_now]]
        values[name] = rows
    motion = {}
    for f in fields(HeadParams):
        was = back.get(f"motion/{f.name}", getattr(avatar.motion, f.name))
        motion[f.name] = None if was is not None and was.shape == (0,) else was
    meta = {name: value for name, value in avatar.meta.items() if name not in NAMES}
    meta |= {name: value for name, value in entry.get("before", {}).items() if value}
    return replace(
        avatar, gaussians=Gaussians(**values), motion=HeadParams(**motion), meta=meta,
        history=avatar.history[:-1], undo=avatar.undo[:-1],
    )  # fmt: skip


def _rows_of(ids: Tensor, wanted: Tensor) -> Tensor:
    """Where each of ``wanted`` stands in ``ids``, −1 where it does not."""
    if not len(ids):
        return torch.full((len(wanted),), -1)
    sorted_ids, order = ids.sort()
    at = torch.searchsorted(sorted_ids, wanted).clamp(max=len(ids) - 1)
    return torch.where(sorted_ids[at] == wanted, order[at], torch.full_like(at, -1))
