"""Claims a name that another plugin has, one of its own twice, and a built-in's."""

from __future__ import annotations

from collections.abc import Iterable

from avatarkit.hookspecs import Provider, hookimpl


@hookimpl
def avatarkit_rasterizers() -> Iterable[Provider]:
    yield Provider("points", "duplicate_plugin:Nothing", "the same name as the good plugin's")
    yield Provider("cpu", "duplicate_plugin:Nothing", "the same name as a built-in's")
    yield Provider("twin", "duplicate_plugin:First", "the first of two")
    yield Provider("twin", "duplicate_plugin:Second", "the second of two")
