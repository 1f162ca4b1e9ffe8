"""The CPU rasterizer against the float64 reference, and the promises of the contract."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from avatarkit.cameras import Cameras
from avatarkit.errors import InputError
from avatarkit.render.blending import BATCH
from avatarkit.render.cpu import CpuRasterizer
from avatarkit.render.reference import ReferenceRasterizer

from .scenes import KINDS, RandomScene, random_scene, render_and_differentiate

IMAGE_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3


def compare(scene: RandomScene, extra: bool) -> float:
    """Assert that both rasterizers agree; returns the part of pixels left out because float32 may decide otherwise there."""
    reference = ReferenceRasterizer()
    with torch.no_grad():
        reference.render(*scene.parameters, scene.cameras, **scene.options)
    keep = ~reference.ambiguous
    expected, true_gradients = render_and_differentiate(reference, scene, keep, extra)
    found, gradients = render_and_differentiate(CpuRasterizer(), scene, keep, extra)
    for name in ("features", "alpha", "depth"):
        error = ((getattr(found, name) - getattr(expected, name)).abs() * keep[:, None]).max().item()
        assert error < IMAGE_TOLERANCE, f"{scene.kind}: {name} off by {error}"
    for name, truth in true_gradients.items():
        error, size = (gradients[name] - truth).norm().item(), truth.norm().item()
        # 1 − alpha behind opaque splats has float32's absolute precision, summed over pixels.
        assert error <= GRADIENT_TOLERANCE * size + (1e-5 if name == "background" else 1e-6), (
            f"{scene.kind}: gradient of {name}: {error} of {size}"
        )
    if keep.all():
        assert expected.sums is not None and found.sums is not None
        assert torch.allclose(found.sums, expected.sums, rtol=1e-4, atol=1e-3)
        assert (
            found.radii >= expected.radii
        ).all()  # the reference's are 0 behind opaque splats and between pixel centres
        assert expected.top is not None and found.top is not None
        assert (found.top != expected.top).float().mean() < 0.01  # near-equal weights may swap
    return 1 - keep.float().mean().item()


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_the_reference(kind: str) -> None:
    """20 scenes of each of 10 kinds.  Pixels at a discontinuity (an α at the cut, say) are left out, and must be rare."""
    left_out = [compare(random_scene(kind, seed), extra=seed % 2 == 0) for seed in range(20)]
    assert sum(left_out) / len(left_out) < 0.02


@pytest.mark.parametrize("kind", ["plain", "transparent", "needles", "many_channels"])
def test_lists_longer_than_a_batch(kind: str) -> None:
    """Tiles blend BATCH entries at a time: here some have three batches."""
    for seed in (1, 4):
        scene = random_scene(kind, seed, count=400)
        scene.width, scene.height = 40, 36
        assert compare(scene, extra=seed == 4) < 0.1
        rasterizer = CpuRasterizer(3)
        with torch.no_grad():
            rasterizer.render(*scene.parameters, scene.cameras, **scene.options)
        assert rasterizer.last is not None
        assert max(int(np.diff(frame.starts).max()) for frame in rasterizer.last.frames) > 2 * BATCH


def test_two_threads_and_two_callers_give_the_same_bits() -> None:
    scene = random_scene("plain", 3)
    scene.width, scene.height = 100, 75
    one, gradients = render_and_differentiate(CpuRasterizer(1), scene)
    for threads in (2, 3):
        other, others = render_and_differentiate(CpuRasterizer(threads), scene)
        assert torch.equal(one.features, other.features) and torch.equal(one.depth, other.depth)
        assert all(torch.equal(gradients[name], others[name]) for name in gradients)
    with ThreadPoolExecutor(2) as pool:
        for _, others in pool.map(lambda _: render_and_differentiate(CpuRasterizer(2), scene), range(4)):
            assert all(torch.equal(gradients[name], others[name]) for name in gradients)


@pytest.mark.parametrize("width", [16, 8, 4])
def test_every_lane_width(width: int) -> None:
    """The oracle's test again in a process of each width (LLVM splits vectors that the machine does not have)."""
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from tests.render.test_cpu import compare\n"
        "from tests.render.scenes import random_scene\n"
        "from avatarkit.render.lanes import WIDTH\n"
        f"assert WIDTH == {width}\n"
        "for kind in ('plain', 'needles', 'opaque', 'many_channels'):\n"
        "    for seed in (4, 5): compare(random_scene(kind, seed), extra=seed == 4)\n"
    )
    environment = os.environ | {"AVATARKIT_LANES": str(width), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_unusable_gaussians_are_invisible_and_harmless() -> None:
    scene = random_scene("plain", 8)
    scene.options = {}
    expected, _ = render_and_differentiate(CpuRasterizer(), scene)
    bad = [t.clone() for t in scene.parameters]
    rows = 11
    broken = [torch.cat([t, t[:1].expand(rows, *t.shape[1:])]) for t in bad]
    start = len(bad[0])
    broken[0][start, 0] = float("nan")
    broken[0][start + 1, 2] = float("inf")
    broken[1][start + 2] = 0.0
    broken[1][start + 3, 1] = float("nan")
    broken[2][start + 4, 1] = -0.1
    broken[2][start + 5, 0] = 0.0
    broken[2][start + 6, 2] = float("inf")
    broken[3][start + 7] = float("nan")
    broken[3][start + 8] = -1.0
    broken[4][start + 9, 1] = float("inf")
    broken[3][start + 10] = 0.0
    for rasterizer in (CpuRasterizer(), ReferenceRasterizer()):
        scene.parameters = broken
        found, gradients = render_and_differentiate(rasterizer, scene)
        assert torch.allclose(found.features, expected.features, atol=1e-4)
        assert (found.radii[:, start:] == 0).all()
        assert all(g.isfinite().all() for g in gradients.values())
        assert all(
            (gradients[name][start:] == 0).all() for name in ("means", "quats", "scales", "opacities", "features")
        )


def test_bad_arguments_are_named() -> None:
    scene = random_scene("plain", 1)
    means, quats, scales, opacities, features = scene.parameters
    cpu = CpuRasterizer()
    with pytest.raises(InputError, match=r"quats: shape \(12, 3\); expected \(12, 4\)"):
        cpu.render(means, quats[:, :3], scales, opacities, features, scene.cameras)
    with pytest.raises(InputError, match=r"means: torch\.float64; expected torch\.float32"):
        cpu.render(means.double(), quats, scales, opacities, features, scene.cameras)
    with pytest.raises(InputError, match="background"):
        cpu.render(*scene.parameters, scene.cameras, background=torch.ones(5))
    with pytest.raises(InputError, match="masks"):
        cpu.render(*scene.parameters, scene.cameras, masks=torch.ones(1, 1, 2, 3))
    scene.viewmats[0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="viewmats: NaN"):
        cpu.render(*scene.parameters, scene.cameras)


def test_means_and_features_of_each_camera() -> None:
    """Gradients of (B, N, 3) means are those of each camera alone."""
    scene = random_scene("plain", 1)
    scene.options = {}
    batch = len(scene.cameras)
    assert batch == 2
    means = (scene.parameters[0][None] + 0.05 * torch.arange(batch)[:, None, None]).clone().requires_grad_()
    rest, cpu = scene.parameters[1:], CpuRasterizer()
    image = cpu.render(means, *rest, scene.cameras, background=scene.background.expand(batch, -1)).features
    (image**2).sum().backward()
    assert means.grad is not None
    for b in range(batch):
        alone = means.detach()[b].clone().requires_grad_()
        picture = cpu.render(alone, *rest, scene.cameras[b], background=scene.background).features
        (picture**2).sum().backward()
        assert torch.equal(picture[0], image[b]) and torch.equal(alone.grad, means.grad[b])


def test_background_images_and_their_gradient() -> None:
    scene = random_scene("plain", 6)
    behind = torch.rand(1, 3, scene.height, scene.width, requires_grad=True)
    cpu = CpuRasterizer()
    plain = cpu.render(*scene.parameters, scene.cameras)
    render = cpu.render(*scene.parameters, scene.cameras, background=behind)
    assert torch.allclose(render.features, plain.features + (1 - plain.alpha) * behind, atol=1e-6)
    render.features.sum().backward()
    assert behind.grad is not None and torch.allclose(behind.grad, (1 - plain.alpha).expand_as(behind), atol=1e-6)


def test_backward_twice_over_a_retained_graph() -> None:
    scene = random_scene("plain", 2)
    means = scene.parameters[0].clone().requires_grad_()
    loss = CpuRasterizer().render(means, *scene.parameters[1:], scene.cameras).features.sum()
    (first,) = torch.autograd.grad(loss, means, retain_graph=True)
    CpuRasterizer().render(means, *scene.parameters[1:], scene.cameras).features.sum().backward()  # takes a workspace
    (second,) = torch.autograd.grad(loss, means)
    assert torch.equal(first, second)


def test_gradients_do_not_depend_on_which_are_wanted() -> None:
    """Without a camera to move, its part of the chain rule is skipped; nothing else may change."""
    scene = random_scene("plain", 4)
    scene.options = {}
    found = []
    for moving in (True, False):
        leaves = [t.clone().requires_grad_() for t in scene.parameters]
        cameras = scene.cameras
        viewmats = cameras.viewmats.clone().requires_grad_(moving)
        means, quats, scales, opacities, features = leaves
        cameras = Cameras(viewmats, cameras.Ks, cameras.width, cameras.height)
        image = CpuRasterizer().render(means, quats, scales, opacities, features, cameras).features
        (image**2).sum().backward()
        assert (viewmats.grad is not None) == moving
        found.append([leaf.grad for leaf in leaves])
    for one, other in zip(*found, strict=True):
        assert one is not None and other is not None and torch.equal(one, other) and one.abs().sum() > 0
