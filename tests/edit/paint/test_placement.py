"""Where decals lie: the middle of the masked surface, for every batch of views the same."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from avatarkit.edit.paint.canvas import canvas
from avatarkit.edit.paint.placement import Frame, frames
from avatarkit.edit.paint.survey import survey
from avatarkit.types import FloatArray

from .heads import Head

CENTRES = {
    "left cheek": np.array([0.042, -0.006, 0.055]), "right cheek": np.array([-0.040, -0.010, 0.056]),
    "forehead": np.array([0.010, 0.070, 0.067]), "nose": np.array([0.0, -0.012, 0.092]),
}  # fmt: skip


def found(head: Head, mask: FloatArray, batch: tuple[int, ...]) -> list[Frame]:
    made = [
        canvas(head.views[k].permute(1, 2, 0).numpy(), mask[k].astype(np.float32), head.rest[k], head.correspondences.triangle[k].numpy())
        for k in batch
    ]  # fmt: skip
    return frames(survey([one for one in made if one is not None]))


def on_skin(head: Head, centre: FloatArray) -> FloatArray:
    """The point of the head nearest to ``centre``, out of all pixels."""
    points = head.rest[head.shows > 0]
    return points[np.linalg.norm(points - centre, axis=1).argmin()]


@pytest.mark.parametrize("place", CENTRES)
def test_batches_of_other_views_agree_within_a_millimetre_and_a_half(head: Head, place: str) -> None:
    """Every two of the four views, which differ in side, expression and jaw, against all four."""
    centre = on_skin(head, CENTRES[place])
    mask = head.disc(centre, 0.0192)
    (whole,) = found(head, mask, (0, 1, 2, 3))
    curved = 0.006 if place == "nose" else 0.0015  # a ball around the tip of a nose has its middle on the ridge above
    assert np.linalg.norm(whole.centre - centre) < curved
    for batch in itertools.combinations(range(4), 2):
        (part,) = found(head, mask, batch)
        assert np.linalg.norm(part.centre - whole.centre) < 1.5e-3, batch
        assert part.normal @ whole.normal > 0.99 and part.up @ whole.up > 0.99


def test_the_frame_is_upright_and_faces_out(head: Head) -> None:
    (frame,) = found(head, head.disc(on_skin(head, CENTRES["forehead"]), 0.02), (0, 1, 2, 3))
    assert frame.normal[2] > 0.85 and frame.up[1] > 0.85
    assert frame.across[0] > 0.9  # to the right as one looks at the face: the subject's left
    np.testing.assert_allclose(frame.half, 0.02, rtol=0.15)
    axes = np.stack([frame.across, frame.up, frame.normal])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)


def test_two_cheeks_are_two_pieces_and_rags_are_none(head: Head) -> None:
    left, right = (on_skin(head, CENTRES[f"{side} cheek"]) for side in ("left", "right"))
    both = np.maximum(head.disc(left, 0.015), head.disc(right, 0.015))
    pieces = found(head, both, (0, 1, 2, 3))
    assert [np.sign(piece.centre[0]) for piece in pieces] == [1.0, -1.0]
    rag = np.maximum(both, head.disc(on_skin(head, CENTRES["forehead"]), 0.004))
    assert len(found(head, rag, (0, 1, 2, 3))) == 2
    assert found(head, 0.0 * both + 1e-3, (0,)) == []


def test_moving_along_the_surface_stays_on_it(head: Head) -> None:
    (frame,) = found(head, head.disc(on_skin(head, CENTRES["nose"]), 0.03), (0, 1, 2, 3))
    for across, up in ((0.012, 0.0), (-0.012, 0.006), (0.0, 0.02)):
        moved = frame.moved(across, up)
        assert np.linalg.norm(moved.centre - on_skin(head, moved.centre)) < 2e-3
        there = frame.places(moved.centre[None])[0]
        assert np.dot(there[:2], [across, up]) > 0


def test_places_keep_their_distance_on_round_skin() -> None:
    """On a sphere, straight distances instead of those of the shadow on the plane."""
    nothing = SimpleNamespace()
    frame = Frame(np.array([0.0, 0.0, 0.05]), *np.eye(3)[[2, 0, 1]], np.ones(2), nothing)  # type: ignore[arg-type]
    angle = 0.5
    places = frame.places(0.05 * np.array([[np.sin(angle), 0.0, np.cos(angle)]]))
    assert places[0, 0] == pytest.approx(2 * 0.05 * np.sin(angle / 2)) and places[0, 1] == pytest.approx(0.0)
