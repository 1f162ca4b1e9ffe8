"""Three ways to misspell a hook, and one that is right."""

from __future__ import annotations

from collections.abc import Iterable

from avatarkit.hookspecs import Provider, hookimpl


@hookimpl
def avatarkit_rasterizer() -> Iterable[Provider]:
    yield Provider("lost", "misspelt_plugin:Lost", "never found: the hook's name lacks an s")


@hookimpl
def avtarkit_editors() -> Iterable[Provider]:
    yield Provider("lost", "misspelt_plugin:Lost", "never found: the prefix is wrong")


def avatarkit_segmenters() -> Iterable[Provider]:
    yield Provider("lost", "misspelt_plugin:Lost", "never found: not marked")


@hookimpl
def avatarkit_exporters() -> Iterable[object]:
    yield Provider("found", "misspelt_plugin:Found", "this one is right")
    yield Provider("Bad Name", "misspelt_plugin:Found", "a name that nobody can type")
    yield Provider("target", "misspelt_plugin.Found", "a target without a colon")
    yield "a string"


@hookimpl
def avatarkit_trackers() -> Provider:
    return Provider("single", "misspelt_plugin:Found", "not in a list")
