"""From inputs to a sequence and the head model that it belongs to."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit.recon.drawn_head import drawn_head
from avatarkit.recon.head_tuning import posed
from avatarkit.recon.prepare import drawn_heads, head_source, prepare_sequence, read_known, source_of

from .conftest import Parts


@pytest.fixture(autouse=True)
def caches(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_a_data_set_chooses_its_head_by_counts(tiny_capture: Path) -> None:
    sequence, head = prepare_sequence([tiny_capture], Run())
    assert head.name == "bust" and len(sequence.params) == 6 and sequence.capture.masked


def test_a_data_set_of_no_known_head_says_what_is_needed(tiny_capture: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_capture, tmp_path / "other"))
    for file in [*(folder / "flame_param").iterdir(), folder / "canonical_flame_param.npz"]:
        np.savez(file, **{**dict(np.load(file)), "expr": np.zeros((1, 9), np.float32)})
    with pytest.raises(InputError, match=r"no head model here fits; give one with --head .*9 are needed"):
        read_known(folder, None, Run())
    with pytest.raises(InputError, match=r"head model 'bust' has .*9 are needed"):
        read_known(folder, "bust", Run())


def test_the_ears_of_the_model_are_not_surely_the_head(parts: Parts) -> None:
    """A mesh's ears may stick out where the person's do not: the wall between would become part of the avatar."""
    drawn, boxes = drawn_heads(parts.sequence, parts.head)
    ears = (parts.head.regions["l_ear"] + parts.head.regions["r_ear"] > 0).numpy()
    faces, pose = parts.head.faces.numpy(), posed(parts.head, parts.sequence.params)
    shown = 0
    for index in range(len(drawn)):
        triangle = drawn_head(parts.sequence, pose, faces, index).triangle
        ear = (triangle >= 0) & ears[faces[np.maximum(triangle, 0)]].any(-1)
        shown += int(ear.sum())
        assert not (drawn[index] & ear).any() and not (drawn[index] & (triangle < 0)).any()
        assert drawn[index].sum() > 0.9 * ((triangle >= 0) & ~ear).sum()
        assert (boxes[index, 2:] > boxes[index, :2]).all()
    assert shown > 30


def test_where_the_frames_are_found_again(parts: Parts, tiny_capture: Path, tmp_path: Path) -> None:
    assert source_of([tiny_capture], Run(tmp_path))["sequence"] == str(tiny_capture.resolve())
    film = source_of([Path("me.mp4")], Run(tmp_path))
    assert film["sequence"] == str(tmp_path / "tracking") and film["inputs"] == [str(Path("me.mp4").resolve())]
    assert "path" not in head_source("bust", parts.head)
