"""The subject's renderer against closed forms: silhouettes, depth, interpolation, order, labels."""

from __future__ import annotations

import numpy as np
import pytest

from avatarkit.cameras import intrinsics, look_at
from avatarkit.errors import InputError
from avatarkit.labels import LABEL_INDEX
from avatarkit.synthetic.materials import ALBEDO, ATTRIBUTES, NORMAL, OCCLUSION, SUN, Lighting, Material, linear
from avatarkit.synthetic.mesh_renderer import Camera, Surface, render_surface, shadow_map
from avatarkit.synthetic.parts import ball

SKIN, HAIR, GLASSES = (LABEL_INDEX[name] for name in ("skin", "hair", "glasses"))
# Only ambient light, equal from everywhere: the picture is the albedo.
FLAT = Lighting(key_colour=(0, 0, 0), fill_colour=(0, 0, 0), rim_colour=(0, 0, 0), sky=(1, 1, 1), ground=(1, 1, 1))


def surface(
    vertices: np.ndarray,
    faces: np.ndarray,
    colours: np.ndarray,
    labels: np.ndarray | int = SKIN,
    opacity: np.ndarray | float = 1.0,
) -> Surface:
    attributes = np.zeros((len(vertices), ATTRIBUTES), np.float32)
    attributes[:, NORMAL + 2] = 1.0
    attributes[:, ALBEDO : ALBEDO + 3] = colours
    attributes[:, OCCLUSION] = attributes[:, SUN] = 1.0
    count = len(faces)
    return Surface(
        np.asarray(vertices, np.float32), np.asarray(faces, np.int32), attributes, np.zeros(count, np.int32),
        np.broadcast_to(np.asarray(labels, np.uint8), (count,)).copy(),
        np.broadcast_to(np.asarray(opacity, np.float32), (count,)).copy(), (Material(gloss=0.0),),
    )  # fmt: skip


def camera(width: int = 64, height: int = 48, focal: float = 60.0, shift: tuple[float, float] = (0.0, 0.0)) -> Camera:
    """At the origin, looking along +z."""
    return Camera(np.eye(4), intrinsics(focal, focal, width / 2 + shift[0], height / 2 + shift[1]), width, height)


def plane(z: float, size: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([[-size, -size, z], [size, -size, z], [size, size, z], [-size, size, z]])
    return corners, np.array([[0, 1, 2], [0, 2, 3]])


def test_sphere_silhouette_has_the_projected_area() -> None:
    vertices, faces = ball(np.array([0.0, 0.0, 2.0]), 0.5, rings=80, sides=120)
    view = render_surface(surface(vertices, faces, np.ones(3)), camera(160, 160, 200.0), FLAT, samples=4)
    # the outline is the cone that touches the sphere: tan² = r² / (d² − r²)
    area = np.pi * 200.0**2 * 0.25 / (4.0 - 0.25)
    assert (view.mask / 255.0).sum() == pytest.approx(area, rel=0.005)
    edge = (view.mask > 0) & (view.mask < 255)
    assert 200 < edge.sum() < 800  # a soft edge, one pixel wide


def test_the_principal_point_moves_the_picture() -> None:
    vertices, faces = ball(np.array([0.0, 0.0, 2.0]), 0.2)
    rows = []
    for shift in ((0.0, 0.0), (7.0, -4.0)):
        mask = render_surface(surface(vertices, faces, np.ones(3)), camera(shift=shift), FLAT).mask.astype(float)
        ys, xs = np.mgrid[: mask.shape[0], : mask.shape[1]]
        rows.append(np.array([(mask * xs).sum(), (mask * ys).sum()]) / mask.sum())
    np.testing.assert_allclose(rows[1] - rows[0], (7.0, -4.0), atol=0.02)


def test_depth_of_a_slanted_plane_is_camera_z() -> None:
    vertices = np.array([[-4.0, -4, 1.5], [4, -4, 3.5], [4, 4, 3.5], [-4, 4, 1.5]])  # z = 2.5 + x / 4
    view = render_surface(surface(vertices, np.array([[0, 1, 2], [0, 2, 3]]), np.ones(3)), camera(), FLAT)
    x = (np.arange(64) + 0.5 - 32) / 60.0
    expected = 2.5 / (1 - x / 4)  # z = 2.5 + (x·z) / 4
    inside = view.mask[24] == 255
    assert inside.sum() > 40
    np.testing.assert_allclose(view.depth[24][inside], expected[inside], rtol=1e-3)


def test_interpolation_is_perspective_correct() -> None:
    """A colour that is linear in the plane's own x, not in the picture's."""
    vertices = np.array([[-1.0, -4, 1.0], [1, -4, 3.0], [1, 4, 3.0], [-1, 4, 1.0]])  # x = z − 2
    shade = np.array([0.0, 1.0, 1.0, 0.0])[:, None] * np.ones(3)
    view = render_surface(surface(vertices, np.array([[0, 1, 2], [0, 2, 3]]), shade), camera(), FLAT, samples=1)
    ray = (np.arange(64) + 0.5 - 32) / 60.0
    z = 2.0 / (1 - ray)
    value = np.clip((z - 1.0) / 2.0, 0.0, 1.0)
    inside = (view.mask[24] == 255) & (value < 0.75)  # below the highlights' shoulder
    assert inside.sum() > 20
    shown = np.array([linear((v, v, v))[0] for v in view.rgb[24][inside][:, 0] / 255.0])
    np.testing.assert_allclose(shown, value[inside], atol=0.01)


def test_the_nearer_surface_wins_in_any_order() -> None:
    near, faces = plane(1.0)
    far, _ = plane(2.0)
    colours = np.repeat(np.array([[1.0, 0, 0], [0, 0.5, 0]]), 4, 0)
    labels = np.array([HAIR, HAIR, SKIN, SKIN])
    both = np.concatenate([faces, faces + 4])
    first = render_surface(surface(np.concatenate([near, far]), both, colours, labels), camera(), FLAT)
    swapped = render_surface(surface(np.concatenate([far, near]), both, colours[::-1], labels[::-1]), camera(), FLAT)
    assert (first.labels == HAIR).all() and (first.rgb == swapped.rgb).all()
    np.testing.assert_allclose(first.depth, 1.0, rtol=1e-5)


def test_labels_are_the_majority_and_empty_below_half() -> None:
    """Vertical edge inside a pixel column: covered by 2 of 3 sample columns, then by 1 of 3."""
    for covered, expected in ((2, SKIN), (1, 0)):
        right = (covered / 3.0 + 10.0 - 32.0) / 60.0  # one metre away: the edge lies in column 10
        vertices = np.array([[-9.0, -9, 1], [right, -9, 1], [right, 9, 1], [-9.0, 9, 1]])
        view = render_surface(
            surface(vertices, np.array([[0, 1, 2], [0, 2, 3]]), np.ones(3)), camera(), FLAT, samples=3
        )
        assert (view.labels[:, 9] == SKIN).all() and (view.labels[:, 11] == 0).all()
        assert (view.labels[:, 10] == expected).all()
        np.testing.assert_allclose(view.mask[:, 10] / 255.0, covered / 3, atol=0.01)
        assert ((view.labels > 0) == (view.depth > 0)).all()


@pytest.mark.parametrize(("opacity", "label"), [(0.25, SKIN), (0.75, GLASSES)])
def test_glass_is_blended_and_names_the_pixel_when_it_is_dark(opacity: float, label: int) -> None:
    near, faces = plane(1.0)
    far, _ = plane(2.0)
    made = surface(
        np.concatenate([near, far]), np.concatenate([faces, faces + 4]),
        np.repeat(np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]), 4, 0), np.array([GLASSES, GLASSES, SKIN, SKIN]),
        np.array([opacity, opacity, 1.0, 1.0]),
    )  # fmt: skip
    view = render_surface(made, camera(), FLAT)
    grey = render_surface(surface(far, faces, np.full(3, 0.5)), camera(), FLAT).rgb[5, 5, 0]
    assert int(view.rgb[5, 5, 0]) == pytest.approx((1 - opacity) * grey, abs=1.5)
    assert (view.labels == label).all() and (view.mask == 255).all()


def test_triangles_at_or_behind_the_camera_are_left_out() -> None:
    vertices, faces = plane(-1.0)
    view = render_surface(surface(vertices, faces, np.ones(3)), camera(), FLAT, background=(0.2, 0.4, 0.6))
    assert view.mask.max() == 0 and (view.rgb == np.array([51, 102, 153])).all()


def test_visibility_knows_shadow_from_light() -> None:
    vertices, faces = plane(0.5, size=0.1)  # a screen of 20 cm, half a metre towards the light
    points = np.array([[0.0, 0.0, 0.0], [0.05, 0.05, 0.0], [0.095, 0.3, 0.0], [0.0, 0.0, 0.6]])
    seen = shadow_map(
        np.concatenate([vertices, [[1.0, 1, 0], [-1, -1, 0]]]), faces, np.array([0.0, 0, 1]), size=400
    ).visibility(points)
    np.testing.assert_allclose(seen, [0, 0, 1, 1], atol=1e-6)


def test_a_surface_with_wrong_shapes_is_refused() -> None:
    vertices, faces = plane(1.0)
    good = surface(vertices, faces, np.ones(3))
    with pytest.raises(InputError, match="attributes"):
        Surface(good.vertices, good.faces, good.attributes[:2], good.material, good.label, good.opacity, good.materials)
    with pytest.raises(InputError, match="faces name vertices"):
        Surface(good.vertices, good.faces + 9, good.attributes, good.material, good.label, good.opacity, good.materials)


def test_a_camera_looks_where_it_is_told() -> None:
    vertices, faces = ball(np.array([0.3, 0.2, -0.1]), 0.05)
    eye = np.array([1.0, 0.5, 1.0])
    shot = Camera(look_at(eye, np.array([0.3, 0.2, -0.1])), intrinsics(100, 100, 32, 24), 64, 48)
    np.testing.assert_allclose(shot.centre, eye, atol=1e-12)
    mask = render_surface(surface(vertices, faces, np.ones(3)), shot, FLAT).mask
    assert mask[24, 32] == 255 and mask[0, 0] == 0
