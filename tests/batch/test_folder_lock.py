"""Two batches, or a batch and what a killed one left running, do not write one folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from avatarkit.batch.folder_lock import held
from avatarkit.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="flock is POSIX")


def test_a_second_batch_is_told_who_is_there(tmp_path: Path) -> None:
    said = rf"a batch is at work there \(process {os.getpid()} on .+\), or tasks that it left behind; wait for it"
    with held(tmp_path), pytest.raises(InputError, match=said), held(tmp_path, patience=0.0):
        pass


def test_it_can_be_held_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with held(tmp_path, patience=0.0) as descriptors:
            assert len(descriptors) == 1


def test_it_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    """However that ends: no stale lock is left by kill -9."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom avatarkit.batch.folder_lock import held\n"
        "with held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {other.pid} on"), held(tmp_path, patience=0.0):
            pass
        other.kill()
        other.wait()
    with held(tmp_path, patience=0.0):
        pass


def test_a_task_that_was_left_running_holds_it(tmp_path: Path) -> None:
    with held(tmp_path) as descriptors:
        task = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=descriptors)
    try:
        with pytest.raises(InputError, match="or tasks that it left behind"), held(tmp_path, patience=0.0):
            pass
    finally:
        task.kill()
        task.wait()
    with held(tmp_path, patience=0.0):
        pass
