"""Earrings hang from the ear that is asked for, necklaces go around the neck, nose rings sit on their nostril."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from avatarkit.bench.edit.solid import pieces
from avatarkit.edit.accessories.anatomy import measure
from avatarkit.edit.plan import Region
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX

MM = 1e-3
LEFT, RIGHT, BOTH = Region("l_ear"), Region("r_ear"), Region("ears")


def side_of(subject: Any, points: Any) -> Any:
    return np.sign(points[:, 0] - subject.anatomy.middle)


@pytest.mark.parametrize("form", ["hoop", "drop", "chain", "star", "heart", "line", "pearls"])
@pytest.mark.parametrize(("region", "sign"), [(LEFT, 1), (RIGHT, -1)])
def test_earrings_hang_below_the_lobe_of_their_side(subject: Any, form: str, region: Region, sign: int) -> None:
    points = subject.points("earring", region, form=form)
    assert (side_of(subject, points) == sign).all()
    lobe = subject.anatomy["l_lobe" if sign > 0 else "r_lobe"]
    assert points[:, 1].min() < lobe[1] - 9 * MM
    assert points[:, 1].max() < lobe[1] + 5 * MM
    assert np.linalg.norm(points - lobe, axis=1).min() < 4 * MM  # it is fastened
    assert np.linalg.norm(points - lobe, axis=1).max() < 45 * MM


def test_studs_sit_on_the_lobe(subject: Any) -> None:
    points = subject.points("earring", LEFT, form="stud", material="diamond")
    lobe = subject.anatomy["l_lobe"]
    assert np.linalg.norm(points - lobe, axis=1).max() < 10 * MM
    assert points[:, 0].max() > lobe[0] + 1 * MM  # on its outer face


def test_sides_are_the_subjects_unless_the_viewers_are_asked_for(bust: Any) -> None:
    viewer = bust.points("earring", Region("face", "left_of", "viewer"))
    own = bust.points("earring", Region("face", "left_of"))
    assert (side_of(bust, viewer) == -1).all() and (side_of(bust, own) == 1).all()


@pytest.mark.parametrize(
    ("region", "count", "left", "right"), [(BOTH, 2, 1, 1), (None, 1, 1, 1), (BOTH, 3, 2, 1), (LEFT, 2, 2, 0)]
)
def test_how_many_earrings(bust: Any, region: Region | None, count: int, left: int, right: int) -> None:
    points = bust.points("earring", region, count=count, form="stud", material="pearl")
    single = len(bust.points("earring", LEFT, form="stud", material="pearl"))
    assert (side_of(bust, points) == 1).sum() == left * single
    assert (side_of(bust, points) == -1).sum() == right * single


def test_hoops_in_one_ear_do_not_go_through_each_other(bust: Any) -> None:
    alone = bust.points("earring", LEFT, form="hoop")
    both = bust.points("earring", LEFT, form="hoop", count=2)
    lower, upper = both[: len(alone)], both[len(alone) :]
    assert np.allclose(lower, alone)
    apart = np.linalg.norm(lower[:, None] - upper[None], axis=2).min()
    assert apart > 2.4 * MM  # two wires of 1.2


def test_earring_sizes(bust: Any) -> None:
    def extent(**attributes: Any) -> Any:
        return np.ptp(bust.points("earring", LEFT, form="hoop", **attributes), axis=0)

    for factor in (0.5, 1.35, 2.0):
        assert np.abs(extent(size=factor) / extent() / factor - 1).max() < 0.12
    assert 1.4 < extent(size=1.6, dimension="length")[1] / extent()[1] < 1.7
    drop = np.ptp(bust.points("earring", LEFT, form="drop", size=1.6, dimension="length")[:, 1])
    assert 1.35 < drop / np.ptp(bust.points("earring", LEFT, form="drop")[:, 1]) < 1.65


def test_earrings_come_out_of_hair_that_covers_the_ear(bust: Any) -> None:
    spread = bust.anatomy.skin.spread(0.004)
    beside = np.abs(spread.points[:, 0]) > 0.055
    points = torch.from_numpy(spread.points[beside]).float()
    points[:, 0] += 0.025 * points[:, 0].sign()
    joint = bust.anatomy.skull_joint
    local = points - bust.anatomy.pose.joints[0, joint, :3, 3]
    hair = Gaussians.fresh(
        local,
        torch.full((len(points), 3), -6.0),
        0.95,
        torch.rand(len(points), 3),
        torch.full((len(points),), -1 - joint),
    )
    hair.label_logits[:, LABEL_INDEX["hair"]] = 5.0
    covered = type(bust)(bust.head, bust.motion, measure(bust.head, bust.motion, hair))
    bare, out = bust.points("earring", LEFT), covered.points("earring", LEFT)
    assert 8 * MM < (out - bare)[:, 0].min() < 45 * MM
    assert np.abs((out - bare)[:, 1:]).max() < 1 * MM


@pytest.mark.parametrize(
    "attributes", [{}, {"material": "pearl"}, {"material": "leather"}, {"form": "chain", "count": 3}]
)
def test_necklaces_go_around_the_neck_below_the_chin(subject: Any, attributes: dict[str, Any]) -> None:
    points = subject.points("necklace", **attributes)
    assert points[:, 1].max() < subject.anatomy["chin"][1]
    assert points[:, 1].min() > subject.anatomy["chin"][1] - 0.13
    offset = points - subject.anatomy.column.axis(points[:, 1])
    turn = np.sort(np.degrees(np.arctan2(offset[:, 0], offset[:, 2])))
    assert np.diff(turn).max() < 12 and turn[0] < -170 and turn[-1] > 170
    heights = subject.anatomy.skin.nearest(points).heights
    inside = points[:, 1] > subject.anatomy.column.bottom + 0.015  # where the mesh ends there is nothing to lie on
    assert heights[inside].min() > -2.5 * MM
    assert np.median(heights[inside]) < 12 * MM
    front, nape = points[np.abs(turn_of(subject, points)) < 20], points[np.abs(turn_of(subject, points)) > 160]
    assert front[:, 1].mean() < nape[:, 1].mean()


def turn_of(subject: Any, points: Any) -> Any:
    offset = points - subject.anatomy.column.axis(points[:, 1])
    return np.degrees(np.arctan2(offset[:, 0], offset[:, 2]))


def test_necklace_lengths_and_rows(bust: Any) -> None:
    pearls = [bust.points("necklace", material="pearl", size=factor, dimension="length") for factor in (1.0, 1.2, 0.85)]
    lengths = [len(points) for points in pearls]
    assert abs(lengths[1] / lengths[0] / 1.2 - 1) < 0.06 and lengths[2] < lengths[0]
    assert pearls[1][:, 1].min() < pearls[0][:, 1].min() - 18 * MM
    assert pearls[2][:, 1].min() > pearls[0][:, 1].min() + 8 * MM
    rows = bust.points("necklace", form="chain", count=3)
    front = np.sort(rows[np.abs(rows[:, 0]) < 2 * MM][:, 1])
    front = front[front < bust.anatomy["chin"][1] - 0.05]
    assert (np.diff(front) > 5 * MM).sum() >= 2  # three strands apart
    nape = np.sort(rows[np.abs(turn_of(bust, rows)) > 170][:, 1])
    assert (np.diff(nape) > 5 * MM).sum() == 2  # there, too
    many = bust.points("necklace", form="chain", count=8)
    assert np.ptp(many[np.abs(turn_of(bust, many)) > 170][:, 1]) < 34 * MM  # and however many, not on the head
    big = bust.posed(bust.made("necklace", material="pearl", size=1.3, dimension="thickness")).scales.mean()
    assert 1.1 < float(big / bust.posed(bust.made("necklace", material="pearl")).scales.mean()) < 1.5


def test_pendants_hang_from_the_chain(bust: Any) -> None:
    plain = bust.points("necklace", form="chain")
    for form in ("heart", "star", "drop", "round", "line"):
        points = bust.points("necklace", form=form, material="silver")
        below = points[points[:, 1] < plain[:, 1].min() - 3 * MM]
        assert len(below) > 20 and np.abs(below[:, 0]).max() < 12 * MM


@pytest.mark.parametrize("form", ["", "drop", "heart"])
def test_a_pendant_hangs_on_its_chain(bust: Any, form: str) -> None:
    """However far the chest comes forward: chain and pendant are one piece."""
    made = bust.posed(bust.made("necklace", form=form, material="gold"))
    assert pieces(made.means, made.scales) == 1


def test_necklaces_lie_on_clothes(bust: Any) -> None:
    spread = bust.anatomy.skin.spread(0.004)
    low = spread.points[:, 1] < bust.anatomy["chin"][1] - 0.055
    points = torch.from_numpy((spread.points + 0.010 * spread.normals)[low]).float()
    local = points - bust.anatomy.pose.joints[0, bust.anatomy.torso_joint, :3, 3]
    binding = torch.full((len(points),), -1 - bust.anatomy.torso_joint)
    cloth = Gaussians.fresh(local, torch.full((len(points), 3), -6.0), 0.95, torch.rand(len(points), 3), binding)
    cloth.label_logits[:, LABEL_INDEX["cloth"]] = 5.0
    dressed = type(bust)(bust.head, bust.motion, measure(bust.head, bust.motion, cloth))
    chain = dressed.points("necklace", form="chain")
    front = chain[(np.abs(turn_of(bust, chain)) < 40) & (chain[:, 1] < bust.anatomy["chin"][1] - 0.065)]
    assert np.median(bust.anatomy.skin.nearest(front).heights) > 9.5 * MM


NOSTRILS = [
    (Region("nose", "left_of"), 1),
    (Region("nose", "right_of"), -1),
    (Region("nose", "left_of", "viewer"), -1),
]


@pytest.mark.parametrize(("region", "sign"), NOSTRILS)
@pytest.mark.parametrize("form", ["", "stud"])
def test_nose_rings_sit_on_their_nostril(subject: Any, region: Region, sign: int, form: str) -> None:
    points = subject.points("nose_ring", region, form=form)
    assert (side_of(subject, points) == sign).all()
    wing = subject.anatomy["l_ala" if sign > 0 else "r_ala"]
    assert np.linalg.norm(points - wing, axis=1).max() < 22 * MM
    heights = np.abs(subject.anatomy.skin.nearest(points).heights)
    assert heights.min() < 1.2 * MM
    base = subject.anatomy["septum"][1]
    assert base - 8 * MM < points[:, 1].min() and points[:, 1].max() < base + 14 * MM
    if not form:
        shows = subject.anatomy.skin.nearest(points).heights > 0.2 * MM
        assert shows.mean() > 0.3  # a good part of the ring is outside


def test_rings_in_the_septum_and_several_at_once(bust: Any) -> None:
    septum = bust.points("nose_ring", Region("nose", "below"))
    assert np.abs(septum[:, 0] - bust.anatomy.middle).max() < 7 * MM
    assert septum[:, 1].min() < bust.anatomy["septum"][1] - 3 * MM
    two = bust.points("nose_ring", count=2)
    assert {float(side) for side in side_of(bust, two)} == {1.0, -1.0}
    single = len(bust.points("nose_ring"))
    assert len(bust.points("nose_ring", count=3)) == 3 * single
    above = bust.points("nose_ring", Region("nose", "left_of"), count=2)
    assert (side_of(bust, above) == 1).all()
    halves = above[:single], above[single:]
    assert np.linalg.norm(halves[0].mean(0) - halves[1].mean(0)) > 2 * MM
    sizes = [np.ptp(bust.points("nose_ring", size=factor)[:, 1]) for factor in (1.0, 1.35, 0.5)]
    assert abs(sizes[1] / sizes[0] / 1.35 - 1) < 0.08 and abs(sizes[2] / sizes[0] / 0.5 - 1) < 0.15


def test_a_nose_ring_keeps_its_shape_when_the_face_moves(bust: Any) -> None:
    made = bust.made("nose_ring", Region("nose", "left_of"))
    assert len(set(made.binding.tolist())) == 1
    rest = bust.posed(made).means
    random = torch.Generator().manual_seed(0)
    moved = bust.posed(made, bust.moved(expr=0.6 * torch.rand(1, bust.head.num_expr, generator=random))).means
    assert float((moved - rest).norm(dim=1).min()) > 1e-4
    assert float((spans(rest) - spans(moved)).abs().max()) < 1e-6


def spans(points: torch.Tensor) -> torch.Tensor:
    """(N, N) distances; not by products, which lose digits."""
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
