"""The folder that ``make_capture`` writes, read back file by file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatarkit.cameras import opengl_to_viewmat
from avatarkit.errors import EnvironmentProblem, InputError
from avatarkit.synthetic.appearance import Appearance
from avatarkit.synthetic.capture import DEPTH_UNIT, camera_arc, make_capture, render_view, split_of
from avatarkit.synthetic.motion import natural_motion
from avatarkit.synthetic.subject import bust

LOOK = Appearance(hair_style="short")
CAMERAS, STEPS = 3, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    calls: list[tuple[int, int]] = []
    out = make_capture(
        tmp_path_factory.mktemp("film"), cameras=CAMERAS, timesteps=STEPS, width=72, height=64, appearance=LOOK, samples=2,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert calls[-1] == (CAMERAS * STEPS, CAMERAS * STEPS)
    return out


def frames(folder: Path) -> dict[str, list[dict[str, object]]]:
    return {s: json.loads((folder / f"transforms_{s}.json").read_text())["frames"] for s in ("train", "val", "test")}


def test_splits(folder: Path) -> None:
    rows = frames(folder)
    assert {s: len(v) for s, v in rows.items()} == {"train": 6, "val": 3, "test": 3}
    assert {f["timestep_index"] for f in rows["test"]} == {3}
    assert {f["camera_index"] for f in rows["val"]} == {1}


def test_the_default_split_is_thirty_per_cent() -> None:
    kinds = [split_of(t, c, 40, 8) for t in range(40) for c in range(8)]
    assert {k: kinds.count(k) for k in set(kinds)} == {"train": 28 * 7, "val": 28, "test": 12 * 8}


def test_every_frame_names_its_files_and_camera(folder: Path) -> None:
    needed = {"timestep_index", "camera_index", "cx", "cy", "fl_x", "fl_y", "h", "w", "transform_matrix", "file_path",
              "fg_mask_path", "flame_param_path", "label_path", "depth_path"}  # fmt: skip
    rig = camera_arc(CAMERAS, 72, 64)
    for row in (row for rows in frames(folder).values() for row in rows):
        assert needed <= set(row)
        for key in ("file_path", "fg_mask_path", "flame_param_path", "label_path", "depth_path"):
            assert (folder / str(row[key])).is_file()
        camera = rig[int(row["camera_index"])]  # type: ignore[call-overload]
        np.testing.assert_allclose(opengl_to_viewmat(np.array(row["transform_matrix"])), camera.viewmat, atol=1e-12)
        assert row["cx"] == camera.K[0, 2] and row["fl_x"] == camera.K[0, 0] and row["w"] == 72


def test_parameters_have_the_head_models_counts_and_no_offset(folder: Path) -> None:
    for path in [*sorted((folder / "flame_param").glob("*.npz")), folder / "canonical_flame_param.npz"]:
        with np.load(path, allow_pickle=False) as file:
            shapes = {k: file[k].shape for k in file.files}
            assert all(file[k].dtype == np.float32 for k in file.files)
        assert shapes == {
            "translation": (1, 3), "rotation": (1, 3), "neck_pose": (1, 3), "jaw_pose": (1, 3), "eyes_pose": (1, 6),
            "expr": (1, bust().num_expr), "shape": (bust().num_shape,),
        }  # fmt: skip


def test_pictures_are_what_the_renderer_sees(folder: Path) -> None:
    view = render_view(LOOK, natural_motion(STEPS)[2], camera_arc(CAMERAS, 72, 64)[1], samples=2)
    for name, expected in (("images", view.rgb), ("fg_masks", view.mask), ("labels", view.labels)):
        np.testing.assert_array_equal(np.array(Image.open(folder / name / "00002_01.png")), expected)
    depth = np.array(Image.open(folder / "depth" / "00002_01.png")).astype(float) * DEPTH_UNIT
    np.testing.assert_allclose(depth, view.depth, atol=DEPTH_UNIT)


def test_the_background_is_white_and_the_appearance_is_kept(folder: Path) -> None:
    image, mask = (np.array(Image.open(folder / n / "00000_00.png")) for n in ("images", "fg_masks"))
    assert (image[mask == 0] == 255).all()
    assert Appearance.from_json((folder / "appearance.json").read_text()) == LOOK


def test_cameras_reach_the_sides_and_one_looks_from_the_front() -> None:
    azimuths = [np.degrees(np.arctan2(c.centre[0], c.centre[2])) for c in camera_arc(8, 64, 64)]
    assert min(azimuths) < -55 and max(azimuths) > 55 and np.abs(azimuths).min() < 12


def test_bad_requests_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 cameras"):
        make_capture(tmp_path / "a", cameras=0, timesteps=1, appearance=LOOK)
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        make_capture(tmp_path / "file" / "b", cameras=1, timesteps=1, appearance=LOOK, width=32, height=32)
