"""A hook with an argument that does not exist, which makes the whole module unusable."""

from __future__ import annotations

from avatarkit.hookspecs import Provider, hookimpl


@hookimpl
def avatarkit_rasterizers(device: str) -> list[Provider]:
    return []
