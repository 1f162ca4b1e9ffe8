"""A disk that is full, from each of the operations on it that need space: one line, and what was there is still there.

The first test counts operations and fails them from the n-th on, for every n until the write succeeds.  The second fills a real file
system, where the machine lets one be made.
"""

from __future__ import annotations

import builtins
import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarkit.errors import EnvironmentProblem

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 400  # operations; more means that a scenario never succeeds


class FullDisk:
    """Everything that needs space on the disk, from the ``last``-th time on."""

    def __init__(self, patch: pytest.MonkeyPatch, below: Path, last: int) -> None:
        self.count, self.last, self.below = 0, last, str(below)
        for owner, name in ((os, "fsync"), (os, "replace"), (os, "rename"), (os, "mkdir"), (os, "link"), (tempfile, "mkstemp")):  # fmt: skip
            patch.setattr(owner, name, self.failing(getattr(owner, name)))
        whole = builtins.open
        opened: Callable[..., Any] = lambda file, mode="r", *a, **k: self.opened(whole, file, mode, *a, **k)  # noqa: E731
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        made = os.fdopen
        patch.setattr(os, "fdopen", lambda *a, **k: Stream(self, made(*a, **k)))

    def tick(self) -> None:
        self.count += 1
        if self.count >= self.last:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def failing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.tick()
            return function(*arguments, **options)

        return call

    def opened(self, whole: Callable[..., Any], file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        writes = any(letter in mode for letter in "wax+") and str(file).startswith(self.below)
        if writes:
            self.tick()
        stream = whole(file, mode, *rest, **options)
        return Stream(self, stream) if writes else stream


class Stream:
    """A file whose writes and flushes count."""

    def __init__(self, disk: FullDisk, inner: Any) -> None:
        self._disk, self._inner = disk, inner

    def write(self, data: Any) -> Any:
        self._disk.tick()
        return self._inner.write(data)

    def flush(self) -> None:
        self._disk.tick()
        self._inner.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self._inner.close()

    def __iter__(self) -> Any:
        return iter(self._inner)


def write_an_avatar(folder: Path) -> None:
    from avatarkit.gaussians.avatar_file import save_avatar
    from avatarkit.testing.exporters import small_avatar

    save_avatar(small_avatar()[0], folder / "a.avatar")


def write_a_splat(folder: Path) -> None:
    from avatarkit.gaussians.exporters import PlyExporter
    from avatarkit.testing.exporters import small_avatar

    PlyExporter().export(*((small_avatar()[0]), folder / "a.ply", small_avatar()[1]))


def write_a_trained_folder(folder: Path) -> None:
    from avatarkit.gaussians.exporters import TrainedFolderExporter
    from avatarkit.testing.exporters import small_avatar

    TrainedFolderExporter().export(small_avatar()[0], folder / "trained", small_avatar()[1])


def write_a_film(folder: Path) -> None:
    from avatarkit.pictures.film import write_film

    write_film(folder / "a.mp4", [np.full((32, 32, 3), 40 * i, np.uint8) for i in range(3)], 25.0)


def write_a_picture(folder: Path) -> None:
    from avatarkit.pictures.sheet import write_picture

    write_picture(folder / "a.png", np.zeros((8, 8, 3), np.uint8))


def write_json(folder: Path) -> None:
    from avatarkit.cli.json_output import write_json as written

    written({"psnr": 30.0}, str(folder / "a.json"))


def write_a_config(folder: Path) -> None:
    from avatarkit.config import dump_config
    from avatarkit.recon.config import ReconConfig

    dump_config(ReconConfig(), folder / "config.yaml")


def write_frames(folder: Path) -> None:
    from avatarkit.capture.cache import cached

    def build(writer: Any) -> dict[str, Any]:
        for level in (3, 4):
            writer.add(np.full((6, 5, 3), level, np.uint8))
        return {}

    cached("k", build, cache_dir=folder / "frames", needed=0)


WRITERS = (
    write_an_avatar, write_a_splat, write_a_trained_folder, write_a_film, write_a_picture, write_json, write_a_config, write_frames,
)  # fmt: skip


def digest(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def full_at_every_operation(folder: Path, write: Callable[[Path], object], stride: int = 1) -> int:
    """How many operations ``write`` takes; each, or every ``stride``-th, was the first to find the disk full."""
    before = digest(folder)
    for last in range(1, stride * LIMIT, stride):
        with pytest.MonkeyPatch.context() as patch:
            FullDisk(patch, folder, last)
            try:
                write(folder)
            except EnvironmentProblem as error:
                text = str(error)
            else:
                return last - 1
        assert "the disk is full" in text and "\n" not in text, text
        after = digest(folder)
        assert {name: after.get(name) for name in before} == before, (
            f"operation {last}: an older file is lost or changed"
        )
        assert not [name for name in after if ".part" in name], f"operation {last}: {sorted(after)}"
    raise AssertionError(f"it does not succeed within {LIMIT} operations")


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_every_operation_may_find_the_disk_full(tmp_path: Path, write: Callable[[Path], None]) -> None:
    if write is not write_frames:  # a cache that is there is not written again
        write(tmp_path)
    assert full_at_every_operation(tmp_path, write) >= 1
    assert digest(tmp_path)


def test_a_checkpoint_and_a_sequence(tmp_path: Path, tiny_capture: Path) -> None:
    from avatarkit.events import Run
    from avatarkit.head.loading import load_head
    from avatarkit.recon import checkpoint
    from avatarkit.recon.config import ReconConfig
    from avatarkit.recon.loop import start
    from avatarkit.track.sequence_files import load_sequence, save_sequence

    head = load_head("bust")
    sequence = load_sequence(tiny_capture, head, cache_dir=tmp_path / "cache")
    state = start(sequence, head, ReconConfig(max_splats=16000, free_gaussians=0))
    (tmp_path / "run").mkdir()
    run = Run(tmp_path / "run")
    checkpoint.save(state, run)
    state.step = 5
    assert full_at_every_operation(tmp_path / "run", lambda folder: checkpoint.save(state, run)) >= 3
    (tmp_path / "s").mkdir()
    save_sequence(sequence, tmp_path / "s" / "tracked")
    assert (
        full_at_every_operation(tmp_path / "s", lambda folder: save_sequence(sequence, folder / "tracked"), 29) >= 100
    )
    assert load_sequence(tmp_path / "s" / "tracked", head, cache_dir=tmp_path / "cache").capture.num_timesteps == 6


REAL = """
import sys
from pathlib import Path
import numpy as np, torch
from avatarkit.errors import EnvironmentProblem
from avatarkit.gaussians.tensor_file import load_tensors, save_tensors
folder = Path(sys.argv[1])
save_tensors(folder / "a", {"x": torch.zeros(20000)}, {}, "t/1")
failed = 0
for count in range(20000, 400000, 20000):  # 80 kB to 1.6 MB on a disk of 1 MB, beside what is there
    try:
        save_tensors(folder / "a", {"x": torch.ones(count)}, {}, "t/1")
    except EnvironmentProblem as error:
        assert "the disk is full" in str(error), error
        failed += 1
    assert load_tensors(folder / "a", "t/1")[0]["x"].numel() <= count
    assert [file.name for file in folder.iterdir()] == ["a"]
print(failed)
"""


def test_a_real_disk_that_fills(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
    line = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*line, "true"], capture_output=True).returncode:
        pytest.skip("no small file system can be made here (unshare --user --mount)")
    done = subprocess.run(
        [*line, sys.executable, "-c", REAL, str(tmp_path)], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3
