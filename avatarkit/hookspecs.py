"""Hook specifications: what a plugin module may define.

Registration hooks yield records (Providers); the core picks one by name and imports its target on first use.  The module that
the entry point names must import no torch.  ``docs/plugin-hooks.md`` is generated from this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pluggy

from avatarkit.contracts import API_VERSION

if TYPE_CHECKING:
    from avatarkit.contracts import CheckResult
    from avatarkit.events import Event, Run

PROJECT = "avatarkit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Role = Literal[
    "tracker", "rasterizer", "refiner", "editor", "discriminator", "head_model", "segmenter", "exporter", "metric"
]


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


# How a role is called in the code, and the hook that supplies it.
HOOKS: dict[Role, str] = {
    "tracker": "avatarkit_trackers",
    "rasterizer": "avatarkit_rasterizers",
    "refiner": "avatarkit_refiners",
    "editor": "avatarkit_editors",
    "discriminator": "avatarkit_discriminators",
    "head_model": "avatarkit_head_models",
    "segmenter": "avatarkit_segmenters",
    "exporter": "avatarkit_exporters",
    "metric": "avatarkit_metrics",
}


@hookspec
def avatarkit_trackers() -> Iterable[Provider]:
    """Trackers: head parameters for a capture.

    Contract: ``avatarkit.contracts.Tracker``.  Chosen with ``--tracker NAME``.

    >>> @hookimpl
    ... def avatarkit_trackers():
    ...     yield Provider("mine", "my_plugin.tracker:Mine", "landmarks by my own detector", requires=("onnxruntime",))
    >>> [provider.name for provider in avatarkit_trackers()]
    ['mine']
    """
    return ()


@hookspec
def avatarkit_rasterizers() -> Iterable[Provider]:
    """Rasterizers: blend 3D Gaussians into images, with gradients.

    Contract: ``avatarkit.contracts.Rasterizer``.  Chosen with ``--rasterizer NAME``.

    >>> @hookimpl
    ... def avatarkit_rasterizers():
    ...     yield Provider("mine", "my_plugin.rasterizer:Mine", "splats by my own kernels", device="cuda")
    >>> [provider.name for provider in avatarkit_rasterizers()]
    ['mine']
    """
    return ()


@hookspec
def avatarkit_refiners() -> Iterable[Provider]:
    """Refiners: turn a prompt into a structured edit plan.

    Contract: ``avatarkit.contracts.Refiner``.  Chosen with ``--llm NAME``.

    >>> @hookimpl
    ... def avatarkit_refiners():
    ...     yield Provider("mine", "my_plugin.refiner:Mine", "plans by my own language model", network=True)
    >>> [provider.name for provider in avatarkit_refiners()]
    ['mine']
    """
    return ()


@hookspec
def avatarkit_editors() -> Iterable[Provider]:
    """Editors: paint an operation of the plan into views.

    Contract: ``avatarkit.contracts.Editor``.  Chosen with ``--editor NAME``.

    >>> @hookimpl
    ... def avatarkit_editors():
    ...     yield Provider("mine", "my_plugin.editor:Mine", "edits by my own diffusion model", config="my_plugin.options:MineConfig")
    >>> [provider.name for provider in avatarkit_editors()]
    ['mine']
    """
    return ()


@hookspec
def avatarkit_discriminators() -> Iterable[Provider]:
    """Discriminators: tell accepted keyframes from renders while an edit is fitted.

    Contract: ``avatarkit.contracts.Discriminator``.  Chosen with ``--discriminator NAME``.

    >>> @hookimpl
    ... def avatarkit_discriminators():
    ...     yield Provider("mine", "my_plugin.discriminator:Mine", "a patch discriminator")
    >>> [provider.name for provider in avatarkit_discriminators()]
    ['mine']
    """
    return ()


@hookspec
def avatarkit_head_models() -> Iterable[Provider]:
    """Head models: parameters to vertices and joints.

    Contract: ``avatarkit.contracts.HeadModel``.  Chosen with ``--head NAME``.

    >>> @hookimpl
    ... def avatarkit_head_models():
    ...     yield Provider("mine", "my_plugin.head:Mine", "a head of my own", licence="CC-BY-4.0")
    >>> [provider.name for provider in avatarkit_head_models()]
    ['mine']
    """
    return ()


@hookspec
def avatarkit_segmenters() -> Iterable[Provider]:
    """Segmenters: label probabilities of images.

    Contract: ``avatarkit.contracts.Segmenter``.  Chosen with ``--segmenter NAME``.

    >>> @hookimpl
    ... def avatarkit_segmenters():
    ...     yield Provider("mine", "my_plugin.segmenter:Mine", "face parsing by my own net", requires=("transformers",))
    >>> [provider.name for provider in avatarkit_segmenters()]
    ['mine']
    """
    return ()


@hookspec
def avatarkit_exporters() -> Iterable[Provider]:
    """Exporters: write an avatar for another tool.

    Contract: ``avatarkit.contracts.Exporter``.  Chosen with ``--format NAME``.

    >>> @hookimpl
    ... def avatarkit_exporters():
    ...     yield Provider("mine", "my_plugin.exporter:Mine", "files for my own viewer")
    >>> [provider.name for provider in avatarkit_exporters()]
    ['mine']
    """
    return ()


@hookspec
def avatarkit_metrics() -> Iterable[Provider]:
    """Metrics: judge edits by pictures before and after, with a model that they name.

    Contract: ``avatarkit.contracts.EditMetric``.  Chosen with ``--metric NAME``; none is used unless it is named.

    >>> @hookimpl
    ... def avatarkit_metrics():
    ...     yield Provider("mine", "my_plugin.metric:Mine", "what my own model says of an edit", config="my_plugin.options:MineConfig")
    >>> [provider.name for provider in avatarkit_metrics()]
    ['mine']
    """
    return ()


@hookspec
def avatarkit_checks() -> Iterable[Check]:
    """Checks: rows that a plugin adds to ``avatarkit doctor``.

    The function of a check looks at the machine and returns ``avatarkit.contracts.CheckResult``: ok, what was found, and how
    to mend it.  It runs only when ``doctor`` does, so it may import heavy packages.

    >>> from avatarkit.contracts import CheckResult
    >>> @hookimpl
    ... def avatarkit_checks():
    ...     yield Check("my weights", lambda: CheckResult(False, "none", "run: my-plugin download"))
    >>> [check.check().mend for check in avatarkit_checks()]
    ['run: my-plugin download']
    """
    return ()


@hookspec
def avatarkit_on_event(run: Run, event: Event) -> None:
    """Behaviour: called with every event that a run emits (``avatarkit.events``), in the thread that emits it.

    Its errors are logged, never fatal: a plugin that raises hears nothing more of that run.  An implementation may leave out
    arguments that it does not use.

    >>> from avatarkit.events import Finished
    >>> @hookimpl
    ... def avatarkit_on_event(event):
    ...     if isinstance(event, Finished):
    ...         print(f"{event.stage} took {event.seconds:.0f} s")
    >>> avatarkit_on_event(Finished("recon", 61.2))
    recon took 61 s
    """
