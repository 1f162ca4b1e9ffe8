"""From inputs to a sequence and the head model that it belongs to."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from avatarkit.errors import InputError
from avatarkit.events import Event, Notice, Picture, Run
from avatarkit.recon.drawn_head import drawn_head
from avatarkit.recon.head_tuning import posed
from avatarkit.recon.prepare import BESIDE, drawn_heads, head_source, prepare_sequence, read_known, source_of

from .conftest import Parts


@pytest.fixture(autouse=True)
def caches(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_a_data_set_chooses_its_head_by_counts(tiny_capture: Path) -> None:
    sequence, head = prepare_sequence([tiny_capture], Run())
    assert head.name == "bust" and len(sequence.params) == 6 and sequence.capture.masked


DRAWS = '''
import torch
from avatarkit.cameras import intrinsics
from avatarkit.errors import InputError
from avatarkit.events import Picture
from avatarkit.head.parameters import HeadParams
from avatarkit.track.sequence import Sequence


class Draws:
    """Writes a picture for people, then finds the head at rest; of pictures that are black, that it finds none."""

    def track(self, capture, head, run, initial=None):
        (run.folder / "tracking.png").write_bytes(capture.name.encode())
        run.emit(Picture("tracking", run.folder / "tracking.png"))
        run.notice("drawn")
        if not capture.image(0).any():
            raise InputError("nothing there")
        params = HeadParams.zeros(capture.num_timesteps, head.num_shape, head.num_expr)
        K = torch.tensor(intrinsics(200.0, 200.0, 40.0, 40.0), dtype=torch.float32)[None]
        return Sequence(capture, params, torch.eye(4)[None], K, head.reference)
'''


def test_a_trackers_picture_replaces_an_earlier_one_only_when_the_sequence_is_whole(tmp_path: Path) -> None:
    (tmp_path / "draws.py").write_text(DRAWS)
    for name, level in (("one", 90), ("black", 0)):
        for kind in ("images", "masks"):
            (tmp_path / name / kind).mkdir(parents=True)
            for step in range(3):
                shown = np.full((80, 80), level if kind == "images" else 255, np.uint8)
                Image.fromarray(shown).save(tmp_path / name / kind / f"{step}.png")
    heard: list[Event] = []
    run, picture = Run(tmp_path / "me.run", sinks=(heard.append,)), tmp_path / "me.run" / "tracking.png"
    options = {"head": "bust", "tracker": f"{tmp_path / 'draws.py'}:Draws"}
    prepare_sequence([tmp_path / "one"], run, **options)
    assert picture.read_bytes() == b"one" and (tmp_path / "me.run" / "tracking" / "transforms_train.json").is_file()
    assert [event.path for event in heard if isinstance(event, Picture)] == [picture]
    assert [event.text for event in heard if isinstance(event, Notice)].count("drawn") == 1
    heard.clear()
    with pytest.raises(InputError, match="nothing there"):
        prepare_sequence([tmp_path / "black"], run, **options)
    assert picture.read_bytes() == b"one"
    assert not any(isinstance(event, Picture) for event in heard)


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
    ears, body = (
        (parts.head.regions[a] + parts.head.regions[b] > 0).numpy()
        for a, b in (("l_ear", "r_ear"), ("neck", "boundary"))
    )
    faces, pose = parts.head.faces.numpy(), posed(parts.head, parts.sequence.params)
    shown = 0
    for index in range(len(drawn)):
        triangle = drawn_head(parts.sequence, pose, faces, index).triangle
        ear = (triangle >= 0) & ears[faces[np.maximum(triangle, 0)]].any(-1)
        shown += int(ear.sum())
        assert not (drawn[index] & ear).any() and not (drawn[index] & (triangle < 0)).any()
        below = (triangle >= 0) & body[faces[np.maximum(triangle, 0)]].any(-1)
        head = (triangle >= 0) & ~ear & ~below
        rim = int(np.ceil(BESIDE * (boxes[index, 2] - boxes[index, 0])))
        assert drawn[index][ndimage.binary_erosion(head, np.ones((3, 3)), iterations=rim)].all()
        assert drawn[index].sum() > 0.6 * head.sum()
        assert (boxes[index, 2:] > boxes[index, :2]).all()
    assert shown > 30


def test_where_the_frames_are_found_again(parts: Parts, tiny_capture: Path, tmp_path: Path) -> None:
    assert source_of([tiny_capture], Run(tmp_path))["sequence"] == str(tiny_capture.resolve())
    film = source_of([Path("me.mp4")], Run(tmp_path))
    assert film["sequence"] == str(tmp_path / "tracking") and film["inputs"] == [str(Path("me.mp4").resolve())]
    assert "path" not in head_source("bust", parts.head)
