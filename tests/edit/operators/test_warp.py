"""Parts that move and grow: by what was asked, smoothly, at every time, and nothing else with them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avatarkit.edit.operators.warp import head_width
from avatarkit.edit.plan import Region
from avatarkit.edit.scene import Scene

from ..labelled import DROP, Labelled, added, carried_out, group, operation, posed

OFFSET = (0.0, 0.06, 0.0)


def region(which: Labelled, *names: str) -> Tensor:
    """(V,) bool."""
    return torch.stack([which.scene.head.regions[name] for name in names]).amax(0) > 0.5


def moved(before: Scene, after: Scene, timestep: int) -> Tensor:
    """(V, 3) how far vertices moved at a time."""
    first, second = (scene.head.pose(scene.avatar.motion[timestep]).vertices[0] for scene in (before, after))
    return second - first


def stretch(before: Scene, after: Scene) -> Tensor:
    """(E,) how much longer each edge of the mesh at rest became, as a share."""
    faces = before.head.faces
    pairs = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    old, new = (scene.rest.vertices[pairs] for scene in (before, after))
    length = (old[:, 0] - old[:, 1]).norm(dim=1)
    change = (new - old)[:, 0] - (new - old)[:, 1]
    return change.norm(dim=1)[length > 5e-4] / length[length > 5e-4]


def turned_over(before: Scene, after: Scene) -> float:
    """Share of the mesh's triangles that look the other way."""

    def normals(scene: Scene) -> Tensor:
        corners = scene.rest.vertices[scene.head.faces]
        return torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])

    return float(((normals(before) * normals(after)).sum(1) < 0).float().mean())


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("nose", ("nose",)),
        ("l_eye", ("l_eye",)),
        ("lips", ("u_lip", "l_lip")),
        ("l_ear", ("l_ear",)),
        ("r_brow", ("r_brow",)),
    ],
)
def test_a_part_moves_by_what_was_asked_at_every_time(bare: Labelled, target: str, names: tuple[str, ...]) -> None:
    after = carried_out(bare.scene, operation("move", target, offset=OFFSET))
    asked = head_width(bare.scene) * torch.tensor(OFFSET)
    part = region(bare, *names)
    for timestep in range(4):
        turn = bare.scene.pose(timestep).joints[0, 1, :3, :3]  # the skull's
        shift = moved(bare.scene, after, timestep)[part] @ turn
        torch.testing.assert_close(shift.median(0).values, asked, atol=4e-4, rtol=0)
    distance = torch.cdist(bare.scene.rest.vertices, bare.scene.rest.vertices[part][::5]).amin(1)
    still = (after.rest.vertices - bare.scene.rest.vertices)[distance > 0.05]
    assert float(still.abs().max()) < 5e-5
    assert float(stretch(bare.scene, after).max()) < 1.2 and turned_over(bare.scene, after) < 0.002


def test_strength_is_a_share_of_the_way(bare: Labelled) -> None:
    shifts = [
        (carried_out(bare.scene, operation("move", "nose", strength=s, offset=OFFSET)).rest.vertices - bare.scene.rest.vertices)[region(bare, "nose")].mean(0)
        for s in (0.5, 1.0)
    ]  # fmt: skip
    torch.testing.assert_close(2.0 * shifts[0], shifts[1], atol=1e-6, rtol=0)


def test_gaussians_go_with_their_part(bare: Labelled) -> None:
    after = carried_out(bare.scene, operation("move", "nose", offset=OFFSET))
    asked = head_width(bare.scene) * torch.tensor(OFFSET)
    inner = bare.of("nose") & (after.rest.means[:, 2] > 0.075)
    torch.testing.assert_close(
        (after.rest.means - bare.rest)[inner], asked.expand(int(inner.sum()), 3), atol=4e-4, rtol=0
    )
    assert float((after.rest.means - bare.rest)[bare.of("l_ear", "hair", "cloth")].abs().max()) < 1e-6
    for name in ("sh", "opacity_logits", "label_logits", "binding", "ids"):
        assert torch.equal(getattr(after.avatar.gaussians, name), getattr(bare.avatar.gaussians, name))


@pytest.mark.parametrize(
    ("target", "dimension", "axis", "size"),
    [
        ("nose", "width", 0, 1.3),
        ("lips", "thickness", 1, 1.4),
        ("nose", "", 0, 0.75),
        ("l_ear", "height", 1, 1.4),
        ("mouth", "width", 0, 1.2),
    ],
)
def test_a_part_grows_by_its_factor(bare: Labelled, target: str, dimension: str, axis: int, size: float) -> None:
    after = carried_out(bare.scene, operation("shape", target, dimension=dimension, size=size))
    names = {"lips": ("u_lip", "l_lip"), "mouth": ("u_lip", "l_lip")}.get(target, (target,))
    part = region(bare, *names)
    spans = [
        (points.amax(0) - points.amin(0))[axis]
        for points in (scene.rest.vertices[part] for scene in (bare.scene, after))
    ]
    assert float(spans[1] / spans[0]) == pytest.approx(size, abs=0.02)
    if dimension == "width":  # nothing else grows
        other = [
            (points.amax(0) - points.amin(0))[2]
            for points in (scene.rest.vertices[part] for scene in (bare.scene, after))
        ]
        assert float(other[1] / other[0]) == pytest.approx(1.0, abs=0.02)
    assert turned_over(bare.scene, after) < 0.002 and float(stretch(bare.scene, after).max()) < 1.2


def test_splats_grow_with_what_they_cover(bare: Labelled) -> None:
    after = carried_out(bare.scene, operation("shape", "nose", dimension="width", size=1.5))
    inner = bare.of("nose") & (bare.rest[:, 2] > 0.08)
    assert float((after.rest.scales[inner] / bare.scene.rest.scales[inner]).amax(1).median()) > 1.12


def test_eyes_grow_one_by_one(bare: Labelled) -> None:
    after = carried_out(bare.scene, operation("shape", "eyes", size=1.2))
    for name in ("l_eye", "r_eye"):
        part = region(bare, name)
        old, new = (scene.rest.vertices[part] for scene in (bare.scene, after))
        torch.testing.assert_close(new.mean(0), old.mean(0), atol=1e-3, rtol=0)
        ratio = (new.amax(0) - new.amin(0)) / (old.amax(0) - old.amin(0))
        torch.testing.assert_close(ratio, torch.full((3,), 1.2), atol=0.02, rtol=0)
        # an eyeball stays as round as it was
        offset = (new - new.mean(0)) - 1.2 * (old - old.mean(0))
        assert float(offset.abs().max()) < 3e-4


def test_glasses_stay_on_while_the_nose_grows(plain: Labelled) -> None:
    after = carried_out(plain.scene, operation("shape", "nose", size=1.4))
    worn = plain.of("glasses", "earring")
    for timestep in range(4):
        torch.testing.assert_close(
            posed(after, timestep).means[worn], posed(plain.scene, timestep).means[worn], atol=2e-4, rtol=0
        )
        torch.testing.assert_close(posed(after, timestep).scales[worn], posed(plain.scene, timestep).scales[worn])
    assert float((after.rest.means - plain.rest)[plain.of("nose")].norm(dim=1).max()) > 0.003


def test_an_added_beard_follows_the_chin(bare: Labelled) -> None:
    scene = added(bare.scene, "beard")
    after = carried_out(scene, operation("shape", "chin", size=1.3))
    beard = group(scene, "beard")
    lowest = scene.rest.means[beard][:, 1] < scene.rest.means[beard][:, 1].quantile(0.2)
    assert float((after.rest.means - scene.rest.means)[beard][lowest].norm(dim=1).median()) > 0.001


@pytest.mark.parametrize("timestep", range(4))
def test_glasses_move_as_one_thing(plain: Labelled, timestep: int) -> None:
    after = carried_out(plain.scene, operation("move", "glasses", offset=(0.0, -0.1, 0.05)))
    asked = head_width(plain.scene) * torch.tensor([0.0, -0.1, 0.05])
    turn = plain.scene.pose(timestep).joints[0, 1, :3, :3]
    shift = (posed(after, timestep).means - posed(plain.scene, timestep).means) @ turn
    worn = plain.of("glasses")
    torch.testing.assert_close(shift[worn], asked.expand(int(worn.sum()), 3), atol=1e-5, rtol=0)
    assert float(shift[~worn].abs().max()) == 0.0


def test_an_earring_grows_from_its_lobe(plain: Labelled) -> None:
    after = carried_out(plain.scene, operation("shape", "earring", Region("l_ear"), dimension="length", size=1.5))
    left = plain.of("earring") & (plain.rest[:, 0] > 0)
    old, new = plain.rest[left], after.rest.means[left]
    assert float(new[:, 1].amax() - old[:, 1].amax()) == pytest.approx(0.0, abs=1e-3)
    assert float(new[:, 1].amax() - new[:, 1].amin()) == pytest.approx(1.5 * DROP, abs=1e-3)
    torch.testing.assert_close(after.rest.means[~left], plain.rest[~left], atol=1e-7, rtol=0)


def test_a_second_pair_is_known_for_what_it_is(bare: Labelled) -> None:
    """ "earring 2" hangs from its own lobe as "earring" does."""
    scene = added(added(bare.scene, "earring", Region("r_ear")), "earring", Region("l_ear"))
    after = carried_out(scene, operation("shape", "earring 2", size=1.5))
    own = group(scene, "earring 2")
    old, new = scene.rest.means[own][:, 1], after.rest.means[own][:, 1]
    assert float(new.max() - old.max()) == pytest.approx(0.0, abs=1.5e-3)
    assert float((new.max() - new.min()) / (old.max() - old.min())) == pytest.approx(1.5, abs=0.05)
    torch.testing.assert_close(after.rest.means[~own], scene.rest.means[~own], atol=1e-7, rtol=0)


def test_longer_hair_hangs_lower(bare: Labelled) -> None:
    after = carried_out(bare.scene, operation("shape", "hair", dimension="length", size=1.5))
    shift = (after.rest.means - bare.rest)[bare.of("hair")]
    height = bare.rest[bare.of("hair")][:, 1]
    assert float(shift[:, [0, 2]].abs().max()) < 1e-6 and float(shift[:, 1].max()) < 1e-6
    assert float(shift[height > height.quantile(0.6)].abs().max()) < 1e-6  # the crown stays
    low = height < height.quantile(0.1)
    assert float(shift[low][:, 1].median()) < -0.01
    assert float((after.rest.means - bare.rest)[~bare.of("hair")].abs().max()) == 0.0


def test_more_volume_begins_at_the_hairline(bare: Labelled) -> None:
    after = carried_out(bare.scene, operation("shape", "hair", size=1.3))
    hair = bare.of("hair")
    shift = (after.rest.means - bare.rest)[hair].norm(dim=1)
    gap = torch.cdist(bare.rest[hair], bare.rest[bare.of("skin")][::3]).amin(1)
    assert float(shift[gap < 0.010].median()) < 0.4 * float(shift[gap > 0.04].median())
    out = (
        (after.rest.means - bare.rest)[hair]
        * torch.nn.functional.normalize(bare.rest[hair] - torch.tensor([0.0, 0.04, -0.03]), dim=1)
    ).sum(1)
    assert float((out > -1e-4).float().mean()) > 0.98  # outwards


def test_a_hat_added_earlier_moves_and_the_hair_below_stays(bare: Labelled) -> None:
    scene = added(bare.scene, "hat")
    after = carried_out(scene, operation("move", "hat", offset=(0.0, 0.2, 0.0)))
    hat = group(scene, "hat")
    torch.testing.assert_close(
        (after.rest.means - scene.rest.means)[hat],
        (head_width(scene) * torch.tensor([0.0, 0.2, 0.0])).expand(int(hat.sum()), 3),
        atol=1e-5,
        rtol=0,
    )
    assert float((after.rest.means - scene.rest.means)[~hat].abs().max()) == 0.0


def test_a_heads_width_has_no_ears(bare: Labelled) -> None:
    vertices = bare.scene.rest.vertices
    ears = region(bare, "l_ear", "r_ear")
    assert head_width(bare.scene) < float((vertices[ears].amax(0) - vertices[ears].amin(0))[0])
    assert head_width(bare.scene) == pytest.approx(0.15, abs=0.01)
