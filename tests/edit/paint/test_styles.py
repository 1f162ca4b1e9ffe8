"""What makes a style that style: tones, lines, tiles, paper, metal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from avatarkit.edit.paint.canvas import canvas, edge_lines, outline, smoothed
from avatarkit.edit.paint.drawings import POP, halftone, stepped
from avatarkit.edit.paint.oklab import lab_of, oklab
from avatarkit.edit.paint.paintings import kuwahara
from avatarkit.edit.paint.tiles import SQUARE
from avatarkit.edit.plan import Attributes, Operation
from avatarkit.types import Float32Array, FloatArray

from .heads import SIZE, Head, restyle


def painted(head: Head, style: str, seed: int = 3, **attributes: object) -> tuple[Float32Array, FloatArray]:
    """(H, W, 3) OKLab of view 0 and (H, W) bool where the head is."""
    picture = head.paint(restyle(style, **attributes), batch=(0,), seed=seed)[0]
    return oklab(picture.permute(1, 2, 0).numpy()), head.shows[0] > 0


def tones(values: FloatArray) -> float:
    """How many levels a value takes: the exponential of the entropy of its histogram."""
    share = np.histogram(values, 64, (0, 1))[0] / len(values)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def test_cartoons_have_fewer_tones_stronger_colours_and_dark_lines(head: Head) -> None:
    before, inside = oklab(head.views[0].permute(1, 2, 0).numpy()), head.shows[0] > 0
    chroma = np.hypot(before[..., 1], before[..., 2])[inside].mean()
    for style in ("cartoon", "anime", "comic"):
        made, _ = painted(head, style)
        assert tones(made[inside][:, 0]) < 0.8 * tones(before[inside][:, 0]), style
        assert np.hypot(made[..., 1], made[..., 2])[inside].mean() > 1.1 * chroma, style
        if style != "anime":  # lighter altogether
            assert np.quantile(made[inside][:, 0], 0.01) < np.quantile(before[inside][:, 0], 0.01) + 0.02, style


def test_lines_lie_along_edges_and_not_on_flat_skin() -> None:
    """A dark square on a light one: lines where they meet, on the dark side; none inside; the mask's own end draws none."""
    picture = np.full((60, 60, 3), 0.8, np.float32)
    picture[20:40, 20:40] = 0.3
    mask = np.zeros((60, 60), np.float32)
    mask[5:55, 5:55] = 1.0
    picture[mask == 0] = 0.0
    one = canvas(picture, mask, None, None)
    assert one is not None
    lines = edge_lines(one, 0.008)
    at = lambda row, column: lines[row - one.box[0].start, column - one.box[1].start]  # noqa: E731
    assert at(30, 21) > 0.5 and at(30, 12) == 0 and at(30, 30) < 0.1 and at(30, 6) == 0
    rim = outline(one, 0.008)
    assert (
        rim[30 - one.box[0].start, 5 - one.box[1].start] > 0.5
        and rim[30 - one.box[0].start, 30 - one.box[1].start] == 0
    )


def test_smoothing_removes_grain_and_keeps_edges() -> None:
    random = np.random.default_rng(0)
    picture = np.where(np.arange(80)[None, :, None] < 40, 0.35, 0.75) + 0.03 * random.normal(size=(80, 80, 1))
    one = canvas(np.repeat(picture, 3, 2).astype(np.float32).clip(0, 1), np.ones((80, 80), np.float32), None, None)
    assert one is not None
    for made in (smoothed(one, 4 * one.pitch, 0.06, 2), kuwahara(one, 3 * one.pitch)):
        assert made[10:70, 10:30, 0].std() < 0.5 * one.lab[10:70, 10:30, 0].std()
        jump = made[:, 43, 0].mean() - made[:, 36, 0].mean()
        assert jump > 0.75 * (one.lab[:, 60, 0].mean() - one.lab[:, 20, 0].mean())


def test_steps_are_steps_and_keep_the_order() -> None:
    values = np.linspace(0, 1, 1001, dtype=np.float32)
    made = stepped(values, 0.2, 0.25)
    assert (np.diff(made) >= -1e-6).all() and np.abs(made - values).max() <= 0.1001
    assert np.mean(np.abs(made / 0.2 - np.round(made / 0.2)) < 0.02) > 0.7


def test_dots_cover_the_share_that_they_stand_for() -> None:
    one = canvas(np.full((400, 400, 3), 0.5, np.float32), np.ones((400, 400), np.float32), None, None)
    assert one is not None
    for share in (0.1, 0.3, 0.5):
        dots = halftone(one, np.full((400, 400), share, np.float32))
        assert dots.mean() == pytest.approx(share, abs=0.04)
        assert np.mean((dots < 0.05) | (dots > 0.95)) > 0.4


def test_pop_art_is_printed_in_four_inks(head: Head) -> None:
    for seed in range(len(POP)):
        made, inside = painted(head, "pop_art", seed)
        inks = np.stack([lab_of(colour) for colour in POP[seed]])
        away = np.linalg.norm(made[inside][:, None] - inks, axis=2).min(1)
        assert np.mean(away < 0.03) > 0.6
    own, _ = painted(head, "pop_art", 0, colour="#10d010")
    assert np.mean(np.linalg.norm(own[inside] - lab_of("#10d010"), axis=1) < 0.03) > 0.05


def test_a_pencil_has_no_colour_and_is_darker_where_the_picture_is(head: Head) -> None:
    made, inside = painted(head, "sketch")
    assert np.hypot(made[..., 1], made[..., 2])[inside].max() < 0.02
    before = oklab(head.views[0].permute(1, 2, 0).numpy())[..., 0]
    assert np.corrcoef(gaussian_filter(made[..., 0], 3)[inside], gaussian_filter(before, 3)[inside])[0, 1] > 0.8
    face = inside & (head.rest[0, ..., 1] > -0.02) & (head.rest[0, ..., 1] < 0.01)
    assert made[face][:, 0].mean() > 0.75  # paper


def test_pixels_are_squares_of_one_colour(head: Head) -> None:
    """Cut along lines of the head's own middle: changes come in steps of a square's side."""
    picture = head.paint(restyle("pixel_art"), batch=(0,))[0].permute(1, 2, 0).numpy()
    assert len(np.unique(picture[head.shows[0] > 0].round(3), axis=0)) < 150
    row = SIZE // 2
    front = np.abs(head.rest[0, row, :, 0]) < 0.03
    changes = np.abs(np.diff(picture[row], axis=0)).max(1)[front[1:]] > 0
    assert changes.sum() <= np.ceil(0.06 / SQUARE) + 1


def test_stones_stand_in_grout(head: Head) -> None:
    made, inside = painted(head, "mosaic", colour="#10c010")
    face = inside & (np.abs(head.rest[0, ..., 0]) < 0.04) & (np.abs(head.rest[0, ..., 1]) < 0.04)
    green = made[face][:, 1] < -0.03
    assert 0.05 < green.mean() < 0.5


MATERIALS = {
    "marble": (0.75, None),
    "stone": (0.62, None),
    "gold": (None, 85.0),
    "bronze": (None, 70.0),
    "wood": (None, 65.0),
    "clay": (None, 45.0),
}


@pytest.mark.parametrize("name", MATERIALS)
def test_a_statue_has_the_colour_of_its_material_hair_and_lips_alike(head: Head, name: str) -> None:
    lightness, hue = MATERIALS[name]
    made, inside = painted(head, name)
    rest = head.rest[0]
    skin = inside & (np.hypot((np.abs(rest[..., 0]) - 0.04) / 0.01, (rest[..., 1] + 0.005) / 0.01) < 1)
    hair = inside & (rest[..., 1] > 0.1)
    lips = inside & (np.hypot(rest[..., 0] / 0.018, (rest[..., 1] + 0.045) / 0.006) < 1) & (rest[..., 2] > 0.05)
    before = oklab(head.views[0].permute(1, 2, 0).numpy())
    gap = abs(before[skin][:, 0].mean() - before[hair][:, 0].mean())
    assert abs(made[skin][:, 0].mean() - made[hair][:, 0].mean()) < 0.55 * gap
    typical = np.median(made[inside], axis=0)
    chroma, angle = np.hypot(*typical[1:]), np.degrees(np.arctan2(typical[2], typical[1]))
    if lightness is None:
        assert chroma > 0.04 and angle == pytest.approx(hue, abs=15)
        assert abs(np.degrees(np.arctan2(*made[lips][:, :0:-1].mean(0))) - angle) < 15  # no redder than the rest
    else:
        assert chroma < 0.02 and typical[0] == pytest.approx(lightness, abs=0.17)


def test_gold_shines_and_clay_does_not(head: Head) -> None:
    spread = {name: float(np.ptp(np.quantile(made[inside][:, 0], [0.02, 0.98]))) for name in ("gold", "bronze", "clay")
              for made, inside in [painted(head, name)]}  # fmt: skip
    assert min(spread["gold"], spread["bronze"]) > 1.4 * spread["clay"]


def test_a_face_in_the_dark_is_drawn_as_one_in_the_light(head: Head) -> None:
    """Half of the light: the drawing loses much less than half of its own."""
    dark = Head(torch.where(head.region("head") > 0, head.views * 0.62, head.views), *list(vars(head).values())[1:])
    inside = head.region("head")[:1].expand(1, 3, SIZE, SIZE) > 0.5
    plain = float((head.views[:1][inside].mean() - dark.views[:1][inside].mean()) / head.views[:1][inside].mean())
    for style in ("cartoon", "watercolour", "sketch"):
        light, dim = (float(one.paint(restyle(style), batch=(0,))[inside].mean()) for one in (head, dark))
        assert (light - dim) / light < 0.8 * plain, style


def test_recolouring_hair_reaches_the_colour_and_keeps_its_strands(head: Head) -> None:
    operation = Operation("recolour", "hair", attributes=Attributes(colour="#b5451f"))
    made = oklab(head.paint(operation, "hair", batch=(0,))[0].permute(1, 2, 0).numpy())
    before = oklab(head.views[0].permute(1, 2, 0).numpy())
    hair = (head.region("hair")[0, 0].numpy() > 0.95) & (head.rest[0, ..., 1] > 0.095)
    np.testing.assert_allclose(np.median(made[hair], axis=0), lab_of("#b5451f"), atol=0.05)
    assert np.corrcoef(made[hair][:, 0], before[hair][:, 0])[0, 1] > 0.95
