"""The subject against what is known of it: labels and sides, edits, off-model shape, parts that follow the head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatarkit.labels import LABEL_INDEX, LABELS
from avatarkit.synthetic.anatomy import rest, upper_lip
from avatarkit.synthetic.appearance import Appearance, preset
from avatarkit.synthetic.capture import camera_at, render_view
from avatarkit.synthetic.mesh_renderer import Camera, View
from avatarkit.synthetic.motion import natural_motion, posed
from avatarkit.synthetic.subject import _SHADOWS, SubjectParams, bust, neutral, off_model_shape, subject

LOOK = Appearance(hair_style="short")
FRONT = camera_at(0.0, 0.03, 160, 160)


@pytest.fixture(scope="module")
def front() -> View:
    return render_view(LOOK, neutral(), FRONT)


def centre(view: View, name: str) -> np.ndarray:
    """(x, y) pixels of a label's middle."""
    ys, xs = np.nonzero(view.labels == LABEL_INDEX[name])
    assert len(xs) > 3, f"'{name}' is not seen"
    return np.array([xs.mean(), ys.mean()])


def difference(a: View, b: View) -> np.ndarray:
    return np.abs(a.rgb.astype(int) - b.rgb.astype(int)).max(-1)


def project(points: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    seen = points @ camera.viewmat[:3, :3].T + camera.viewmat[:3, 3]
    return seen[:, :2] / seen[:, 2:] * np.diag(camera.K)[:2] + camera.K[:2, 2], seen[:, 2]


def test_a_face_has_all_its_labels(front: View) -> None:
    expected = {
        "skin",
        "nose",
        "l_eye",
        "r_eye",
        "l_brow",
        "r_brow",
        "u_lip",
        "l_lip",
        "hair",
        "neck",
        "cloth",
        "l_ear",
        "r_ear",
    }
    seen = {LABELS[k] for k in np.unique(front.labels)}
    assert expected <= seen and not seen & {"glasses", "hat", "earring", "necklace"}


@pytest.mark.parametrize("part", ["eye", "brow", "ear"])
def test_left_is_the_subjects_left(front: View, part: str) -> None:
    assert centre(front, f"l_{part}")[0] > 80 > centre(front, f"r_{part}")[0]


def test_the_face_is_in_order(front: View) -> None:
    down = [centre(front, name)[1] for name in ("l_brow", "l_eye", "nose", "u_lip", "l_lip", "neck", "cloth")]
    assert down == sorted(down)


def test_mask_labels_and_depth_agree(front: View) -> None:
    known = front.labels > 0
    np.testing.assert_array_equal(known, front.depth > 0)
    assert (front.mask[known] >= 127).all() and (front.mask[~known] <= 128).all()
    distance = np.linalg.norm(FRONT.centre)
    assert distance - 0.3 < front.depth[known].min() < front.depth[known].max() < distance + 0.3


def test_the_same_call_gives_the_same_picture(front: View) -> None:
    subject.cache_clear()
    _SHADOWS.clear()
    again = render_view(LOOK, neutral(), FRONT)
    np.testing.assert_array_equal(front.rgb, again.rgb)
    np.testing.assert_array_equal(front.depth, again.depth)


def test_the_identity_modes_cannot_express_the_shape() -> None:
    offset = off_model_shape(LOOK.identity, 1.0).astype(np.float64)
    modes = bust().arrays.shapedirs.reshape(offset.size, -1).astype(np.float64)
    solved, *_ = np.linalg.lstsq(modes, offset.ravel(), rcond=None)
    left = offset.ravel() - modes @ solved
    assert np.linalg.norm(left) > 0.98 * np.linalg.norm(offset)
    skin = np.linalg.norm(offset, axis=1)[rest().parts["skin"]]
    assert skin.mean() > 0.5e-3 and skin.max() < 12e-3
    assert np.abs(off_model_shape(LOOK.identity, 0.0)).max() == 0


def test_parameters_reproduce_the_drawn_face() -> None:
    """Landmarks of the posed head land where their labels are drawn, at the depth that is drawn."""
    who = subject(replace(LOOK, hair_style="bald"))
    params = natural_motion(12, seed=3)[5]
    head = who.pose_head(params)
    vertices = head.vertices[0].numpy()
    parts = rest()
    camera = camera_at(0.3, 0.1, 240, 240)
    view = who.view(params, camera)
    tip = int(np.argmax(parts.points[:, 2] * (parts.parts["skin"])))
    pixels, depth = project(vertices, camera)
    x, y = (pixels[tip]).astype(int)
    assert view.labels[y, x] == LABEL_INDEX["nose"]
    assert view.depth[y, x] == pytest.approx(depth[tip], abs=2.5e-3)
    for name, part in (("l_lip", "lips"),):
        chosen = parts.parts[part] & (upper_lip() < 0.5)
        middle = pixels[chosen].mean(0)
        ys, xs = np.nonzero(view.labels == LABEL_INDEX[name])
        np.testing.assert_allclose((xs.mean() + 0.5, ys.mean() + 0.5), middle, atol=2.5)


@pytest.mark.parametrize(
    ("edit", "label"),
    [({"hair_colour": "#c0401c", "highlight_colour": "#e08030"}, "hair"), ({"shirt_colour": "#802020"}, "cloth"),
     ({"lips": "#2040c0"}, "lips"), ({"iris": "#c08010"}, "eyes")],
)  # fmt: skip
def test_a_recolour_changes_nothing_else(front: View, edit: dict[str, str], label: str) -> None:
    edited = render_view(replace(LOOK, **edit), neutral(), FRONT)
    names = {"lips": ("u_lip", "l_lip"), "eyes": ("l_eye", "r_eye")}.get(label, (label,))
    inside = np.isin(front.labels, [LABEL_INDEX[name] for name in names])
    changed = difference(front, edited) > 6
    assert changed[inside].mean() > (0.2 if label == "eyes" else 0.8)
    near = inside.copy()  # pixels at the border are mixtures; the border of the lips is painted softly
    for _ in range(2):
        near |= np.roll(near, 1, 0) | np.roll(near, -1, 0) | np.roll(near, 1, 1) | np.roll(near, -1, 1)
    assert changed[~near].mean() < 0.002
    np.testing.assert_array_equal(front.labels, edited.labels)


@pytest.mark.parametrize(
    ("edit", "label"),
    [({"glasses": "round"}, "glasses"), ({"glasses": "sunglasses"}, "glasses"), ({"hat": "cap"}, "hat"),
     ({"earrings": "hoop"}, "earring"), ({"necklace": "pearls"}, "necklace")],
)  # fmt: skip
def test_an_accessory_changes_only_where_it_is(front: View, edit: dict[str, str], label: str) -> None:
    edited = render_view(replace(LOOK, **edit), neutral(), FRONT)
    there = edited.labels == LABEL_INDEX[label]
    assert there.sum() > 20 and not (front.labels == LABEL_INDEX[label]).any()
    changed = difference(front, edited) > 24
    far = there.copy()
    reach = 4 if label in ("earring", "necklace") else 14  # glass tints what it covers; a hat presses the hair down
    for _ in range(reach):
        far |= np.roll(far, 1, 0) | np.roll(far, -1, 0) | np.roll(far, 1, 1) | np.roll(far, -1, 1)
    assert changed[~far].mean() < 0.01


def test_one_earring_hangs_on_the_side_that_was_asked_for() -> None:
    for side, sign in (("left", 1), ("right", -1)):
        view = render_view(replace(LOOK, earrings="drop", earring_side=side), neutral(), FRONT)
        assert sign * (centre(view, "earring")[0] - 80) > 15


def moved(look: Appearance, params: SubjectParams, material_label: str) -> np.ndarray:
    """Vertices of the triangles of one label, posed."""
    who = subject(look)
    made = who.pose(params)
    ids = np.unique(made.faces[made.label == LABEL_INDEX[material_label]])
    return made.vertices[ids]


def test_glasses_ride_rigidly_on_the_head_and_ignore_the_expression() -> None:
    look = replace(LOOK, glasses="square")
    still = moved(look, neutral(), "glasses").astype(np.float64)
    np.testing.assert_allclose(moved(look, posed(jawOpen=1.0, browInnerUp=1.0), "glasses"), still, atol=1e-6)
    turned = moved(
        look, replace(neutral(), neck_pose=np.array([0.1, 0.4, -0.1]), rotation=np.array([0.0, 0.3, 0.0])), "glasses"
    )
    pick = np.arange(0, len(still), 37)
    apart = lambda p: np.linalg.norm(p[pick][:, None] - p[pick][None], axis=-1)  # noqa: E731
    np.testing.assert_allclose(apart(turned), apart(still), atol=1e-5)
    assert np.linalg.norm(turned - still, axis=1).mean() > 0.01


def test_a_beard_follows_the_jaw_and_brows_follow_the_forehead() -> None:
    look = replace(LOOK, beard="full", moustache="moustache")
    who = subject(look)
    for pose, name, way in ((posed(jawOpen=1.0), "skin", -1.0), (posed(browInnerUp=1.0), "l_brow", 1.0)):
        rooted = np.flatnonzero(who._rooted)
        still, shifted = who.pose(posed()).vertices, who.pose(pose).vertices
        if name == "skin":
            chin = rooted[(who.rest_points[rooted, 1] < -0.075)]
        else:
            made = who.pose(posed())
            chin = np.unique(made.faces[made.label == LABEL_INDEX[name]])
        assert way * float((shifted - still)[chin, 1].mean()) > 0.0008


def test_blink_and_gaze_show() -> None:
    look, close = LOOK, camera_at(0.0, 0.03, 200, 200, zoom=1.6)
    eyes = [LABEL_INDEX["l_eye"], LABEL_INDEX["r_eye"]]
    open_view, shut = (
        render_view(look, posed(), close),
        render_view(look, posed(eyeBlinkLeft=1.0, eyeBlinkRight=1.0), close),
    )
    assert np.isin(shut.labels, eyes).sum() < 0.35 * np.isin(open_view.labels, eyes).sum()
    dark = {}
    for sign in (1.0, -1.0):
        view = render_view(look, replace(posed(), eyes_pose=np.array([0, 0.25 * sign, 0, 0, 0.25 * sign, 0])), close)
        inside = view.labels == LABEL_INDEX["l_eye"]
        weight = (255.0 - view.rgb.mean(-1)) ** 2 * inside
        dark[sign] = float((weight * np.arange(200)).sum() / weight.sum())
    assert dark[1.0] > dark[-1.0] + 1.0  # looking to the subject's left moves the iris to the right of the picture


def test_the_presets_can_be_drawn() -> None:
    for name in ("chidi", "emil"):
        view = render_view(preset(name), neutral(), camera_at(0.5, 0.0, 96, 96))
        assert 0.25 < (view.mask / 255.0).mean() < 0.9
