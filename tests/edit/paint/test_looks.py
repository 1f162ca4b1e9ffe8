"""Painted looks: what each does to skin, hair, lips and eyes, and that clothes stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatarkit.edit.paint.looks import LOOKS
from avatarkit.edit.paint.marks import Marks, Oval
from avatarkit.edit.paint.oklab import lab_of, oklab
from avatarkit.edit.paint.wrinkles import FURROWS, MOUTH_UNITS, creases, face_units
from avatarkit.edit.plan import Attributes, Operation
from avatarkit.types import Float32Array, FloatArray

from .heads import Head

SHIRT = "#3d6b7d"


def dressed(head: Head) -> Head:
    """The same with a blue shirt from the shoulders down."""
    cloth = torch.from_numpy(((head.rest[..., 1] < -0.13) & (head.shows > 0)).astype(np.float32))[:, None]
    colour = torch.tensor([int(SHIRT[k : k + 2], 16) / 255 for k in (1, 3, 5)])[:, None, None]
    return Head(torch.where(cloth > 0, colour, head.views), *list(vars(head).values())[1:])


def looked(head: Head, name: str, **attributes: object) -> tuple[Float32Array, Float32Array]:
    """OKLab of view 0 before and after."""
    who = dressed(head)
    made = who.paint(Operation("identity", "head", attributes=Attributes(name=name, **attributes)), batch=(0,))  # type: ignore[arg-type]
    return oklab(who.views[0].permute(1, 2, 0).numpy()), oklab(made[0].permute(1, 2, 0).numpy())


def place(head: Head, name: str) -> FloatArray:
    x, y, z = (head.rest[0, ..., k] for k in range(3))
    places = {
        "cheeks": np.hypot((np.abs(x) - 0.042) / 0.012, (y + 0.006) / 0.012) < 1, "lips": np.hypot(x / 0.016, (y + 0.045) / 0.005) < 1,
        "eyes": np.hypot((np.abs(x) - 0.0315) / 0.007, (y - 0.030) / 0.003) < 1, "forehead": (np.abs(x) < 0.03) & (y > 0.062) & (y < 0.085),
        "nose": np.hypot(x / 0.006, (y + 0.012) / 0.006) < 1,
    }  # fmt: skip
    if name == "hair":
        return (y > 0.1) & (head.shows[0] > 0)
    if name == "shirt":
        return (y < -0.14) & (head.shows[0] > 0)
    return places[name] & (z > 0.03) & (head.shows[0] > 0)


def hue(lab: FloatArray) -> float:
    a, b = np.median(lab.reshape(-1, 3), axis=0)[1:]
    return float(np.degrees(np.arctan2(b, a))) % 360


@pytest.mark.parametrize("name", [name for name in LOOKS if name != "ghost"])
def test_clothes_stay_as_they_are(head: Head, name: str) -> None:
    before, after = looked(head, name)
    shirt = place(head, "shirt")
    assert np.abs(after[shirt] - before[shirt]).max() < 0.04


def test_a_zombie_is_green_and_hollow(head: Head) -> None:
    before, after = looked(head, "zombie")
    cheeks, eyes = place(head, "cheeks"), place(head, "eyes")
    assert 60 < hue(before[cheeks]) + 20 < 90 and 100 < hue(after[cheeks]) < 140
    assert np.median(after[place(head, "lips")][:, 1]) < np.median(before[place(head, "lips")][:, 1]) - 0.05
    assert np.median(after[eyes][:, 0]) > np.median(before[eyes][:, 0]) + 0.05  # clouded


def test_a_vampire_is_white_with_red_lips_and_black_hair(head: Head) -> None:
    before, after = looked(head, "vampire")
    cheeks = np.median(after[place(head, "cheeks")], axis=0)
    assert cheeks[0] > 0.85 and np.hypot(*cheeks[1:]) < 0.03
    assert np.median(after[place(head, "lips")][:, 1]) > 0.12
    hair = place(head, "hair")
    assert np.median(after[hair][:, 0]) < np.median(before[hair][:, 0]) - 0.03


def test_a_ghost_has_hardly_any_colour(head: Head) -> None:
    before, after = looked(head, "ghost")
    chroma = lambda lab: np.hypot(lab[..., 1], lab[..., 2])[head.shows[0] > 0].mean()  # noqa: E731
    assert chroma(after) < 0.5 * chroma(before)
    assert after[head.shows[0] > 0][:, 0].min() > before[head.shows[0] > 0][:, 0].min()


def test_an_alien_is_green_with_black_eyes(head: Head) -> None:
    _, after = looked(head, "alien")
    assert 120 < hue(after[place(head, "cheeks")]) < 160
    assert np.median(after[place(head, "eyes")][:, 0]) < 0.25


def test_a_clown_is_white_with_a_red_nose_and_a_large_red_mouth(head: Head) -> None:
    before, after = looked(head, "clown")
    assert np.median(after[place(head, "nose")][:, 1]) > 0.15
    x, y, z = (head.rest[0, ..., k] for k in range(3))
    around = (np.abs(x) < 0.01) & (np.abs(y + 0.0565) < 0.002) & (z > 0.05)  # below the lips
    assert np.median(after[around][:, 1]) > 0.12 > np.median(before[around][:, 1])
    white = (np.abs(x) < 0.008) & (np.abs(y - 0.015) < 0.006) & (z > 0.05)  # the ridge of the nose
    assert np.median(after[white][:, 0]) > 0.88


def test_older_is_grey_and_wrinkled_where_faces_fold(head: Head) -> None:
    before, after = looked(head, "older", amount=0.5)
    hair = place(head, "hair")
    assert np.hypot(*np.median(after[hair], axis=0)[1:]) < 0.55 * np.hypot(*np.median(before[hair], axis=0)[1:])
    assert np.median(after[hair][:, 0]) > np.median(before[hair][:, 0]) + 0.1
    folds = lambda lab, name: np.abs(np.diff(lab[..., 0], 2, axis=0)[place(head, name)[1:-1]]).mean()  # noqa: E731
    assert folds(after, "forehead") > 4 * folds(before, "forehead")
    assert folds(after, "cheeks") < 0.5 * folds(after, "forehead")


def test_younger_is_smooth_and_rosy(head: Head) -> None:
    """Grain that was put on the skin goes."""
    grain = torch.randn(4, 1, *head.views.shape[2:], generator=torch.Generator().manual_seed(0)) * 0.02
    rough = Head((head.views + grain).clamp(0, 1), *list(vars(head).values())[1:])
    before, after = looked(rough, "younger")
    cheeks = place(head, "cheeks")
    assert np.diff(after[..., 0], axis=0)[cheeks[1:]].std() < 0.6 * np.diff(before[..., 0], axis=0)[cheeks[1:]].std()
    assert np.median(after[cheeks][:, 1]) > np.median(before[cheeks][:, 1]) + 0.008


def test_a_bald_head_is_skin_and_not_hair(head: Head) -> None:
    """Where the crown has the colour of the face, a vampire's is white too."""
    skin = torch.tensor([0.80, 0.60, 0.50])[:, None, None]
    bald = Head(torch.where(head.region("hair") > 0, skin, head.views), *list(vars(head).values())[1:])
    _, after = looked(bald, "vampire")
    assert np.median(after[place(head, "hair")][:, 0]) > 0.8


def sitter() -> Marks:
    eyes = (Oval(0.0315, 0.030, 0.013, 0.005), Oval(-0.0315, 0.030, 0.013, 0.005))
    return Marks(eyes, Oval(0.0, -0.0415, 0.025, 0.008), lab_of("#d9a488"), lab_of("#b06060"), 0.02)


def test_face_units_put_eyes_at_one_and_the_mouth_where_it_is() -> None:
    places, unit = face_units(np.array([[0.0315, 0.030], [0.0, -0.0415]], np.float32), sitter())
    np.testing.assert_allclose(places, [[1, 0], [0, -MOUTH_UNITS]], atol=1e-5)
    assert unit == pytest.approx(0.0315)


def test_furrows_are_dark_on_their_lines_mirrored_and_lit_below() -> None:
    made = creases(sitter(), 0.0005)
    np.testing.assert_allclose(made.change, made.change[:, ::-1], atol=0.02)
    (_, bend, _, strength) = FURROWS[1]  # the deepest of the forehead
    x, y = 0.0315 * bend[0], 0.030 + 0.0315 * bend[1]
    on, below, away = made.at(np.array([[x, y, 0.05], [x, y - 0.0014, 0.05], [x, y + 0.004, 0.05]], np.float32))
    assert on < -0.5 * strength / 1.3 and below > 0.1 and abs(away) < 0.02
    assert made.at(np.array([[x, y, -0.05], [0.2, 0.0, 0.05]], np.float32)).tolist() == [0.0, 0.0]
    coarse = creases(sitter(), 0.004)
    assert np.abs(coarse.change).max() < 0.6 * np.abs(made.change).max()  # wider, so shallower
