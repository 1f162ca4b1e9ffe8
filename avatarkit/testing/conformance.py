"""Does a part keep its contract?  One list of checks per role, for pytest and for ``avatarkit plugins check``.

A check is a function of the part that returns a short description of what it saw, raises ``Broken`` where the contract is not
kept, and ``Skipped`` where it cannot look.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from avatarkit.errors import AvatarkitError, EnvironmentProblem, PluginError, unknown_name
from avatarkit.hookspecs import Provider, Role

Check = Callable[[Any], str]
LOOKS_ONLY = "its_method_fits"  # the one check that calls nothing, and so runs on providers that use the network
MODULES: dict[Role, str] = {
    "rasterizer": "avatarkit.testing.rasterizers",
    "head_model": "avatarkit.testing.head_models",
    "tracker": "avatarkit.testing.trackers",
    "segmenter": "avatarkit.testing.segmenters",
    "refiner": "avatarkit.testing.refiners",
    "editor": "avatarkit.testing.editors",
    "discriminator": "avatarkit.testing.discriminators",
    "exporter": "avatarkit.testing.exporters",
    "metric": "avatarkit.testing.metrics",
}


class Broken(AssertionError):
    """The part does not keep its contract."""


class Skipped(Exception):
    """The check cannot look here; says why."""


@dataclass(frozen=True)
class Result:
    """check: its name in words.  ok: kept, or not looked at (skipped).  detail: what was seen, or what is wrong."""

    check: str
    ok: bool
    skipped: bool
    detail: str


def checks(role: Role) -> list[Check]:
    """The checks of a role, in order."""
    if role not in MODULES:
        raise unknown_name("role", role, MODULES)
    return list(importlib.import_module(MODULES[role]).CHECKS)


def name(check: Check) -> str:
    """``gradients_match_the_reference`` → "gradients match the reference"; also for pytest's ``ids``."""
    return check.__name__.replace("_", " ")


def check(part: Provider | Any, role: Role) -> list[Result]:
    """Run every check of ``role`` on a part, or on what a Provider makes."""
    if isinstance(part, Provider):
        from avatarkit.discovery import Plugin, Source
        from avatarkit.registry import Registry

        alone = Plugin(Source(part.name, "", part.name, ""), providers=[(role, part)])
        return _check_created(Registry([alone]), role, part.name)
    return [_run(one, part) for one in checks(role)]


def check_provider(role: Role, name_or_file: str) -> list[Result]:
    """Make the part that the installed plugins provide under this name and run every check of its role on it."""
    from avatarkit.registry import registry

    return _check_created(registry(), role, name_or_file)


def _check_created(registry: Any, role: Role, name_or_file: str) -> list[Result]:
    try:
        part = registry.create(role, name_or_file)
    except EnvironmentProblem as error:
        lacking = not isinstance(
            error, PluginError
        )  # a package, a device or an asset that is not here: no fault of the part
        return [Result("can be made", lacking, lacking, str(error))]
    except AvatarkitError as error:
        return [Result("can be made", False, False, str(error))]
    made = Result("can be made", True, False, type(part).__name__)
    offline = not registry.get(role, name_or_file).network
    return [
        made,
        *(_run(one, part) if offline or one.__name__ == LOOKS_ONLY else _not_sent(one) for one in checks(role)),
    ]


def _not_sent(one: Check) -> Result:
    return Result(name(one), True, True, "not called: it sends data off the machine")


def _run(one: Check, part: Any) -> Result:
    try:
        return Result(name(one), True, False, one(part))
    except Skipped as reason:
        return Result(name(one), True, True, str(reason))
    except Broken as fault:
        return Result(name(one), False, False, str(fault))
    except EnvironmentProblem as error:
        return Result(name(one), True, True, str(error))
    except Exception as error:
        return Result(name(one), False, False, f"raised {type(error).__name__}: {' '.join(str(error).split())}")


def require(condition: Any, fault: str) -> None:
    """Raise ``Broken`` with ``fault`` unless ``condition``."""
    if not condition:
        raise Broken(fault)
