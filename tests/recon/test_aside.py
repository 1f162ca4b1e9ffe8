"""Views from aside: cameras that go round the head, where it surely is, and a head that is opaque from there after training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatarkit.events import Run
from avatarkit.recon.aside import COUNT, aside_loss, aside_views, closing, near_side, turned
from avatarkit.recon.contribution import contributing
from avatarkit.recon.head_tuning import posed
from avatarkit.recon.initial import bound_gaussians
from avatarkit.recon.loop import reconstruct
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.track.sequence import Sequence

from .conftest import Parts


def test_a_turned_camera_goes_round_the_head() -> None:
    random = np.random.default_rng(0)
    view = np.eye(4)
    view[:3, :3] = np.linalg.qr(random.normal(size=(3, 3)))[0]
    view[:3, :3] *= np.sign(np.linalg.det(view[:3, :3]))
    view[:3, 3] = random.normal(size=3)
    centre = random.normal(size=3)
    for yaw, pitch in ((0.5, 0.0), (-0.7, 0.2), (0.0, -0.3)):
        other = turned(view, centre, yaw, pitch)
        assert np.allclose(other[:3, :3] @ other[:3, :3].T, np.eye(3)) and np.isclose(np.linalg.det(other), 1.0)
        assert np.allclose(other[:3, :3] @ centre + other[:3, 3], view[:3, :3] @ centre + view[:3, 3])
        ways = [np.linalg.inv(each)[:3, 3] - centre for each in (view, other)]
        assert np.isclose(np.linalg.norm(ways[0]), np.linalg.norm(ways[1]))
        # along the camera's own axes as they were
        was, now = (view[:3, :3] @ way / np.linalg.norm(way) for way in ways)
        assert np.allclose(np.cross(was, now) @ was, 0.0)
    assert np.allclose(turned(view, centre, 0.0, 0.0), view)


@pytest.fixture(scope="module")
def alone(parts: Parts) -> Sequence:
    """What one of the cameras saw of it."""
    camera = parts.sequence.capture.frames[parts.sequence.capture.indices("train")[0]].camera
    return seen_by(parts.sequence, {camera})


def seen_by(sequence: Sequence, cameras: set[int]) -> Sequence:
    capture = sequence.capture
    kept = [i for i, frame in enumerate(capture.frames) if frame.camera in cameras]
    fewer = replace(
        capture,
        frames=tuple(capture.frames[i] for i in kept),
        image=lambda i: capture.image(kept[i]),
        mask=lambda i: capture.mask(kept[i]),
    )
    return replace(sequence, capture=fewer)


def test_each_so_many_steps_take_the_next_view(parts: Parts, alone: Sequence) -> None:
    aside = aside_views(alone, parts.head, parts.config(aside_every=5))
    assert len(aside.views) == COUNT
    taken = [aside.at(step) for step in range(5 * COUNT + 10)]
    assert [step for step, view in enumerate(taken) if view is not None][:3] == [4, 9, 14]
    shown = [view for view in taken if view is not None]
    assert len({id(view) for view in shown}) == COUNT and shown[COUNT] is shown[0]


def test_what_is_sure_lies_inside_the_mesh_and_is_neither_ear_nor_neck(parts: Parts, alone: Sequence) -> None:
    aside = aside_views(alone, parts.head, parts.config())
    faces = parts.head.faces.numpy()
    regions = parts.head.regions
    named = np.max([regions[n].numpy()[faces].max(1) for n in ("l_ear", "r_ear", "neck", "mouth")], 0) > 0.5
    sizes = []
    for view in aside.views[:20]:
        cameras, sure = view.cameras, view.sure[0, 0].numpy() > 0
        drawn = rasterize_mesh(
            view.vertices.numpy(), faces, cameras.viewmats[0].numpy(), cameras.Ks[0].numpy(), cameras.width, cameras.height
        )  # fmt: skip
        assert (cameras.width, cameras.height) == (40, 40) == sure.shape
        assert (drawn.triangle[sure] >= 0).all() and not named[drawn.triangle[sure]].any()
        padded = np.pad(drawn.triangle < 0, 1, constant_values=True)
        beside = [padded[1 + y : 41 + y, 1 + x : 41 + x] for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0))]
        assert not (sure & np.any(beside, 0)).any(), "nothing at the outline is sure"
        sizes.append(sure.sum() / (drawn.triangle >= 0).sum())
    assert min(sizes) > 0.15 and max(sizes) < 0.9
    again = aside_views(alone, parts.head, parts.config())
    other = aside_views(alone, parts.head, parts.config(seed=1))
    same = [torch.equal(a.cameras.viewmats, b.cameras.viewmats) for a, b in zip(aside.views, again.views, strict=True)]
    assert all(same) and not torch.equal(aside.views[0].cameras.viewmats, other.views[0].cameras.viewmats)


def test_a_hole_counts_and_what_would_close_it_feels_that(parts: Parts, alone: Sequence) -> None:
    config = parts.config(sh_degree=0)
    aside, faces = aside_views(alone, parts.head, config), parts.head.faces.numpy()
    skin = posed(parts.head, alone.params).skin
    view = aside.views[0]
    cameras = view.cameras
    sure = view.sure[0, 0].numpy() > 0
    rows, columns = np.nonzero(sure)
    row, column = rows[len(rows) // 2], columns[len(rows) // 2]
    near = np.zeros_like(sure)
    near[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5] = True
    local = (
        view.vertices.numpy()[faces].mean(1) @ cameras.viewmats[0, :3, :3].numpy().T
        + cameras.viewmats[0, :3, 3].numpy()
    )
    place = local @ cameras.Ks[0].numpy().T
    x, y = (np.floor(place[:, k] / place[:, 2]).astype(int).clip(0, 39) for k in (0, 1))
    gone = near[y, x]
    towards = near_side(torch.arange(len(faces)), view, parts.head.faces).numpy() > 0
    assert 0.3 < towards.mean() < 0.7 and 20 < gone.sum() < 0.7 * len(faces)

    def loss(opacity: float) -> tuple[float, torch.Tensor]:
        gaussians = bound_gaussians(torch.full((len(faces), 3), 0.5), config, np.random.default_rng(0))
        gaussians.opacity_logits[torch.from_numpy(gone)] = float(np.log(opacity / (1 - opacity)))
        gaussians.opacity_logits.requires_grad_(True)
        value, shows = aside_loss(gaussians, view, skin, parts.head, parts.rasterizer, antialiased=True)
        value.backward()  # type: ignore[no-untyped-call]
        assert gaussians.opacity_logits.grad is not None and 0 < int(shows.sum()) <= len(faces)
        return float(value.detach()), gaussians.opacity_logits.grad

    whole, calm = loss(0.95)
    holed, felt = loss(0.1)
    hole = float((sure & near).sum() / sure.sum())
    assert 0.0 <= whole < 0.05 and 0.3 * hole < holed - whole < 2.0 * hole
    at = torch.from_numpy(gone & towards)
    assert float(felt.max()) <= 1e-9 and float(felt[at].sum()) < 3 * float(calm[at].sum()) < 0, (
        "more opaque, all the more"
    )
    assert float(felt[torch.from_numpy(~towards)].abs().max()) == 0.0, "the far side closes nothing"


def shows_through(parts: Parts, alone: Sequence, weight: float) -> float:
    """How much does from other directions than those of training, after a few steps from a head that is half transparent."""
    config = parts.config(
        iterations=60, aside=weight, aside_every=2, tune_head=False, sh_degree=0, free_gaussians=0, coarse_until=0,
        densify_every=0, eval_every=0,
    )  # fmt: skip
    state = reconstruct(alone, parts.head, config, Run(), parts.rasterizer)
    fresh, skin = aside_views(alone, parts.head, parts.config(seed=9)), posed(parts.head, alone.params).skin
    with torch.no_grad():
        each = [
            float(aside_loss(state.gaussians, view, skin, parts.head, parts.rasterizer, antialiased=True)[0])
            for view in fresh.views[:20]
        ]
    return float(np.mean(each))


def test_a_head_is_opaque_from_where_no_camera_stood(parts: Parts, alone: Sequence) -> None:
    assert shows_through(parts, alone, 0.1) < 0.7 * shows_through(parts, alone, 0.0)


def test_what_closes_the_head_from_aside_is_not_trimmed(parts: Parts, alone: Sequence) -> None:
    config = parts.config(sh_degree=0)
    pose = posed(parts.head, alone.params)
    shell = bound_gaussians(torch.full((len(parts.head.faces), 3), 0.5), config, np.random.default_rng(0))
    aside = aside_views(alone, parts.head, config)
    plain = contributing(shell, alone, parts.head, pose, parts.rasterizer, config, Run())
    kept = contributing(shell, alone, parts.head, pose, parts.rasterizer, config, Run(), aside)
    assert set(plain.ids.tolist()) < set(kept.ids.tolist()) < set(shell.ids.tolist())
    given = torch.stack(
        [closing(shell, view, pose.skin, parts.head, parts.rasterizer, antialiased=True) for view in aside.views[::2]]
    )
    closes = given.amax(0) > 1.0  # a pixel
    assert closes.any() and set(shell.ids[closes].tolist()) <= set(kept.ids.tolist())
