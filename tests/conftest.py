"""Fixtures that several areas share."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# A busy machine is no fault, and the examples are the same each time.
settings.register_profile("avatarkit", deadline=None, derandomize=True)
settings.load_profile("avatarkit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``gpu`` say why they are skipped where CUDA is missing."""
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device; none here"))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of private test data, found by AVATARKIT_TEST_DATA."""
    folder = Path(os.environ.get("AVATARKIT_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"private test data not present at {folder} (set AVATARKIT_TEST_DATA)")
    return folder


@pytest.fixture
def avatarkit_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty AVATARKIT_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("AVATARKIT_HOME", str(folder))
    return folder


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which commands of the tests run: caches of frames in a folder of their own, compiled code kept."""
    from avatarkit.paths import home

    compiled = os.environ.get("NUMBA_CACHE_DIR") or str(home() / "numba")
    return {"AVATARKIT_HOME": str(tmp_path_factory.mktemp("home")), "NUMBA_CACHE_DIR": compiled, "COLUMNS": "200"}


@pytest.fixture(scope="session")
def command(environment: dict[str, str]) -> Callable[..., Said]:
    """``command("info", path)`` → what ``avatarkit info path`` prints and its exit code, in this process."""

    def run(*arguments: object) -> Said:
        from avatarkit.cli.main import main

        out, err, code = io.StringIO(), io.StringIO(), 0
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main([str(argument) for argument in arguments])
                except SystemExit as stop:
                    code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return Said(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def process(environment: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """``process("recon", …)`` → what ``subprocess.run(**…)`` needs to run the command in a process of its own."""

    def prepared(*arguments: object) -> dict[str, Any]:
        line = [sys.executable, "-m", "avatarkit", *map(str, arguments)]
        return {"args": line, "env": {**os.environ, **environment, "PYTHONPATH": str(ROOT)}, "cwd": str(ROOT)}

    return prepared


@pytest.fixture(scope="session")
def tiny_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic subject: 3 cameras, 6 timesteps, 80²; one camera is val, the last timestep is test."""
    from avatarkit.synthetic.capture import make_capture

    folder = tmp_path_factory.mktemp("subject") / "tiny"
    return make_capture(folder, cameras=3, timesteps=6, width=80, height=80, samples=2)


SHORT = ("--set", "max_splats=16200", "--set", "free_gaussians=200", "--quiet")


@pytest.fixture(scope="session")
def reconstructed(tiny_capture: Path, command: Callable[..., Said], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The avatar of a short reconstruction of ``tiny_capture``; its run folder and summary.json stand beside it.  Do not
    change them."""
    folder = tmp_path_factory.mktemp("avatars")
    said = command("recon", tiny_capture, "-o", folder / "tiny.avatar", "--iterations", 150, *SHORT, "--json", "-")
    assert said.code == 0, said.err
    (folder / "summary.json").write_text(said.out)
    return folder / "tiny.avatar"
