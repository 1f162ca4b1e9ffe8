"""Reading FLAME-topology heads, choosing them by name, file and counts, and their teeth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatarkit.contracts import HeadModel
from avatarkit.errors import FileFormatError, InputError, MissingAsset
from avatarkit.head.flame import FlameModel, read_flame
from avatarkit.head.loading import default_head, load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.head.registering import register_head_file

Arrays = dict[str, np.ndarray]


def test_the_open_head(open_flame: FlameModel, open_flame_file: Path) -> None:
    assert isinstance(open_flame, HeadModel)
    assert (open_flame.num_shape, open_flame.num_expr) == (60, 51)
    assert open_flame.template.shape == (5023, 3)
    assert open_flame.faces.dtype == torch.int64
    assert open_flame.joint_names == ("root", "neck", "jaw", "l_eye", "r_eye")
    assert open_flame.landmarks is not None
    nose = open_flame.landmarks.points(open_flame.template, open_flame.faces)[open_flame.landmarks.indices == 4][0]
    assert nose[2] > open_flame.template[open_flame.regions["nose"] > 0, 2].max() - 0.004
    assert load_head(str(open_flame_file)).reference == open_flame.reference


def test_joints_are_the_eyes_and_left_is_plus_x(open_flame: FlameModel) -> None:
    places = open_flame.pose(HeadParams.zeros(1, 60, 51)).joints[0, :, :3, 3]
    for joint, region in ((3, "l_eye"), (4, "r_eye")):
        ball = open_flame.template[open_flame.regions[region] > 0].mean(0)
        assert (places[joint] - ball).norm() < 0.003
    assert places[3, 0] > 0 > places[4, 0]


CHANGES: list[tuple[Callable[[Arrays], object], str]] = [
    (lambda a: a.pop("posedirs"), "key 'posedirs' is missing"),
    (lambda a: a.update(v_template=a["v_template"][:100]), "'v_template' has shape"),
    (lambda a: a["v_template"].__setitem__((3, 1), np.nan), "'v_template' holds values that are not finite"),
    (lambda a: a.update(faces=a["faces"] + 5000), "'faces' must be"),
    (lambda a: a.update(faces=a["faces"].astype(float)), "'faces' has dtype"),
    (lambda a: a.update(lbs_weights=a["lbs_weights"] * 2), "'lbs_weights' must sum to one"),
    (lambda a: a.update(parents=np.array([-1, 0, 1, 1, 4])), "no tree"),
    (lambda a: a.update(parents=a["parents"][:4]), "'parents' has 4 joints"),
    (lambda a: a.update(expr_names=a["expr_names"][:5]), "'expr_names' has 5 names for 51 modes"),
    (lambda a: a.update(posedirs=a["posedirs"][:, :, :9]), "'posedirs' has shape"),
    (lambda a: a["mediapipe_landmark_face"].__setitem__(0, 99999), "must be face indices below"),
    (lambda a: a["mediapipe_landmark_index"].__setitem__(0, 478), "MediaPipe landmarks below 478"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=[words for _, words in CHANGES])
def test_bad_files_are_one_line(
    tmp_path: Path, open_flame_file: Path, change: Callable[[Arrays], object], words: str
) -> None:
    with np.load(open_flame_file) as data:
        arrays = {key: data[key].copy() for key in data.files}
    change(arrays)
    file = tmp_path / "head.npz"
    np.savez(file, **arrays)
    with pytest.raises(FileFormatError, match=words) as caught:
        load_head(file)
    assert str(caught.value).startswith(str(file))


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    file = tmp_path / "head.npz"
    for content in (b"", b"PK\x03\x04 broken", b"\x93NUMPY\x01\x00v\x00{}", b"\x80\x02}q\x00."):
        file.write_bytes(content)
        with pytest.raises(FileFormatError, match="not a readable head model npz"):
            load_head(file)
    with pytest.raises(InputError, match="no such file"):
        load_head(tmp_path / "absent.npz")


def test_named_heads(avatarkit_home: Path, open_flame_file: Path) -> None:
    assert default_head() == "bust"
    with pytest.raises(MissingAsset, match="avatarkit assets add flame FILE"):
        load_head("flame")
    with pytest.raises(InputError, match=r"unknown head.*'flme'; did you mean 'flame'"):
        load_head("flme")
    register_head_file("flame", open_flame_file, avatarkit_home / "assets" / "flame.npz")
    assert default_head() == "flame"
    assert load_head("flame").reference == {**read_flame(open_flame_file).reference, "name": "flame"}


def test_counts_choose_teeth_and_modes(open_flame_file: Path, open_flame: FlameModel) -> None:
    with_teeth = load_head(open_flame_file, expected={"vertices": 5143, "shape": 20, "expr": 51})
    assert with_teeth.reference | {"shape": 60} == open_flame.reference | {"vertices": 5143}
    assert load_head(open_flame_file, teeth=True).template.shape[0] == 5143
    assert load_head(open_flame_file, teeth=True, expected=open_flame.reference).template.shape[0] == 5023
    with pytest.raises(InputError, match="51 expression modes, 100 are needed"):
        load_head(open_flame_file, expected={"expr": 100})
    with pytest.raises(InputError, match="51 expression modes, 50 are needed"):
        load_head(open_flame_file, expected={"expr": 50})  # named modes are no principal components
    with pytest.raises(InputError, match="5023 vertices, 8058 are needed"):
        load_head(open_flame_file, expected={"vertices": 8058})


def test_registered_masks_and_landmarks_are_used(
    avatarkit_home: Path, tmp_path: Path, open_flame_file: Path, open_flame: FlameModel
) -> None:
    with np.load(open_flame_file) as data:
        plain = {key: data[key] for key in data.files if not key.startswith("mediapipe")}
        published = {
            "landmark_indices": data["mediapipe_landmark_index"],
            "lmk_face_idx": data["mediapipe_landmark_face"],
            "lmk_b_coords": data["mediapipe_landmark_bary"],
        }
    np.savez(tmp_path / "plain.npz", **plain)
    np.savez(tmp_path / "landmarks.npz", **published)
    np.savez(tmp_path / "masks.npz", face=np.arange(50), nose=np.array([7, 9]))
    assert load_head(tmp_path / "plain.npz").landmarks is None
    for kind, file in (("flame-landmarks", "landmarks.npz"), ("flame-masks", "masks.npz")):
        register_head_file(kind, tmp_path / file, avatarkit_home / "assets" / f"{kind}.npz")
    head = load_head(tmp_path / "plain.npz")
    assert head.landmarks is not None and open_flame.landmarks is not None
    assert torch.equal(head.landmarks.faces, open_flame.landmarks.faces)
    assert torch.nonzero(head.regions["nose"])[:, 0].tolist() == [7, 9]
    assert torch.equal(head.regions["l_ear"], open_flame.regions["l_ear"])  # not in the masks: derived


# --- teeth -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toothed(open_flame: FlameModel) -> FlameModel:
    return open_flame.with_teeth()


def test_teeth_leave_the_head_as_it_is(open_flame: FlameModel, toothed: FlameModel) -> None:
    generator = torch.Generator().manual_seed(0)
    params = HeadParams.zeros(2, 60, 51)
    for name in ("expr", "rotation", "neck_pose", "jaw_pose"):
        getattr(params, name).normal_(0, 0.2, generator=generator)
    shaped = replace(params, shape=torch.randn(60, generator=generator))
    plain, with_teeth = open_flame.pose(shaped), toothed.pose(shaped)
    assert torch.allclose(plain.vertices, with_teeth.vertices[:, :5023], atol=1e-6)
    assert torch.allclose(plain.joints, with_teeth.joints, atol=1e-6)
    assert toothed.faces.shape == (9976 + 168, 3)
    assert toothed.with_teeth() is toothed


def rows(vertices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The upper and the lower row (…, 60, 3) by VHAP's layout: eight rows of 15."""
    by_row = vertices[..., 5023:, :].unflatten(-2, (8, 15))
    return by_row[..., [0, 2, 4, 5], :, :].flatten(-3, -2), by_row[..., [1, 3, 6, 7], :, :].flatten(-3, -2)


def test_rows_ride_skull_and_jaw(toothed: FlameModel) -> None:
    params = HeadParams.zeros(3, 60, 51)
    params.jaw_pose[1, 0] = 0.3
    params.expr[2, toothed.expr_names.index("jawOpen")] = 0.6
    upper, lower = rows(toothed.pose(params).vertices)
    assert (upper - upper[0]).abs().max() < 1e-6
    for step in (
        1,
        2,
    ):  # by the jaw joint, or by the mode: the row sinks and keeps its shape (half a turn, blended linearly, is 6 % smaller)
        assert (lower[0] - lower[step])[:, 1].min() > 0.004
        assert (torch.cdist(lower[0], lower[0]) - torch.cdist(lower[step], lower[step])).abs().max() < 3e-3


def test_teeth_lie_inside_the_mouth(toothed: FlameModel) -> None:
    """Left to right, mirrored, behind the lips and in front of the jaw joint, the upper row above the lower."""
    upper, lower = rows(toothed.template)
    lips = toothed.template[toothed.regions["lips"] > 0]
    for row in (upper, lower):
        assert row[:, 2].max() < lips[:, 2].max() - 0.006
        assert row[:, 0].abs().max() < lips[:, 0].abs().max()
        first_row = row[:15, 0]
        assert (first_row[1:] < first_row[:-1]).all() and first_row[0] > 0
        assert (first_row + first_row.flip(0)).abs().max() < 5e-4
    assert upper[:, 1].mean() > lower[:, 1].mean() + 0.005


def test_teeth_face_outwards(toothed: FlameModel) -> None:
    """Front triangles look forward, biting edges at each other."""
    corners = toothed.template[toothed.faces[9976:]]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    upper_front, upper_edge, lower_front, lower_edge = (normals[i * 28 : (i + 1) * 28] for i in (0, 2, 3, 5))
    middle = slice(8, 20)
    assert (upper_front[middle, 2] > 0).all() and (lower_front[middle, 2] > 0).all()
    assert (upper_edge[:, 1] < 0).all() and (lower_edge[:, 1] > 0).all()
