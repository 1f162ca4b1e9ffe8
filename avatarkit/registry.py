"""The registry: which parts there are, and one of them by name.

``registry()`` reads every installed plugin once; ``Registry.get`` finds a provider, ``Registry.create`` makes the part.  A
plugin's fault never stops anything but what was asked of that plugin.  No torch until a part is made.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarkit import contracts, machine
from avatarkit.discovery import Plugin, load_plugins, one_line
from avatarkit.errors import (
    AvatarkitError,
    ConfigError,
    EnvironmentProblem,
    InputError,
    MissingDependency,
    PluginError,
    nearest,
)
from avatarkit.events import Event, Run, Sink
from avatarkit.hookspecs import HOOKS, Check, Provider, Role

log = logging.getLogger("avatarkit")

PROTOCOLS: dict[Role, type] = {
    "tracker": contracts.Tracker,
    "rasterizer": contracts.Rasterizer,
    "refiner": contracts.Refiner,
    "editor": contracts.Editor,
    "discriminator": contracts.Discriminator,
    "head_model": contracts.HeadModel,
    "segmenter": contracts.Segmenter,
    "exporter": contracts.Exporter,
    "metric": contracts.EditMetric,
}
# The first usable one is the default of a role; a role without a row here is chosen by the user.
PREFERRED: dict[Role, tuple[str, ...]] = {
    "rasterizer": ("gsplat", "cpu"),
    "tracker": ("photometric", "mediapipe"),
    "segmenter": ("head-regions",),
    "refiner": ("rules",),
}
STARTS_FROM = {"photometric": "mediapipe"}
"""What a preferred part is no default without."""


@dataclass(frozen=True)
class Entry:
    """A provider and the plugin that it came from."""

    role: Role
    provider: Provider
    plugin: Plugin


class Registry:
    """Everything that the installed plugins provide.  Build one with ``registry()``, or from plugins in a test."""

    def __init__(self, plugins: list[Plugin]) -> None:
        self.plugins = plugins
        self._entries: dict[tuple[Role, str], list[Entry]] = {}
        for plugin in plugins:
            for role, provider in plugin.providers:
                self._entries.setdefault((role, provider.name), []).append(Entry(role, provider, plugin))
        for entries in self._entries.values():
            self._note_collision(entries)

    def _note_collision(self, entries: list[Entry]) -> None:
        """A row for each side; a built-in keeps its name, so that no plugin can take the ground from under the core."""
        if len(entries) == 1:
            return
        what = f"{entries[0].role} '{entries[0].provider.name}'"
        builtin = next((entry for entry in entries if entry.plugin is self.plugins[0]), None)
        for entry in entries:
            others = [other.plugin.label for other in entries if other is not entry]
            if builtin is None:
                entry.plugin.problems.append(f"{what} is also provided by {' and '.join(others)}")
            elif entry is not builtin:
                entry.plugin.problems.append(f"{what} is built in and cannot be shadowed; give yours another name")
        if builtin is not None:
            entries[:] = [builtin]

    def entries(self, role: Role | None = None) -> list[Entry]:
        """All accepted providers, of one role or of all, by role and name; both sides of a collision are listed."""
        order = list(HOOKS)
        rows = [entry for entries in self._entries.values() for entry in entries if role in (None, entry.role)]
        return sorted(rows, key=lambda e: (order.index(e.role), e.provider.name, e.plugin.source.distribution))

    def providers(self, role: Role) -> list[Provider]:
        """The providers of a role that can be asked for by name, sorted by name."""
        return [rows[0].provider for (r, _), rows in sorted(self._entries.items()) if r == role and len(rows) == 1]

    def checks(self) -> list[tuple[Plugin, Check]]:
        """Rows for ``doctor``, with the plugin that adds each."""
        return [(plugin, check) for plugin in self.plugins for check in plugin.checks]

    def get(self, role: Role, name: str) -> Provider:
        """The provider of ``role`` that is called ``name``; ``path/to/file.py:Class`` stands for itself.

        Raises InputError for an unknown name, PluginError where two plugins claim it or its ``api`` does not fit.
        """
        if _is_file(name):
            return _file_provider(name)
        entries = self._entries.get((role, name), [])
        if len(entries) == 1:
            return entries[0].provider
        said = _said(role)
        if entries:
            both = " and ".join(f"{entry.plugin.label}" for entry in entries)
            raise PluginError(f"{said} '{name}' is provided by {both}; uninstall one, or choose with AVATARKIT_PLUGINS")
        for plugin in self.plugins:
            if (role, name) in plugin.refused:
                raise PluginError(f"{said} '{name}' of {plugin.label} {plugin.refused[role, name]}")
        known = [provider.name for provider in self.providers(role)]
        silent = [f"{p.label}: {p.problems[0]}" for p in self.plugins if p.status != "ok" and p.problems]
        also = f"; not read: {'; '.join(silent)}" if silent else ""
        raise InputError(
            f"unknown {said} '{name}'{nearest(name, known)} (known: {', '.join(known) or 'none'}; or FILE.py:Class{also})"
        )

    def create(self, role: Role, name: str, options: Mapping[str, Any] | None = None) -> Any:
        """Make the part: checks what it requires, checks ``options`` against its config, imports and calls its target.

        Raises MissingDependency, EnvironmentProblem (no CUDA device), ConfigError (unknown or wrong option), PluginError (the
        target cannot be imported, fails with something else than an AvatarkitError, or lacks what the contract asks).
        """
        provider = self.get(role, name)
        said = f"{_said(role)} '{name}'"
        lacking = missing(provider)
        if lacking:
            hint = provider.install_hint or f"pip install {' '.join(lacking)}"
            raise MissingDependency(f"{said} needs {', '.join(lacking)}, which is not installed; {_run(hint)}")
        if provider.device == "cuda" and not _cuda_works():
            state = machine.gpu()
            raise EnvironmentProblem(f"{said} needs an NVIDIA GPU: {state.found}; {state.mend or 'choose another one'}")
        arguments = [make_config(provider, options or {})] if provider.config else []
        if options and not provider.config:
            raise ConfigError(f"{said} takes no options; got {', '.join(map(str, options))}")
        made = _called(load_target(provider.target, said), arguments, said)
        absent = missing_members(PROTOCOLS[role], made)
        if absent:
            contract = PROTOCOLS[role].__name__
            raise PluginError(f"{said} does not fit the contract {contract}: it lacks {', '.join(absent)}")
        return made

    def usable(self, provider: Provider) -> bool:
        """Whether the packages and the device that ``provider`` needs are here.  Imports torch only for CUDA providers."""
        return not missing(provider) and (provider.device != "cuda" or _cuda_works())

    def default(self, role: Role) -> str:
        """The name that stands for no choice: gsplat where CUDA works and it is installed, else cpu; and so on.

        Raises EnvironmentProblem where none of the preferred ones is usable.
        """
        known = {provider.name: provider for provider in self.providers(role)}
        for name in PREFERRED.get(role, ()):
            needed = [known.get(part) for part in (name, STARTS_FROM.get(name, name))]
            if all(part is not None and self.usable(part) for part in needed):
                return name
        hints = [known[name].install_hint for name in PREFERRED.get(role, ()) if name in known]
        mend = (
            _run(next(filter(None, hints)))
            if any(hints)
            else f"choose one of: {', '.join(known) or 'none is installed'}"
        )
        raise EnvironmentProblem(f"no default {_said(role)} is usable here; {mend}")

    def connect(self, run: Run) -> None:
        """Let the plugins' ``avatarkit_on_event`` hear what ``run`` emits."""
        for plugin in self.plugins:
            if plugin.on_event is not None:
                run.add_sink(_sink(plugin, run))


@functools.cache
def registry() -> Registry:
    """The registry of this process, read on first use."""
    return Registry(load_plugins())


def default(role: Role) -> str:
    """``registry().default(role)``."""
    return registry().default(role)


def missing(provider: Provider) -> list[str]:
    """Packages that ``provider`` requires and that are not installed; looks, imports nothing."""
    return [package for package in provider.requires if not _installed(package)]


def make_config(provider: Provider, options: Mapping[str, Any]) -> Any:
    """The provider's config dataclass from ``options``.  Raises ConfigError with the nearest match for an unknown key."""
    from avatarkit.config import from_mapping

    kind = load_target(provider.config, f"the config of '{provider.name}'")
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise PluginError(f"the config of '{provider.name}', {provider.config}, is not a dataclass")
    return from_mapping(kind, options, f"options of '{provider.name}'")


def load_target(target: str, said: str) -> Any:
    """What ``package.module:attribute`` or ``path/to/file.py:attribute`` names.  Raises PluginError in words."""
    module_name, _, attribute = target.rpartition(":")
    try:
        value = _import_file(Path(module_name)) if _is_file(target) else importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
    except AvatarkitError:
        raise
    except AttributeError as error:
        raise PluginError(f"{said}: {module_name} has no '{attribute}' ({one_line(error)})") from error
    except (Exception, SystemExit) as error:
        raise PluginError(f"{said}: {module_name} cannot be imported: {one_line(error)}") from error
    return value


def missing_members(protocol: type, part: Any) -> list[str]:
    """Members of ``protocol`` that ``part`` lacks, sorted."""
    members = {name for name in protocol.__annotations__ if not name.startswith("_")}
    members |= {name for name, value in vars(protocol).items() if not name.startswith("_") and _is_member(value)}
    return sorted(name for name in members if not hasattr(part, name))


def _is_member(value: Any) -> bool:
    return callable(value) or isinstance(value, property)


def _called(target: Any, arguments: list[Any], said: str) -> Any:
    if not callable(target):
        raise PluginError(f"{said}: its target is a {type(target).__name__}, not something that can be called")
    try:
        return target(*arguments)
    except AvatarkitError:
        raise
    except Exception as error:
        raise PluginError(f"{said} could not be made: {one_line(error)}") from error


def _sink(plugin: Plugin, run: Run) -> Sink:
    """A sink around a plugin's ``avatarkit_on_event``.  After one error the plugin hears no more of this run."""
    hears = True

    def sink(event: Event) -> None:
        nonlocal hears
        if not hears or plugin.on_event is None:
            return
        given = {"run": run, "event": event}
        try:
            plugin.on_event(*(given[name] for name in plugin.on_event_arguments))
        except Exception:
            hears = False
            log.exception("%s failed in avatarkit_on_event and hears no more of this run", plugin.label)

    return sink


def _installed(package: str) -> bool:
    """``find_spec`` of the top-level package only: that of ``a.b`` would import ``a``."""
    top = package.partition(".")[0]
    try:
        return top in sys.modules or importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _cuda_works() -> bool:
    try:
        import torch

        return bool(torch.cuda.is_available())
    except ImportError:
        return False


def _said(role: Role) -> str:
    """How a role is called to people."""
    return role.replace("_", " ")


def _run(hint: str) -> str:
    return f"run: {hint}" if hint.startswith(("pip ", "avatarkit ")) else hint


def _is_file(name: str) -> bool:
    """``path/to/file.py:Class``, the shortcut for development."""
    module, _, attribute = name.rpartition(":")
    return module.endswith(".py") and attribute.replace(".", "_").isidentifier()


def _file_provider(name: str) -> Provider:
    """A provider for a class in a file; its options are the dataclass ``ClassConfig`` beside it, where there is one."""
    module = _import_file(Path(name.rpartition(":")[0]))
    config = f"{name}Config" if hasattr(module, f"{name.rpartition(':')[2]}Config") else ""
    return Provider(name, name, "from a file, for development", config=config)


@functools.cache
def _import_file(path: Path) -> Any:
    """The module in ``path``, imported once.  Raises InputError where there is none, PluginError where it fails."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected path/to/file.py:Class")
    module_name = f"avatarkit_file_{path.stem}_{abs(hash(path.resolve())):x}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise PluginError(f"{path} cannot be imported: {one_line(error)}") from error
    return module
