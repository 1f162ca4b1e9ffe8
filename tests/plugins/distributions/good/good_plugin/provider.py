"""A plugin that keeps every rule."""

from __future__ import annotations

from collections.abc import Iterable

from avatarkit.contracts import CheckResult
from avatarkit.events import Event
from avatarkit.hookspecs import Check, Provider, hookimpl

HEARD: list[Event] = []


@hookimpl
def avatarkit_rasterizers() -> Iterable[Provider]:
    yield Provider(
        "points",
        "good_plugin.points:PointRasterizer",
        "one pixel per Gaussian",
        config="good_plugin.options:PointOptions",
    )
    yield Provider(
        "lacking", "good_plugin.points:PointRasterizer", "needs what is not there", requires=("no_such_package.sub",)
    )
    yield Provider("nowhere", "good_plugin.points:Missing", "its target does not exist")
    yield Provider("partial", "good_plugin.points:Partial", "lacks what the contract asks")
    yield Provider("failing", "good_plugin.points:Failing", "raises when it is made")
    yield Provider("device", "good_plugin.points:Partial", "needs a GPU", device="cuda")


@hookimpl
def avatarkit_checks() -> Iterable[Check]:
    yield Check("good weights", lambda: CheckResult(False, "none", "run: good-plugin download"))
    yield Check("good failure", _failing)


@hookimpl
def avatarkit_on_event(event: Event) -> None:
    HEARD.append(event)


def _failing() -> CheckResult:
    raise RuntimeError("the check broke")
