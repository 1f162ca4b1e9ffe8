"""Gaussians across a border are cut in pieces: what is seen stays, and each side can take a colour that the other does not show."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avatarkit.edit import walls
from avatarkit.edit.cutting import ACROSS, FINE, cut, cut_avatar
from avatarkit.edit.history import undone, with_entry
from avatarkit.edit.plan import Operation, Region
from avatarkit.edit.scene import SKULL, Scene
from avatarkit.edit.walls import _hidden
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.gaussians.skin_frames import rotation_matrices
from avatarkit.labels import LABEL_INDEX

from .labelled import Labelled, carried_out, operation

LEFT = Region("hair", "left_of")
BLUE = operation("recolour", "hair", LEFT, colour="#0000ff")


def long_haired(which: Labelled, opacity: float = 0.6) -> Scene:
    """The head with hair of Gaussians that are 16 mm long across it, and as opaque as said."""
    gaussians, hair = which.avatar.gaussians, which.of("hair")
    scales = which.scene.rest.scales.clone()
    scales[hair] = torch.tensor([0.008, 0.003, 0.003])
    quats = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(len(hair), 4)
    placed = which.scene.placed_at_rest(gaussians, which.scene.rest.means, quats, scales)
    logits = torch.where(hair, torch.logit(torch.tensor(opacity)), gaussians.opacity_logits)
    return which.scene.with_avatar(replace(which.avatar, gaussians=replace(placed, opacity_logits=logits)))


def covariance(scene: Scene) -> Tensor:
    turned = rotation_matrices(torch.nn.functional.normalize(scene.rest.quats, dim=1))
    return (turned * scene.rest.scales.square()[:, None, :]) @ turned.mT


def across(scene: Scene, member: Tensor) -> Tensor:
    sigma = covariance(scene)[:, 0, 0].sqrt()
    return member & (scene.rest.means[:, 0].abs() < ACROSS * sigma) & (sigma > FINE)


def test_pieces_have_the_moments_of_the_whole(bare: Labelled) -> None:
    """Weighted by their optical depth, the pieces of each Gaussian have the mean and the covariance of the whole's optical depth."""
    opacity = 0.6
    scene = long_haired(bare, opacity)
    t = torch.linspace(-6.0, 6.0, 2001)
    deep = -torch.log1p(-opacity * torch.exp(-0.5 * t.square()))
    along = float((deep * t.square()).sum() / deep.sum())  # depth falls off faster than opacity does
    hair = bare.of("hair")
    made = scene.with_avatar(cut_avatar(scene, hair, 0, 0.0))
    gaussians, wholes = made.avatar.gaussians, torch.nonzero(across(scene, hair))[:, 0]
    assert len(wholes) > 10
    depth = -torch.log1p(-gaussians.opacity_logits.sigmoid())
    before, after = covariance(scene), covariance(made)
    for row in wholes[::7].tolist():
        own = (gaussians.parents == scene.avatar.gaussians.ids[row]) & (
            gaussians.ids != scene.avatar.gaussians.ids[row]
        )
        share = (depth[own] / depth[own].sum())[:, None]
        mean = (share * made.rest.means[own]).sum(0)
        away = made.rest.means[own] - mean
        spread = (share[..., None] * (after[own] + away[:, :, None] * away[:, None, :])).sum(0)
        assert torch.allclose(mean, scene.rest.means[row], atol=2e-5)
        expected = before[row] * torch.tensor([along, 1.0, 1.0])
        assert torch.allclose(spread, expected, atol=0.06 * float(before[row].max()))
        assert float(after[own][:, 0, 0].max()) < 0.3 * float(before[row, 0, 0])


@pytest.mark.parametrize(("opacity", "least"), [(0.2, 34.0), (0.9, 46.0)])
def test_what_is_seen_stays(bare: Labelled, opacity: float, least: float) -> None:
    scene = long_haired(bare, opacity)
    made = scene.with_avatar(cut_avatar(scene, bare.of("hair"), 0, 0.0))
    for camera in range(len(scene.avatar.cameras)):
        place = scene.place(0, camera)
        gap = (made.picture(place) - scene.picture(place)).square().mean()
        assert -10.0 * math.log10(float(gap)) > least


@pytest.mark.parametrize("opacity", [0.5, 0.98])
@pytest.mark.parametrize("along", [False, True])
def test_an_outline_stays_where_it_was(bare: Labelled, opacity: float, along: bool) -> None:
    """One Gaussian alone is as large as it was, seen across its row of pieces; from beside, one piece behind the other, at most twice."""
    scene = long_haired(bare, opacity)
    lone = across(scene, bare.of("hair"))
    lone &= torch.arange(len(lone)) == torch.nonzero(lone)[len(torch.nonzero(lone)) // 2, 0]
    gaussians = scene.avatar.gaussians
    hidden = torch.where(lone, gaussians.opacity_logits, torch.full_like(gaussians.opacity_logits, -20.0))
    scene = scene.with_avatar(replace(scene.avatar, gaussians=replace(gaussians, opacity_logits=hidden)))
    made = scene.with_avatar(cut_avatar(scene, lone, 0, float(scene.rest.means[lone, 0])))
    place = scene.place(0, 1 if along else 0)
    place = replace(place, cameras=place.cameras.resized(512, 512))
    before, after = (one.field(torch.zeros(len(one.avatar.gaussians), 1), place)[1] for one in (scene, made))
    for level in (0.5, 0.15):
        was, now = (float((alpha > level * opacity).sum()) for alpha in (before, after))
        assert 0.9 * was < now < (2.0 if along else 1.1) * was


def test_everything_else_keeps_its_bits_and_its_order(bare: Labelled) -> None:
    scene = long_haired(bare)
    hair = bare.of("hair")
    made = cut_avatar(scene, hair, 0, 0.0).gaussians
    kept = scene.avatar.gaussians.select(~across(scene, hair))
    for name, value in kept.tensors().items():
        assert torch.equal(getattr(made, name)[: len(kept)], value)
    assert len(made.ids.unique()) == len(made.ids)
    assert bool((made.label_logits[len(kept) :].argmax(1) == LABEL_INDEX["hair"]).all())
    assert bool(torch.isin(made.parents[len(kept) :], scene.avatar.gaussians.ids[across(scene, hair)]).all())


def bluer(before: Scene, after: Scene, camera: int) -> Tensor:
    """(H, W) how much bluer a picture got, not below 0."""
    first, second = (one.picture(one.place(0, camera)) for one in (before, after))
    return ((second[2] - second[:2].amax(0)) - (first[2] - first[:2].amax(0))).clamp(min=0.0)


def test_no_half_shows_beyond_the_middle(bare: Labelled) -> None:
    """Seen from in front, blue hair ends at the middle of the head to a pixel; uncut, it does not."""
    scene = long_haired(bare, 0.9)
    whole = carried_out(scene, BLUE)
    parted = carried_out(cut(scene, BLUE), BLUE)
    middle = scene.avatar.cameras[0].width // 2  # the subject's left is on the right
    beyond = [float(bluer(scene, one, 0)[:, : middle - 2].sum()) for one in (whole, parted)]
    assert beyond[0] > 2.0 and beyond[1] <= 0.2 * beyond[0]


def test_the_far_half_does_not_shine_through(bare: Labelled) -> None:
    """From the subject's right, through hair that lets light through, nothing of the blue left half shows below the parting."""
    scene = long_haired(bare, 0.3)
    near = (bare.of("hair") & (bare.rest[:, 0] < -0.02)).float()[:, None]
    near = scene.field(near, scene.place(0, 2))[0][0] > 0.15
    with_wall, without = carried_out(cut(scene, BLUE), BLUE), carried_out(scene, BLUE)
    shown = [float(bluer(scene, one, 2)[near].sum()) for one in (without, with_wall)]
    assert shown[0] > 5.0 and shown[1] < 0.2 * shown[0]


def thick_haired(which: Labelled) -> Scene:
    """The head with three layers of hair, 3 to 12 mm over the scalp, each of which lets most light through."""
    scene = long_haired(which, 0.2)
    hair = torch.nonzero(which.of("hair"))[:, 0]
    gaussians, size = scene.avatar.gaussians, scene.frames_at_rest(which.avatar.gaussians.binding)[2]
    layers = []
    for depth in (0.003, 0.012):
        means = gaussians.means[hair].clone()
        means[:, 1] = depth / size[hair]
        layers.append(replace(gaussians.select(hair), means=means))
    made = Gaussians.cat([gaussians, *layers])
    ids = torch.arange(len(made))
    return scene.with_avatar(replace(scene.avatar, gaussians=replace(made, ids=ids, parents=ids.clone())))


def test_beside_the_border_nothing_shines_through_the_hair_itself(
    bare: Labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slanting ray leaves the near half below its surface: what lies there of the blue half does not show."""
    scene = thick_haired(bare)
    near = (scene.avatar.gaussians.label_logits.argmax(1) == LABEL_INDEX["hair"]) & (scene.rest.means[:, 0] < -0.003)
    seen = scene.field(near.float()[:, None], scene.place(0, 2))[0][0] > 0.5
    parted = cut(scene, BLUE)
    shown = float(bluer(scene, carried_out(parted, BLUE), 2)[seen].sum())
    for camera in range(len(scene.avatar.cameras)):
        place = scene.place(0, camera)
        gap = (parted.picture(place) - scene.picture(place)).square().mean()
        assert -10.0 * math.log10(float(gap)) > 40.0
    monkeypatch.setattr(walls, "_inside_hair", lambda *_: torch.zeros(0, 3))
    open_ = float(bluer(scene, carried_out(cut(scene, BLUE), BLUE), 2)[seen].sum())
    assert open_ > 3.0 and shown < 0.5 * open_


def test_what_of_a_wall_would_show_beside_the_hair_is_left_out(bare: Labelled) -> None:
    """The face of a head that was only seen from the front lies behind its mesh; a wall behind the mesh is before it then."""
    face, skull = bare.rest[bare.of("nose")], bare.rest[bare.of("hair")]
    before, within = face.mean(0) + torch.tensor([0.0, 0.0, 0.03]), skull.mean(0)
    above = torch.stack(
        [skull[:, 0].mean(), skull[:, 1].max() + 0.02, skull[:, 2].mean()]
    )  # of a head lower than its mesh
    points = torch.stack([before, within, above])
    scales = torch.full((3, 3), 0.004)
    wall = Gaussians.fresh(points, scales.log(), 0.99, torch.zeros(3, 3), torch.full((3,), -1 - SKULL), 1)
    wall = bare.scene.placed_at_rest(wall, points, wall.quats, scales)
    kept = _hidden(bare.scene, bare.avatar, wall)
    assert len(kept) == 1 and torch.equal(kept.means[0], wall.means[1])


@pytest.mark.parametrize(
    "asked",
    [
        operation("recolour", "hair", colour="#0000ff"),
        operation("recolour", "hair", Region("hair", "on"), colour="#0000ff"),
        operation("shape", "hair", LEFT, size=1.2),
    ],
)
def test_without_a_border_nothing_is_cut(bare: Labelled, asked: Operation) -> None:
    assert cut(bare.scene, asked) is bare.scene


def test_an_edit_of_a_half_is_undone_to_the_bit(bare: Labelled) -> None:
    scene = long_haired(bare)
    edited = with_entry(scene.avatar, carried_out(cut(scene, BLUE), BLUE).avatar, {"prompt": ""})
    back = undone(edited).gaussians
    for name, value in scene.avatar.gaussians.tensors().items():
        assert torch.equal(getattr(back, name), value)


def test_a_few_hairs_among_skin_get_no_wall(bare: Labelled) -> None:
    scene = long_haired(bare, 0.9)
    lone = torch.zeros(len(scene.avatar.gaussians), dtype=torch.bool)
    lone[scene.rest.means[:, 0].abs().argmin()] = True
    at = float(scene.rest.means[lone, 0])
    assert len(walls._inside_hair(scene, at, lone)) == 0
    assert len(walls._inside_hair(scene, at + 0.9 * walls.WITHIN, lone)) == 0
    made = walls.walled(scene, scene.avatar, lone, at).gaussians
    assert torch.equal(made.ids[: len(lone)], scene.avatar.gaussians.ids)
