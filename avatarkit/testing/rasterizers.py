"""Checks of a rasterizer against the float64 reference (``avatarkit.render.reference``).

Where α crosses its cut of 1/255, or T its stop of 1e-4, float32 and float64 may fall on different sides, so a few pixels may
differ by that much.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from avatarkit.contracts import Render
from avatarkit.errors import InputError
from avatarkit.testing.conformance import Broken, Check, Skipped, require
from avatarkit.testing.scenes import Scene, scene, scenes

CLOSE = 1e-4  # of a pixel's value
CUT = 1.0 / 255.0 + 1e-4
RELATIVE = 5e-3  # of a gradient's norm


def _device(part: Any) -> str:
    """Where the part wants its tensors: what it says in ``device``, else CUDA for what refuses the CPU."""
    stated = getattr(part, "device", None)
    if isinstance(stated, str):
        return stated
    try:
        part.render(**scene(0, count=2).arguments())
    except InputError:
        return "cuda" if torch.cuda.is_available() else "cpu"
    return "cpu"


def _render(part: Any, given: Scene, **options: Any) -> Render:
    made = part.render(**given.arguments(), **options)
    require(isinstance(made, Render), f"render returned a {type(made).__name__}; expected contracts.Render")
    return made


def _reference(given: Scene, **options: Any) -> Render:
    from avatarkit.render.reference import ReferenceRasterizer

    return ReferenceRasterizer().render(**given.arguments(), **options)  # type: ignore[arg-type]


def _compare(what: str, ours: Tensor, reference: Tensor) -> float:
    """The largest difference; all but 0.5 % of the values within CLOSE, the rest within the alpha cut."""
    require(ours.shape == reference.shape, f"{what}: shape {tuple(ours.shape)}; expected {tuple(reference.shape)}")
    difference = (ours.detach().cpu().double() - reference.detach().double()).abs()
    if difference.numel() == 0:
        return 0.0
    require(bool(difference.isfinite().all()), f"{what}: not finite")
    far, largest = float((difference > CLOSE).double().mean()), float(difference.max())
    require(
        far <= 0.005 and largest <= CUT, f"{what}: {far:.1%} of values off by more than {CLOSE}; at most {largest:.2g}"
    )
    return largest


def images_match_the_reference(part: Any) -> str:
    """Features, alpha and depth on every scene."""
    device, worst = _device(part), 0.0
    for name, given in scenes().items():
        ours, reference = _render(part, given.to(device)), _reference(given)
        worst = max(worst, _compare(f"{name}: features", ours.features, reference.features))
        worst = max(worst, _compare(f"{name}: alpha", ours.alpha, reference.alpha))
        solid = reference.alpha > 0.05  # expected depth is a quotient: ill-conditioned where little is seen
        _compare(f"{name}: depth", ours.depth.detach().cpu()[solid], reference.depth[solid])
    return f"within {worst:.1e} on {len(scenes())} scenes"


def gradients_match_the_reference(part: Any) -> str:
    """By means, quaternions, scales, opacities, features, background, view matrices and intrinsics."""
    device, worst = _device(part), 0.0
    for name, given in scenes().items():
        found = _gradients(part, given.to(device))
        for key, expected in _gradients(None, given).items():
            if key in ("viewmats", "Ks") and "camera_gradients" not in part.capabilities:
                continue
            require(found[key] is not None, f"{name}: no gradient by {key}")
            ours = found[key].cpu().double()
            error = float((ours - expected).norm() / expected.norm().clamp_min(1e-9))
            require(error <= RELATIVE, f"{name}: gradient by {key} off by {error:.2%}; at most {RELATIVE:.1%}")
            worst = max(worst, error)
    return f"within {worst:.1e} of their norm on {len(scenes())} scenes"


def _gradients(part: Any, given: Scene, **options: Any) -> dict[str, Tensor]:
    """Of a fixed random function of features and alpha; ``part`` None: of the reference."""
    own, leaves = given.leaves(cameras=part is None or "camera_gradients" in part.capabilities)
    made = _reference(own, **options) if part is None else _render(part, own, **options)
    random = torch.Generator().manual_seed(9)
    weights = torch.randn(made.features.shape, generator=random), torch.randn(made.alpha.shape, generator=random)
    loss = (made.features * weights[0].to(made.features)).sum() + (made.alpha * weights[1].to(made.alpha)).sum()
    loss.backward()
    found = {name: leaf.grad for name, leaf in leaves.items()}
    found["means2d"] = made.mean2d_gradients() if made.mean2d_gradients else None
    return found  # type: ignore[return-value]


def antialiasing_matches_the_reference(part: Any) -> str:
    if "antialiased" not in part.capabilities:
        raise Skipped("no capability 'antialiased'")
    given = scenes()["tiny"]
    ours = _render(part, given.to(_device(part)), antialiased=True)
    return f"within {_compare('features', ours.features, _reference(given, antialiased=True).features):.1e}"


def sums_match_the_reference(part: Any) -> str:
    """Σ mask·α·T per Gaussian, under two soft masks."""
    given = scene(7, views=2)
    masks = torch.rand(2, 2, given.cameras.height, given.cameras.width, generator=torch.Generator().manual_seed(1))
    device = _device(part)
    ours, reference = _render(part, given.to(device), masks=masks.to(device)), _reference(given, masks=masks)
    require(ours.sums is not None, "sums is None although masks were given")
    require(_render(part, given.to(device)).sums is None, "sums without masks; expected None")
    require(not ours.sums.requires_grad, "sums require gradients; expected detached ones")  # type: ignore[union-attr]
    require(ours.sums.shape == reference.sums.shape, f"sums: shape {tuple(ours.sums.shape)}")  # type: ignore[union-attr]
    error = float((ours.sums.cpu() - reference.sums).norm() / reference.sums.norm())  # type: ignore[union-attr, operator]
    require(error <= 2e-3, f"sums off by {error:.2%}")
    return f"within {error:.1e}"


def top_contributors_match_the_reference(part: Any) -> str:
    if "top" not in part.capabilities:
        raise Skipped("no capability 'top'")
    given = scene(8)
    ours, reference = _render(part, given.to(_device(part)), top=True), _reference(given, top=True)
    require(ours.top is not None and ours.top.shape == reference.top.shape, "top: missing or of another shape")  # type: ignore[union-attr]
    share = float((ours.top.cpu() == reference.top).double().mean())  # type: ignore[union-attr]
    require(share >= 0.99, f"top: the same as the reference's in {share:.1%} of pixels")
    return f"the same in {share:.1%} of pixels"


def absolute_gradients_match_the_reference(part: Any) -> str:
    if "absgrad" not in part.capabilities:
        raise Skipped("no capability 'absgrad'")
    given, device = scene(10), _device(part)
    ours, expected = _gradients(part, given.to(device), absgrad=True), _gradients(None, given, absgrad=True)
    error = float((ours["means2d"].cpu() - expected["means2d"]).norm() / expected["means2d"].norm())
    require(error <= RELATIVE, f"|∂/∂means2d| off by {error:.2%}")
    return f"within {error:.1e}"


def the_background_may_be_a_colour_or_an_image(part: Any) -> str:
    """(D,), (B, D) and (B, D, H, W) mean the same where they hold the same."""
    given, device = scene(11, views=2), _device(part)
    colour = torch.tensor([0.2, 0.5, 0.9])
    shapes = [
        colour,
        colour.expand(2, 3),
        colour[None, :, None, None].expand(2, 3, given.cameras.height, given.cameras.width),
    ]
    images = [_render(part, replace(given, background=b.contiguous()).to(device)).features for b in shapes]
    for image in images[1:]:
        _compare("features", image, images[0].cpu())
    plain = _render(part, replace(given, background=None).to(device))
    _compare(
        "features over the background",
        plain.features + (1 - plain.alpha) * colour[:, None, None].to(device),
        images[0].cpu(),
    )
    return "three shapes agree"


def each_camera_may_have_its_own_gaussians(part: Any) -> str:
    """(B, N, …) inputs draw what B calls with (N, …) draw."""
    device = _device(part)
    pair = [scene(12, views=2), scene(13, views=2)]
    stacked = {name: torch.stack([getattr(s, name) for s in pair]) for name in Scene.DIFFERENTIABLE}
    together = _render(part, replace(pair[0], **stacked).to(device)).features
    for index, given in enumerate(pair):
        alone = replace(given, cameras=pair[0].cameras[index], background=pair[0].background)
        _compare(f"camera {index}", together[index : index + 1], _render(part, alone.to(device)).features.cpu())
    return "two cameras, two scenes"


def unusable_gaussians_are_invisible(part: Any) -> str:
    """NaN, infinity, a zero quaternion, a scale of zero or less, no opacity: as if they were not there; nothing behind shows."""
    given, device = scene(14), _device(part)
    bad, values = scene(15, count=8), (float("nan"), float("inf"))
    bad.means[0, 1], bad.means[1, 0], bad.scales[2, 2], bad.opacities[3] = *values, values[0], values[0]
    bad.quats[4], bad.scales[5, 0], bad.scales[6, 1], bad.opacities[7] = 0.0, -0.1, 0.0, 0.0
    behind = scene(16, count=4)
    behind.means[:, 2] += 2.0
    joined = {n: torch.cat([getattr(s, n) for s in (given, bad, behind)]) for n in Scene.DIFFERENTIABLE}
    both = replace(given, **joined)
    _compare("features", _render(part, both.to(device)).features, _render(part, given.to(device)).features.cpu())
    gradients = _gradients(part, both.to(device))
    for name in Scene.DIFFERENTIABLE:
        require(bool(gradients[name].isfinite().all()), f"the gradient by {name} is not finite")
    return "12 splats left no trace"


def nothing_is_a_picture_of_the_background(part: Any) -> str:
    """No Gaussians at all, and none in sight."""
    device, given = _device(part), scene(17)
    away = replace(given, means=given.means + torch.tensor([0.0, 0.0, 50.0]))
    none = replace(given, **{name: getattr(given, name)[:0] for name in Scene.DIFFERENTIABLE})
    for name, empty in (("no Gaussians", none), ("all behind the camera", away)):
        made = _render(part, empty.to(device))
        require(float(made.alpha.detach().abs().max()) == 0.0, f"{name}: alpha is not zero")
        difference = made.features.cpu() - given.background[:, None, None]  # type: ignore[index]
        require(float(difference.detach().abs().max()) < 1e-6, f"{name}: not the background")
        require(float(made.depth.detach().abs().max()) == 0.0, f"{name}: depth is not zero")
    return "two empty scenes"


def the_records_shapes_hold(part: Any) -> str:
    """Shapes and types of everything in Render."""
    given, device = scene(18, views=2, channels=7), _device(part)
    made = _render(part, given.to(device))
    batch, count, size = 2, len(given.means), (given.cameras.height, given.cameras.width)
    expected = {
        "features": (batch, 7, *size), "alpha": (batch, 1, *size), "depth": (batch, 1, *size),
        "means2d": (batch, count, 2), "radii": (batch, count),
    }  # fmt: skip
    for name, shape in expected.items():
        found = tuple(getattr(made, name).shape)
        require(found == shape, f"{name}: shape {found}; expected {shape}")
    require(made.features.dtype == torch.float32, f"features: {made.features.dtype}; expected float32")
    require(made.radii.dtype == torch.int32, f"radii: {made.radii.dtype}; expected int32")
    require(not made.means2d.requires_grad, "means2d require gradients; expected detached ones")
    require(isinstance(part.capabilities, frozenset), "capabilities must be a frozenset")
    return f"{len(expected)} tensors"


def wrong_shapes_are_refused_in_words(part: Any) -> str:
    given = scene(19).to(_device(part))
    wrong = {
        "means": given.means[:, :2], "quats": given.quats[:-1], "scales": given.scales[0], "opacities": given.opacities[:3],
        "features": given.features[:5],
    }  # fmt: skip
    for name, value in wrong.items():
        try:
            part.render(**replace(given, **{name: value}).arguments())
        except InputError as error:
            require("\n" not in str(error), f"{name}: the error is not one line")
            continue
        except Exception as error:
            raise Broken(f"{name} of a wrong shape raised {type(error).__name__}; expected InputError") from error
        raise Broken(f"{name} of a wrong shape was accepted")
    return f"{len(wrong)} arguments"


CHECKS: tuple[Check, ...] = (
    the_records_shapes_hold,
    images_match_the_reference,
    gradients_match_the_reference,
    antialiasing_matches_the_reference,
    absolute_gradients_match_the_reference,
    sums_match_the_reference,
    top_contributors_match_the_reference,
    the_background_may_be_a_colour_or_an_image,
    each_camera_may_have_its_own_gaussians,
    unusable_gaussians_are_invisible,
    nothing_is_a_picture_of_the_background,
    wrong_shapes_are_refused_in_words,
)
