"""Entry points to records: imports plugin modules in isolation and judges what they say.

Nothing here raises for a plugin's fault: a plugin that cannot be used becomes a ``Plugin`` with ``problems``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pluggy

from avatarkit import hookspecs
from avatarkit.contracts import API_VERSION
from avatarkit.errors import nearest
from avatarkit.hookspecs import HOOKS, PROJECT, Check, Provider, Role

BUILTIN = "builtin"
ALLOW_LIST = "AVATARKIT_PLUGINS"
SLOW_SECONDS = 0.2  # one plugin may not eat the half second that `plugins list` has
HEAVY = ("torch", "numba", "tensorflow", "jax", "diffusers", "transformers")
HOOK_NAMES = tuple(name for name in vars(hookspecs) if name.startswith(f"{PROJECT}_"))
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Source:
    """Where a plugin comes from: an entry point, or avatarkit itself."""

    name: str
    module: str
    distribution: str
    version: str


@dataclass
class Plugin:
    """A plugin as found.  status: "ok", "error" (could not be used at all) or "off" (not on the allow-list).

    problems: sentences for the author or the user; a plugin that is "ok" can have some (one provider refused, a misspelt
    hook, a slow import).  seconds: how long its module took to import.
    """

    source: Source
    status: str = "ok"
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    providers: list[tuple[Role, Provider]] = field(default_factory=list)
    refused: dict[tuple[Role, str], str] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    on_event: Callable[..., object] | None = None
    on_event_arguments: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How errors name it: the distribution, and the entry point where that differs."""
        name, distribution = self.source.name, self.source.distribution
        return f"'{distribution}'" if name == distribution else f"'{distribution}' (plugin '{name}')"


def load_plugins() -> list[Plugin]:
    """Every installed plugin, the built-in one first, then by distribution and name."""
    allowed = allow_list()
    loaded = [_load(Source(BUILTIN, "avatarkit.builtin", "avatarkit", _version()))]
    points = importlib.metadata.entry_points(group=PROJECT)
    for source in sorted(map(_source, points), key=lambda s: (s.distribution, s.name, s.module)):
        if source.module == "avatarkit.builtin":
            continue
        if allowed is not None and not {source.name, source.distribution} & allowed:
            loaded.append(Plugin(source, "off", [f"not on the allow-list {ALLOW_LIST}"]))
        else:
            loaded.append(_load(source))
    return loaded


def allow_list() -> set[str] | None:
    """Names of plugins or distributions in AVATARKIT_PLUGINS; None where it is unset, empty: the built-in plugin only."""
    text = os.environ.get(ALLOW_LIST)
    return None if text is None else {part.strip() for part in text.split(",") if part.strip()}


def one_line(error: BaseException) -> str:
    """``ImportError: no module named x`` from an exception."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _version() -> str:
    from avatarkit import __version__

    return __version__


def _source(point: importlib.metadata.EntryPoint) -> Source:
    distribution = point.dist
    if distribution is None:
        return Source(point.name, point.value, point.value.partition(".")[0], "")
    return Source(point.name, point.value, distribution.name or "", distribution.version or "")


def _load(source: Source) -> Plugin:
    plugin = Plugin(source)
    heavy_before = {name for name in HEAVY if name in sys.modules}
    began = time.perf_counter()
    try:
        module = importlib.import_module(source.module)
    except (Exception, SystemExit) as error:
        plugin.status = "error"
        plugin.problems.append(f"cannot be imported: {one_line(error)}")
        return plugin
    plugin.seconds = time.perf_counter() - began
    heavy = [name for name in HEAVY if name in sys.modules and name not in heavy_before]
    if heavy:
        plugin.problems.append(f"imports {', '.join(heavy)}; move that behind the provider's target")
    elif plugin.seconds > SLOW_SECONDS:
        plugin.problems.append(
            f"takes {plugin.seconds:.1f} s to import (limit {SLOW_SECONDS} s); move slow imports behind the provider's target"
        )
    plugin.problems.extend(misspelt_hooks(module))
    try:
        _read_hooks(plugin, module)
    except Exception as error:  # pluggy refuses the module as a whole: a hook with arguments that do not exist, say
        plugin.status = "error"
        plugin.problems.append(one_line(error))
    return plugin


def misspelt_hooks(module: ModuleType) -> list[str]:
    """Sentences about functions that look like hooks and are none, or that lack ``@hookimpl``."""
    problems = []
    for name, value in vars(module).items():
        if not callable(value) or isinstance(value, type):
            continue
        marked = isinstance(getattr(value, f"{PROJECT}_impl", None), dict)
        named = name.startswith((f"{PROJECT}_", "avatar_kit_"))
        if not marked and not named:
            continue
        if name not in HOOK_NAMES:
            problems.append(f"'{name}' is not a hook and is never called{nearest(name, HOOK_NAMES)}")
        elif not marked:
            problems.append(f"'{name}' lacks @hookimpl and is never called")
    return problems


def _read_hooks(plugin: Plugin, module: ModuleType) -> None:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    for role, hook in HOOKS.items():
        for record in _records(plugin, manager, hook, Provider):
            _judge(plugin, role, record)
    plugin.checks.extend(_records(plugin, manager, "avatarkit_checks", Check))
    for implementation in manager.hook.avatarkit_on_event.get_hookimpls():
        plugin.on_event, plugin.on_event_arguments = implementation.function, tuple(implementation.argnames)


def _records(plugin: Plugin, manager: pluggy.PluginManager, hook: str, kind: type) -> list[Any]:
    """What ``hook`` yields, without what is not a ``kind``; a hook that raises costs its own records only."""
    records: list[Any] = []
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        try:
            found: Iterable[Any] = implementation.function()
            if not isinstance(found, Iterable):
                plugin.problems.append(f"{hook} must yield {kind.__name__} records; it returned {type(found).__name__}")
                continue
            for record in found:
                if isinstance(record, kind):
                    records.append(record)
                else:
                    plugin.problems.append(f"{hook} must yield {kind.__name__} records; it yielded {record!r:.80}")
        except (Exception, SystemExit) as error:
            plugin.problems.append(f"{hook} failed: {one_line(error)}")
    return records


def _judge(plugin: Plugin, role: Role, provider: Provider) -> None:
    """Accept ``provider``, or note why not."""
    reason = ""
    if provider.api != API_VERSION:
        older = "update the plugin" if provider.api < API_VERSION else "update avatarkit"
        reason = f"is written for contract version {provider.api}; this avatarkit has {API_VERSION}: {older}"
    elif not _NAME.fullmatch(provider.name):
        reason = "has a bad name; expected lower-case letters, digits, '-', '_' and '.'"
    elif not _TARGET.fullmatch(provider.target):
        reason = f"has the target '{provider.target}'; expected 'package.module:attribute'"
    elif provider.config and not _TARGET.fullmatch(provider.config):
        reason = f"has the config '{provider.config}'; expected 'package.module:Dataclass'"
    elif any(role == r and provider.name == p.name for r, p in plugin.providers):
        reason = "is yielded twice; the first one counts"
        plugin.problems.append(f"{role} '{provider.name}' {reason}")
        return
    if reason:
        plugin.refused[role, provider.name] = reason
        plugin.problems.append(f"{role} '{provider.name}' {reason}")
    else:
        plugin.providers.append((role, provider))
