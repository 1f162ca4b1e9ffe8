"""The bust's mesh: closed where it should be, wound outwards, symmetric, without slivers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from avatarkit.head.bust import BustModel


@pytest.fixture(scope="module")
def bust() -> BustModel:
    return BustModel()


@pytest.fixture(scope="module")
def vertices(bust: BustModel) -> np.ndarray:
    return bust.template.numpy().astype(np.float64) * 1000


@pytest.fixture(scope="module")
def faces(bust: BustModel) -> np.ndarray:
    return bust.faces.numpy()


def test_size_and_place(vertices: np.ndarray) -> None:
    head = vertices[(np.abs(vertices[:, 0]) < 3) & (vertices[:, 2] > -40)]
    chin, crown = -82.0, head[:, 1].max()
    assert 4000 <= len(vertices) <= 8200
    assert 220 < crown - chin < 240
    cheeks_to_ears = vertices[(vertices[:, 1] > 40) & (vertices[:, 1] < 110)]
    assert 140 < np.ptp(cheeks_to_ears[:, 0]) < 165
    assert vertices[:, 2].argmax() in np.flatnonzero(
        np.abs(vertices[:, 0]) < 1
    )  # the tip of the nose is the foremost point


def test_edges_are_shared_by_two_and_wound_alike(faces: np.ndarray) -> None:
    directed = Counter((int(t[k]), int(t[(k + 1) % 3])) for t in faces for k in range(3))
    assert max(directed.values()) == 1  # two neighbours walk their edge in opposite directions
    undirected = Counter(tuple(sorted(edge)) for edge in directed)
    assert max(undirected.values()) == 2


def test_open_borders_are_hidden_or_the_cut(bust: BustModel, faces: np.ndarray, vertices: np.ndarray) -> None:
    """The skin ends only at the cut of the bust and deep behind the lids; ears end inside the head, teeth inside the gums."""
    directed = {(int(t[k]), int(t[(k + 1) % 3])) for t in faces for k in range(3)}
    border = {a for a, b in directed if (b, a) not in directed}
    parts = bust.arrays.rest.parts
    allowed = parts["upper_teeth"] | parts["lower_teeth"]
    for vertex in border:
        x, y, _ = vertices[vertex]
        inside_ear = parts["ear"][vertex] and abs(x) < 72
        behind_lid = parts["eyelid"][vertex] and vertices[vertex, 2] < 58
        assert allowed[vertex] or inside_ear or behind_lid or y < -205, vertices[vertex]


def test_every_vertex_is_used(faces: np.ndarray, vertices: np.ndarray) -> None:
    assert set(np.unique(faces)) == set(range(len(vertices)))


def test_no_slivers(faces: np.ndarray, vertices: np.ndarray) -> None:
    corners = vertices[faces]
    sides = np.stack([np.linalg.norm(corners[:, k] - corners[:, (k + 1) % 3], axis=1) for k in range(3)])
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    assert area.min() > 0.004  # mm²; the least is at the corners of the mouth
    face = bust_face(corners)
    assert sides[:, face].max() < 18.0
    assert sides.max() < 50.0
    # height of the triangle over its longest side
    assert np.mean(2 * area / sides.max(0) ** 2 < 0.05) < 0.012


def bust_face(corners: np.ndarray) -> np.ndarray:
    middle = corners.mean(1)
    return (middle[:, 2] > 30) & (middle[:, 1] > -80) & (middle[:, 1] < 55)


def test_closed_parts_enclose_volume(bust: BustModel, faces: np.ndarray, vertices: np.ndarray) -> None:
    """Outward winding: the signed volume of each closed part is positive and about right."""
    parts = bust.arrays.rest.parts

    def volume(mask: np.ndarray) -> float:
        corners = vertices[faces[mask[faces].all(1)]]
        return float(np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)

    assert volume(parts["eyeball"]) == pytest.approx(2 * 4 / 3 * np.pi * 13.2**3, rel=0.09)
    assert volume(parts["tongue"]) > 3000


def test_skin_faces_outwards(bust: BustModel, faces: np.ndarray, vertices: np.ndarray) -> None:
    """From far in front, the first surface that a ray meets is always a front face."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    rng = np.random.default_rng(0)
    spots = np.stack([rng.uniform(-60, 60, 300), rng.uniform(-80, 130, 300)], -1)
    for spot in spots:
        shifted = corners[:, :, :2] - spot
        cross = [
            shifted[:, k, 0] * shifted[:, (k + 1) % 3, 1] - shifted[:, k, 1] * shifted[:, (k + 1) % 3, 0]
            for k in range(3)
        ]
        signs = np.stack(cross)
        hit = np.flatnonzero((signs > 0).all(0) | (signs < 0).all(0))
        if len(hit):
            nearest = hit[np.argmax(corners[hit].mean(1)[:, 2])]
            assert normal[nearest, 2] > 0, spot


def test_symmetric(bust: BustModel, vertices: np.ndarray) -> None:
    mirror = bust.arrays.rest.mirror
    assert np.array_equal(mirror[mirror], np.arange(len(vertices)))
    assert np.array_equal(vertices[mirror] * [-1, 1, 1], vertices)
    basis = bust.arrays.shapedirs
    assert np.allclose(basis[mirror] * np.array([-1, 1, 1])[None, :, None], basis, atol=1e-7)


def test_built_alike_twice() -> None:
    from avatarkit.head.bust.assembly import build_rest

    first, second = build_rest(), build_rest()
    assert np.array_equal(first.points, second.points)
    assert np.array_equal(first.faces, second.faces)


def test_texture_coordinates(bust: BustModel) -> None:
    uv = bust.uv.numpy()
    assert uv.shape == (len(bust.template), 2)
    assert uv.min() >= 0
    assert uv.max() <= 1
