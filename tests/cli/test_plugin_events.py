"""Plugins with ``avatarkit_on_event`` hear what every command does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatarkit.events import Event, Finished, Started

HEARD: list[Event] = []


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """The registry of this process with one more plugin, which listens."""
    from dataclasses import replace

    import avatarkit.registry as module

    plugins = module.registry().plugins
    ears = replace(plugins[0], on_event=HEARD.append, on_event_arguments=("event",))
    heard = module.Registry([*plugins, ears])
    original = heard.plugins
    assert original[-1].on_event is not None
    connect = module.Registry.connect
    monkeypatch.setattr(module.Registry, "connect", lambda self, run: connect(heard, run))
    HEARD.clear()
    return HEARD


def stages(events: list[Event], kind: type) -> list[str]:
    return [event.stage for event in events if isinstance(event, kind)]  # type: ignore[attr-defined]


def test_every_command_that_runs_is_heard(
    listener: list[Event], command: Callable[..., Any], reconstructed: Path, tiny_capture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.avatar"
    assert command("recon", tiny_capture, "-o", out, "--iterations", 2, "--no-report", "-q").code == 0
    assert "recon" in stages(listener, Finished) and "evaluating test" in stages(listener, Finished)
    for line, stage in (
        (("eval", reconstructed, "-q"), "evaluating test"),
        (("render", reconstructed, "-o", tmp_path / "a.png", "-q"), "rendering"),
        (("report", reconstructed, "-o", tmp_path / "a.html", "-q"), "evaluating val"),
    ):
        listener.clear()
        assert command(*line).code == 0
        assert stage in stages(listener, Started), line


def test_demo_and_track_are_heard(listener: list[Event], command: Callable[..., Any], tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"not a video")
    for line in (("track", clip, "-o", tmp_path / "t"), ("demo", "--clip", clip, "-o", tmp_path / "d")):
        import avatarkit.registry as module

        connected: list[object] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module.Registry, "connect", lambda self, run, seen=connected: seen.append(run))
            assert command(*line, *(("--tracker", TRACKER) if line[0] == "track" else ())).code in (2, 3)
        assert len(connected) == 1, line


TRACKER = str(Path(__file__).with_name("silent_tracker.py")) + ":Silent"
