"""Paint is anchored on the head: the same point gets the same paint in every view, and in every batch of views.

The head of ``heads`` has one colour for each point whatever the view, so whatever differs between views of the painted head is the
painter's doing.
"""

from __future__ import annotations

from functools import cache, lru_cache
from itertools import combinations

import numpy as np
import pytest
from scipy.spatial import cKDTree
from torch import Tensor

from avatarkit.edit.paint.asked import STYLES
from avatarkit.edit.paint.looks import LOOKS
from avatarkit.edit.paint.oklab import oklab
from avatarkit.edit.plan import Attributes, Operation
from avatarkit.edit.vocabulary import MAKEUP
from avatarkit.types import FloatArray, IntArray

from .heads import SIZE, Head, add, head_views, restyle

PITCH = 0.42 / SIZE
TEXTURED = ("sketch", "oil", "watercolour", "marble", "bronze", "gold", "stone", "wood", "clay", "mosaic")
"""Styles that have a random texture; ``pop_art`` chooses its inks by the seed."""
OPERATIONS: dict[str, tuple[Operation, str]] = {
    **{style: (restyle(style, "face" if style in MAKEUP else "head"), "face" if style in MAKEUP else "head") for style in STYLES},
    **{name: (Operation("identity", "head", attributes=Attributes(name=name)), "head") for name in (*LOOKS, "statue")},
    "tattoo": (add("tattoo", form="heart", colour="#c01030"), "l_cheek"),
    "scar": (add("scar"), "forehead"),
    "freckles": (add("freckles"), "cheeks"),
    "red hair": (Operation("recolour", "hair", attributes=Attributes(colour="#b5451f")), "hair"),
}  # fmt: skip
LOOSE = {"mosaic": 0.055, "sketch": 0.02, "oil": 0.015, "gold": 0.016}
"""Mean difference in OKLab where lines or glints are not much wider than pixels; 0.012 elsewhere."""


@lru_cache(maxsize=1)
def pairs() -> list[tuple[int, int, IntArray, IntArray]]:
    """Pixels of two views that see nearly the same point of the face, neither of them at a grazing angle."""
    head = head_views()
    seen = [(head.shows[k] > 0) & (head.rest[k, ..., 2] > -0.01) & (head.rest[k, ..., 1] > -0.1) for k in range(4)]
    made = []
    for first, second in combinations(range(4), 2):
        one, other = np.argwhere(seen[first]), np.argwhere(seen[second])
        points, others = head.rest[first][tuple(one.T)], head.rest[second][tuple(other.T)]
        apart, nearest = cKDTree(others).query(points)
        back = cKDTree(points).query(others)[1]
        # seen about as finely by both: mutual neighbours nearer than half a pixel
        mutual = (apart < 0.5 * PITCH) & (back[nearest] == np.arange(len(points)))
        made.append((first, second, one[mutual], other[nearest[mutual]]))
    return made


@cache
def whole(name: str) -> Tensor:
    """One of ``OPERATIONS`` on all four views."""
    operation, region = OPERATIONS[name]
    return head_views().paint(operation, region)


def differences(painted: Tensor) -> FloatArray:
    """OKLab distances between views over all pairs."""
    labs = [oklab(picture.permute(1, 2, 0).numpy()) for picture in painted]
    found = [np.linalg.norm(labs[a][tuple(i.T)] - labs[b][tuple(j.T)], axis=1) for a, b, i, j in pairs()]
    return np.concatenate(found)


def test_the_head_itself_looks_the_same_from_everywhere(head: Head) -> None:
    apart = differences(head.views)
    assert len(apart) > 8000 and apart.mean() < 0.003


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_same_point_gets_the_same_paint(name: str) -> None:
    apart = differences(whole(name))
    assert apart.mean() < LOOSE.get(name, 0.012)


@pytest.mark.parametrize("name", ["marble", "wood", "watercolour", "mosaic", "stone"])
def test_paint_that_keeps_to_the_picture_would_be_found_out(head: Head, name: str) -> None:
    """Without correspondences textures stay on the picture: points get other paint in other views, and the measure says so."""
    operation, region = OPERATIONS[name]
    anchored = differences(whole(name)).mean()
    loose = differences(head.paint(operation, region, anchored=False)).mean()
    assert loose > 2.0 * anchored


@pytest.mark.parametrize("name", OPERATIONS)
def test_batches_of_other_views_give_the_same_pictures(head: Head, name: str) -> None:
    """The first two views painted together with the others, and by themselves."""
    operation, region = OPERATIONS[name]
    together, part = whole(name)[:2], head.paint(operation, region, batch=(0, 1))
    assert float((together - part).abs().mean()) < 0.004
    assert float(((together - part).abs().amax(1) > 0.1).float().mean()) < 0.004


@pytest.mark.parametrize("name", TEXTURED)
def test_another_seed_is_another_texture(head: Head, name: str) -> None:
    operation, region = OPERATIONS[name]
    first, again, other = (head.paint(operation, region, batch=(0,), seed=seed) for seed in (3, 3, 4))
    assert bool((first == again).all())
    assert float((first - other).abs().mean()) > 0.002


@pytest.mark.parametrize("name", ["cartoon", "makeup", "red hair", "pixel_art"])
def test_what_is_not_random_does_not_ask_for_the_seed(head: Head, name: str) -> None:
    operation, region = OPERATIONS[name]
    first, other = (head.paint(operation, region, batch=(0,), seed=seed) for seed in (3, 4))
    assert bool((first == other).all())
