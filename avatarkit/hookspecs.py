"""Hook specifications: what a plugin module may define.

Registration hooks yield records (Providers); the core picks one by name and imports its target on first use.  The module that
the entry point names must import no torch.  ``docs/plugin-hooks.md`` is generated from this file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pluggy

from avatarkit.contracts import API_VERSION

if TYPE_CHECKING:
    from avatarkit.contracts import CheckResult

PROJECT = "avatarkit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Role = Literal["tracker", "rasterizer", "refiner", "editor", "discriminator", "head_model", "segmenter", "exporter"]


@dataclass(frozen=True)
class Provider:
    """A replaceable part, as a record.

    name: what users type (``--editor ip2p``).  target: ``"pkg.module:attribute"``, imported on first use; called with the
    config to make the part.  summary: one line.  config: ``"pkg.module:Dataclass"`` of its options (torch-free), or "".
    requires: importable packages it needs, looked up with ``find_spec`` only.  install_hint: the command that mends a missing
    one.  device: "any" or "cuda".  network: sends data off the machine.  licence: SPDX of code and weights.  api: the contract
    version it was written for.
    """

    name: str
    target: str
    summary: str
    config: str = ""
    requires: tuple[str, ...] = ()
    install_hint: str = ""
    device: Literal["any", "cuda"] = "any"
    network: bool = False
    licence: str = "Apache-2.0"
    api: int = API_VERSION


@dataclass(frozen=True)
class Check:
    """A row of ``avatarkit doctor``: a name and a function that looks."""

    name: str
    check: Callable[[], CheckResult]


# A registration hook per role follows; PLUGINS helper fills docstrings with runnable examples.
