"""A large capture stays within 6 GiB of anonymous memory; what is kept is counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from avatarkit.recon import views as module
from avatarkit.recon.views import Views

from .conftest import Parts

ROOT = Path(__file__).resolve().parents[2]
GIB = 1 << 30


def test_views_keep_no_more_than_the_limit(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80² pictures, 19,200 bytes each, and their halves: what does not fit is made anew each time, and is the same."""
    frames = parts.sequence.capture.indices("train")
    free = Views(parts.sequence, frames, (1.0, 1.0, 1.0))
    expected = [free.view(i, half).target for half in (True, False) for i in range(len(free))]
    monkeypatch.setattr(module, "MEMORY_LIMIT", 100_000)
    tight = Views(parts.sequence, frames, (1.0, 1.0, 1.0))
    for _ in range(2):
        found = [tight.view(i, half).target for half in (True, False) for i in range(len(tight))]
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
        held = sum(tensor.numel() * tensor.element_size() for tensor in tight._kept.values())
        assert 60_000 < held <= 100_000


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="RssAnon is Linux's")
def test_sixteen_cameras_by_three_hundred_timesteps(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("large_capture.py"))],
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print({name: f"{most / GIB:.2f} GiB" for name, most in found["most"].items()})
    assert found["frames"] == 4800 and found["train"] == 15 * 210
    assert found["most"]["views"] > 3.9 * GIB, "the views were filled"
    assert max(found["most"].values()) < 6 * GIB
