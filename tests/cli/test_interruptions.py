"""A run that is killed or interrupted loses at most the steps since its last checkpoint."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
Started = tuple[subprocess.Popen[str], Path]


@pytest.fixture
def running(process: Callable[..., dict[str, Any]], tiny_capture: Path, tmp_path: Path) -> Iterator[Started]:
    """A reconstruction in a process of its own that would take minutes, as soon as it has two checkpoints."""
    out = tmp_path / "me.avatar"
    settings = ("--set", "checkpoint_every=0", "--set", "max_splats=16000", "--set", "free_gaussians=0")
    line = process("recon", tiny_capture, "-o", out, "--iterations", 20000, *settings)
    with subprocess.Popen(**line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            deadline = time.monotonic() + 120
            while len(list((tmp_path / "me.run" / "checkpoints").glob("step-*"))) < 2:
                assert started.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            yield started, out
        finally:
            started.kill()


def steps_of(out: Path) -> list[int]:
    return sorted(int(file.stem[5:]) for file in (out.with_suffix(".run") / "checkpoints").glob("step-*.safetensors"))


def shorten(out: Path, total: int) -> None:
    """Let the run end soon: what a checkpoint holds of its length."""
    from avatarkit.events import Run
    from avatarkit.recon import checkpoint

    run = Run(out.with_suffix(".run"))
    state = checkpoint.load_newest(run)
    assert state is not None
    state.total = state.step + total
    checkpoint.save(state, run)


def test_kill_9_and_resume(running: Started, command: Callable[..., Any], tiny_capture: Path) -> None:
    started, out = running
    started.send_signal(signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL and not out.exists()
    before = steps_of(out)
    assert before
    shorten(out, 5)
    said = command("recon", tiny_capture, "-o", out, "--resume", "--json", "-")
    assert said.code == 0, said.err
    assert f"resuming at step {before[-1]} of" in said.err
    assert said.json["steps"] == before[-1] + 5 and out.is_file() and "metrics" in said.json


def test_ctrl_c_leaves_a_checkpoint_and_an_avatar(running: Started, command: Callable[..., Any]) -> None:
    started, out = running
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=60)
    assert started.returncode == 130 and "Traceback" not in err
    assert "stopping after this step" in err and "continue with --resume" in " ".join(err.split())
    step = steps_of(out)[-1]
    training = command("info", out, "--json", "-").json["training"]
    assert training["steps"] == step and training["total"] == 20000
