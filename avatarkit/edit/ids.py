"""Ids are unique for the life of an avatar: also those of Gaussians that only a way back remembers."""

from __future__ import annotations

from avatarkit.gaussians.avatar import Avatar


def next_id(avatar: Avatar) -> int:
    """The first id that no Gaussian of the avatar has or had."""
    known = [avatar.gaussians.ids, *(back["order"] for back in avatar.undo)]
    return max((int(ids.max()) for ids in known if len(ids)), default=-1) + 1
