"""Keyframes show the region and differ in view and expression."""

from __future__ import annotations

import math

import numpy as np
import torch

from avatarkit.edit.keyframes import HIDDEN, SMALL, VIEW_UNIT, choose_places
from avatarkit.edit.region import Located, region_mask
from avatarkit.edit.scene import Place, Scene


def area(scene: Scene, located: Located, place: Place) -> float:
    return float(region_mask(scene, located.weights, scene.shrunk(place, SMALL)).sum())


def test_the_first_shows_most_and_all_are_different(scene: Scene, hair: Located) -> None:
    chosen = choose_places(scene, hair, 6)
    areas = [area(scene, hair, place) for place in scene.places()]
    assert len(chosen) == 6 == len({place.name for place in chosen})
    assert area(scene, hair, chosen[0]) == max(areas)
    assert {place.name for place in chosen} <= {place.name for place in scene.places()}


def test_each_is_the_farthest_that_is_left(scene: Scene, hair: Located) -> None:
    """Against plain loops: distance to the nearest chosen one, times the root of the share that it shows."""
    places, motion = scene.places(), scene.avatar.motion
    moves = np.concatenate([motion.expr.numpy(), motion.jaw_pose.numpy()], 1)
    moves = moves / np.linalg.norm(moves.std(0))

    def gap(a: Place, b: Place) -> float:
        turn = math.dist(scene.direction(a), scene.direction(b)) / VIEW_UNIT
        return math.hypot(turn, float(np.linalg.norm(moves[a.timestep] - moves[b.timestep])))

    most = max(area(scene, hair, place) for place in places)
    chosen = choose_places(scene, hair, 5)
    for k in range(1, 5):
        value = {
            place.name: min(gap(place, earlier) for earlier in chosen[:k]) * math.sqrt(area(scene, hair, place) / most)
            for place in places
            if place.name not in {earlier.name for earlier in chosen[:k]}
        }
        assert value[chosen[k].name] >= max(value.values()) - 1e-4


def test_places_from_which_the_region_is_hidden_are_left_out(scene: Scene) -> None:
    x = scene.rest.means[:, 0]
    side = Located((x > x.quantile(0.98)).float(), torch.zeros(3))  # what stands out on the subject's left
    shown = {place.name: area(scene, side, place) for place in scene.places()}
    chosen = choose_places(scene, side, 100)
    least = HIDDEN * max(shown.values())
    assert {place.name for place in chosen} == {name for name, value in shown.items() if value > least}


def test_none_where_nothing_shows_or_none_is_wanted(scene: Scene, hair: Located) -> None:
    assert choose_places(scene, Located(torch.zeros_like(hair.weights), torch.zeros(3)), 5) == []
    assert choose_places(scene, hair, 0) == []
