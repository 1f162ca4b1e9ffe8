"""Does slow work while it is imported, and its event hook fails."""

from __future__ import annotations

import time
from collections.abc import Iterable

from avatarkit.events import Event, Run
from avatarkit.hookspecs import Provider, hookimpl

time.sleep(0.3)
CALLS: list[Event] = []


@hookimpl
def avatarkit_exporters() -> Iterable[Provider]:
    yield Provider("patient", "slow_plugin:Nothing", "comes late")


@hookimpl
def avatarkit_on_event(run: Run, event: Event) -> None:
    CALLS.append(event)
    raise RuntimeError("the event hook broke")
