"""Fixtures that several areas share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


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
