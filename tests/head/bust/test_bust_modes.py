"""Identity and expression modes, joints, masks and landmarks of the bust."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatarkit.contracts import HeadModel
from avatarkit.head.bust import BustModel
from avatarkit.head.bust.eyes import EYE
from avatarkit.head.bust.skin import MARGIN_RING
from avatarkit.head.parameters import HeadParams

ARKIT = [
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeLookDownLeft",
    "eyeLookDownRight",
    "eyeLookInLeft",
    "eyeLookInRight",
    "eyeLookOutLeft",
    "eyeLookOutRight",
    "eyeLookUpLeft",
    "eyeLookUpRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "eyeWideLeft",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthFunnel",
    "mouthLeft",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "noseSneerLeft",
    "noseSneerRight",
    "tongueOut",
]


@pytest.fixture(scope="module")
def bust() -> BustModel:
    return BustModel()


def posed(
    bust: BustModel, expr: dict[str, float] | None = None, shape: np.ndarray | None = None, **pose: list[float]
) -> np.ndarray:
    """(V, 3) millimetres."""
    params = HeadParams.zeros(1, bust.num_shape, bust.num_expr)
    for name, weight in (expr or {}).items():
        params.expr[0, bust.expr_names.index(name)] = weight
    if shape is not None:
        params.shape[:] = torch.from_numpy(shape).float()
    for name, value in pose.items():
        getattr(params, name)[0] = torch.tensor(value)
    return bust.pose(params).vertices[0].numpy().astype(np.float64) * 1000


def test_contract(bust: BustModel) -> None:
    assert isinstance(bust, HeadModel)
    assert bust.name == "bust"
    assert bust.joint_names == ("root", "neck", "jaw", "l_eye", "r_eye")
    assert bust.num_shape >= 16
    assert set(bust.expr_names) == set(ARKIT)
    reference = bust.reference
    assert (reference["vertices"], reference["shape"], reference["expr"]) == (len(bust.template), bust.num_shape, 52)
    assert reference == BustModel().reference


def test_zero_parameters_give_the_template(bust: BustModel) -> None:
    assert np.allclose(posed(bust), bust.template.numpy() * 1000, atol=1e-4)


def test_joints(bust: BustModel) -> None:
    joints = bust.pose(HeadParams.zeros(1, bust.num_shape, bust.num_expr)).joints[0, :, :3, 3].numpy() * 1000
    assert np.allclose(joints[3], EYE.centre, atol=1e-2)
    assert np.allclose(joints[4], np.array(EYE.centre) * [-1, 1, 1], atol=1e-2)
    assert joints[0, 1] < joints[1, 1] < joints[2, 1]
    weights = bust.arrays.weights
    assert weights.min() >= 0
    assert np.allclose(weights.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_eye_joint_turns_only_the_ball(bust: BustModel, axis: int) -> None:
    turn = [0.0] * 6
    turn[axis] = 0.3
    moved = np.linalg.norm(posed(bust, eyes_pose=turn) - posed(bust), axis=1)
    left_ball = bust.regions["l_eye"].numpy() > 0.5
    assert moved[~left_ball].max() < 1e-3
    radius = np.linalg.norm(posed(bust, eyes_pose=turn)[left_ball] - EYE.centre, axis=1)
    assert np.allclose(radius, np.linalg.norm(posed(bust)[left_ball] - EYE.centre, axis=1), atol=1e-3)


def test_jaw_joint_moves_chin_and_lower_teeth_only(bust: BustModel) -> None:
    moved = posed(bust, jaw_pose=[0.25, 0.0, 0.0]) - posed(bust)
    parts = bust.arrays.rest.parts
    assert moved[parts["lower_teeth"], 1].max() < -5
    assert np.abs(moved[parts["upper_teeth"]]).max() < 1e-3
    assert np.abs(moved[bust.regions["forehead"].numpy() > 0.1]).max() < 1e-3
    chin = (bust.template[:, 1] < -0.07) & (bust.template[:, 2] > 0.06)
    assert moved[chin.numpy(), 1].max() < -10


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_blink_closes_over_the_ball(bust: BustModel, side: str) -> None:
    vertices = posed(bust, {f"eyeBlink{side}": 1.0})
    eye = bust.arrays.rest.grids["eye"]
    sign = 1.0
    if side == "Right":
        eye, sign = bust.arrays.rest.mirror[eye], -1.0
    upper = vertices[eye[MARGIN_RING, 1:16]]
    lower = vertices[eye[MARGIN_RING, 31:16:-1]]
    assert np.linalg.norm(upper - lower, axis=1).max() < 0.4
    rest = posed(bust)
    assert np.linalg.norm(rest[eye[MARGIN_RING, 8]] - rest[eye[MARGIN_RING, 24]]) > 8
    centre = np.array(EYE.centre) * [sign, 1, 1]
    assert np.linalg.norm(vertices[eye[5:9, 2:15]] - centre, axis=-1).min() > EYE.radius


@pytest.mark.parametrize(
    "expr",
    [
        {"eyeBlinkLeft": 0.25},
        {"eyeBlinkLeft": 0.5},
        {"eyeBlinkLeft": 0.75},
        {"eyeBlinkLeft": 0.5, "eyeLookDownLeft": 1.0},
    ]
    + [{name: 1.0} for name in ("eyeWideLeft", "eyeSquintLeft", "cheekSquintLeft", "eyeLookUpLeft", "eyeLookInLeft")],
)
def test_lids_pass_outside_the_ball(bust: BustModel, expr: dict[str, float]) -> None:
    lids = posed(bust, expr)[bust.arrays.rest.grids["eye"][5:9][:, np.r_[2:15, 18:31]]]
    assert np.linalg.norm(lids - np.array(EYE.centre), axis=-1).min() > EYE.radius + 0.1


def test_jaw_open_opens_and_mouth_close_closes(bust: BustModel) -> None:
    line = bust.arrays.rest.grids["mouth"][8]

    def gap(**expr: float) -> float:
        vertices = posed(bust, expr)
        return float(vertices[line[0], 1] - vertices[line[-1], 1])

    assert 0 < gap() < 0.5
    assert gap(jawOpen=1.0) > 20
    assert gap(jawOpen=0.5) > 10
    assert abs(gap(jawOpen=1.0, mouthClose=1.0)) < 0.1 * gap(jawOpen=1.0)


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("eyeLookUpLeft", 1, 1), ("eyeLookDownLeft", 1, -1), ("eyeLookOutLeft", 0, 1), ("eyeLookInLeft", 0, -1)],
)
def test_gaze(bust: BustModel, name: str, axis: int, sign: int) -> None:
    pole = int(bust.arrays.rest.grids["ball_pole"][0])
    moved = posed(bust, {name: 1.0})[pole] - posed(bust)[pole]
    assert sign * moved[axis] > 4
    mirrored = posed(bust, {name.replace("Left", "Right"): 1.0}) - posed(bust)
    other = mirrored[bust.arrays.rest.mirror[pole]]
    assert np.allclose(other, moved * [-1, 1, 1], atol=1e-4)


def test_left_modes_stay_on_the_left(bust: BustModel) -> None:
    right_side = bust.template[:, 0].numpy() < -0.02
    for name in bust.expr_names:
        if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
            moved = bust.arrays.exprdirs[:, :, bust.expr_names.index(name)] * 1000
            assert np.abs(moved[right_side]).max() < 0.6, name
            assert np.abs(moved).max() > 1.5, name
    for name in ("jawLeft", "mouthLeft"):
        assert bust.arrays.exprdirs[:, 0, bust.expr_names.index(name)].max() > 4e-3


def test_neighbouring_skin_moves_together(bust: BustModel) -> None:
    """No mode tears the skin: along edges outside lids and lips a displacement changes by less than the edge's length."""
    parts = bust.arrays.rest.parts
    faces = bust.faces.numpy()
    skin = parts["skin"][faces].all(1)
    edges = np.concatenate([faces[skin][:, [0, 1]], faces[skin][:, [1, 2]]])
    points = bust.template.numpy() * 1000
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    for names, basis in ((bust.expr_names, bust.arrays.exprdirs), (bust.shape_names, bust.arrays.shapedirs)):
        for k, name in enumerate(names):
            change = np.linalg.norm(basis[edges[:, 0], :, k] - basis[edges[:, 1], :, k], axis=1) * 1000
            assert np.max(change / (length + 0.5)) < (1.3 if name in ("jawOpen", "mouthClose") else 0.95), name


def test_unit_sizes_of_identity_modes(bust: BustModel) -> None:
    largest = np.linalg.norm(bust.arrays.shapedirs, axis=1).max(0) * 1000
    assert ((largest > 0.5) & (largest < 6.0)).all(), dict(zip(bust.shape_names, largest, strict=True))
    flat = bust.arrays.shapedirs.reshape(-1, bust.num_shape).astype(np.float64)
    unit = flat / np.linalg.norm(flat, axis=0)
    assert np.linalg.cond(unit.T @ unit) < 500  # no mode is a mixture of the others


@pytest.mark.parametrize("seed", range(6))
def test_eyes_stay_in_their_sockets(bust: BustModel, seed: int) -> None:
    """For random identities the lids stay outside the ball and touch it nowhere."""
    shape = np.random.default_rng(seed).normal(size=bust.num_shape).clip(-2, 2)
    vertices = posed(bust, shape=shape)
    grids = bust.arrays.rest.grids
    ball = vertices[grids["ball"]]
    centre = (ball[:, :12] + ball[:, 12:]).mean((0, 1)) / 2
    radius = np.linalg.norm(ball[9] - vertices[grids["ball"][9]].mean(0), axis=1).mean() / np.sin(np.radians(75.0))
    centre = np.append(centre[:2], ball[9, :, 2].mean() - radius * np.cos(np.radians(75.0)))
    lids = vertices[grids["eye"][5:9, np.r_[2:15, 18:31]]]
    assert np.linalg.norm(lids - centre, axis=-1).min() > radius
    assert (vertices[grids["eye"][MARGIN_RING], 2] < ball[..., 2].max() + 4).all()


def test_regions(bust: BustModel) -> None:
    names = {
        "face", "scalp", "forehead", "nose", "u_lip", "l_lip", "mouth", "teeth", "tongue", "l_eye", "r_eye", "l_eye_region",
        "r_eye_region", "l_brow", "r_brow", "l_ear", "r_ear", "jaw", "neck", "boundary",
    }  # fmt: skip
    assert set(bust.regions) == names
    x = bust.template[:, 0].numpy()
    for name, mask in bust.regions.items():
        values = mask.numpy()
        assert values.dtype == np.float32
        assert values.shape == x.shape
        assert values.min() >= 0
        assert values.max() <= 1
        assert values.max() > 0.9, name
        if name.startswith("l_") and name != "l_lip":
            assert x[values > 0].min() > 0, name
            assert np.array_equal(bust.regions["r" + name[1:]].numpy(), values[bust.arrays.rest.mirror])
    disjoint = (
        "scalp",
        "nose",
        "u_lip",
        "l_lip",
        "mouth",
        "teeth",
        "tongue",
        "l_eye",
        "r_eye",
        "l_ear",
        "r_ear",
        "neck",
    )
    total = sum(bust.regions[name].numpy() for name in disjoint)
    assert np.max(total) <= 1 + 1e-5


def test_landmarks(bust: BustModel) -> None:
    assert bust.landmarks is not None
    indices = bust.landmarks.indices.tolist()
    assert len(indices) >= 100
    assert indices == sorted(set(indices))
    assert torch.allclose(bust.landmarks.barycentrics.sum(1), torch.ones(len(indices)), atol=1e-5)
    points = bust.landmarks.points(bust.template, bust.faces).numpy() * 1000
    at = {index: points[k] for k, index in enumerate(indices)}
    # MediaPipe's 33 and 61 are on the subject's right, 263 and 291 on the left
    for left, right in ((263, 33), (291, 61), (362, 133), (473, 468), (300, 70), (308, 78)):
        assert at[left][0] > 5
        assert np.allclose(at[left] * [-1, 1, 1], at[right], atol=1e-2)
    assert (
        at[10][1]
        > at[151][1]
        > at[9][1]
        > at[168][1]
        > at[1][1]
        > at[2][1]
        > at[0][1]
        > at[13][1]
        > at[14][1]
        > at[17][1]
        > at[152][1]
    )
    assert at[1][2] == max(p[2] for p in points) or at[4][2] == max(p[2] for p in points)
    assert np.linalg.norm(at[473] - EYE.centre) == pytest.approx(EYE.radius, abs=0.5)


def test_curves(bust: BustModel) -> None:
    curves = bust.curves
    points = bust.template.numpy() * 1000
    for name in ("upper_lash", "lower_lash"):
        line = points[getattr(curves, name)]
        assert (np.diff(line[:, 0]) > 0).all()
        assert np.linalg.norm(line[:, None] - np.array(EYE.centre), axis=-1).max() < 20
    assert (points[curves.upper_lash[1:-1], 1] > points[curves.lower_lash[1:-1], 1]).all()
    assert points[curves.ear_lobe, 0] > 65
    assert -30 < points[curves.ear_lobe, 1] < -10
    brow = curves.brow.points(points, bust.faces.numpy())
    assert (brow[:, 1] > 40).all()
    assert (brow[:, 2] > 35).all()
    assert np.ptp(points[curves.collar, 1]) < 40
    cranium = points[(points[:, 1] > 60)]
    value = (((cranium / 1000 - curves.skull_centre) / np.array(curves.skull_radii)) ** 2).sum(1) ** 0.5
    assert 0.85 < value.min() < value.max() < 1.15
