"""Fake distributions: checked in with their dist-info, put on sys.path as an installer would."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from avatarkit.discovery import load_plugins
from avatarkit.registry import Registry

DISTRIBUTIONS = Path(__file__).parent / "distributions"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Registry]]:
    """``install("good", "broken")`` → the registry as it is with these distributions installed, and no others."""
    before = set(sys.modules)

    def installed(*names: str) -> Registry:
        found = [DISTRIBUTIONS / name for name in names]
        assert all(folder.is_dir() for folder in found)
        for folder in found:
            monkeypatch.syspath_prepend(str(folder))
        registry = Registry(load_plugins())
        fake = {plugin.source.name for plugin in registry.plugins if "plugin" in plugin.source.module}
        return Registry([p for p in load_plugins() if p.source.name in fake | {"builtin"}])

    yield installed
    for name in set(sys.modules) - before:
        if "_plugin" in name:
            del sys.modules[name]
