"""Losses, gradients and learning of the discriminator against closed forms, finite differences and toy data."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from avatarkit_hinge_gan.discriminator import HingeDiscriminator
from avatarkit_hinge_gan.network import SpectralConv2d, receptive_field, smallest_side, spectral_norm
from avatarkit_hinge_gan.options import HingeGanConfig
from torch import Tensor, nn

from avatarkit.errors import InputError
from avatarkit.testing import conformance


def made(**options: Any) -> HingeDiscriminator:
    return HingeDiscriminator(HingeGanConfig(**options))


def pictures(count: int, size: int, seed: int, channels: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def linear(discriminator: HingeDiscriminator, weight: list[float], bias: float) -> None:
    """Make D(x, c) = weight·(2(x, c) − 1) + bias at every pixel."""
    layer = nn.Conv2d(7, 1, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight)[None, :, None, None])
        layer.bias.fill_(bias)
    discriminator.network = nn.Sequential(layer)


def flat(*colours: float) -> Tensor:
    """(1, C, 20, 20) of one colour."""
    return torch.tensor(colours)[None, :, None, None].expand(1, -1, 20, 20).clone()


def test_the_losses_are_the_hinge_in_closed_form() -> None:
    """Real and fake of one colour and a linear D: every logit can be worked out by hand."""
    part = made()
    linear(part, [1.0, 0.0, -0.5, 0.0, 0.0, 0.0, 0.25], 0.1)
    condition = flat(0.2, 0.2, 0.2, 1.0)  # the last weight sees 2·1 − 1 = 1
    real, fake = flat(0.75, 0.0, 0.5), flat(0.4, 0.9, 0.8)
    of_real = 0.5 - 0.0 + 0.25 + 0.1  # 0.85: inside the margin
    of_fake = -0.2 - 0.3 + 0.25 + 0.1  # −0.15: inside too
    assert part.logits(real, condition).flatten().tolist() == pytest.approx([of_real] * 400, abs=1e-6)
    assert float(part.d_loss(real, fake, condition).detach()) == pytest.approx((1 - of_real) + (1 + of_fake), abs=1e-6)
    assert float(part.g_loss(fake, condition).detach()) == pytest.approx(-of_fake, abs=1e-6)
    linear(part, [4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0.0)  # D(real) = 2 ≥ 1: no loss; D(fake) = −0.8
    assert float(part.d_loss(real, fake, condition).detach()) == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize("attended", [False, True])
def test_the_losses_are_those_of_its_logits_in_a_step_too(attended: bool) -> None:
    part = made(patch=32, patches=4)
    real, fake, condition = pictures(2, 72, 1), pictures(2, 72, 2), pictures(2, 72, 3, 4)
    if attended:
        part.attend(pictures(2, 72, 4, 1))
    d, g = part.d_loss(real, fake, condition).detach(), part.g_loss(fake, condition).detach()
    of_real, of_fake = part.logits(real, condition).detach(), part.logits(fake, condition).detach()
    assert of_real.shape[:2] == (2, 4 if attended else 1)
    torch.testing.assert_close(d, torch.relu(1 - of_real).mean() + torch.relu(1 + of_fake).mean())
    torch.testing.assert_close(g, -of_fake.mean())


@pytest.mark.parametrize("attended", [False, True])
def test_the_avatars_gradient_is_that_of_the_mean_logit(attended: bool) -> None:
    """A toy avatar of six numbers renders the fakes; its gradient by g_loss against autograd of −E[D(G)] and finite differences."""
    part = made(channels=4, patch=16, patches=3).double()
    condition = pictures(2, 40, 3, 4, torch.float64)
    modes = pictures(6, 40, 5, 3, torch.float64)
    avatar = torch.linspace(-0.3, 0.4, 6, dtype=torch.float64).requires_grad_()

    def render(values: Tensor) -> Tensor:
        return torch.sigmoid(torch.einsum("k,kchw->chw", values, modes - 0.5)).expand(2, -1, -1, -1)

    if attended:
        part.attend(None)
    (gradient,) = torch.autograd.grad(part.g_loss(render(avatar), condition), avatar)
    (expected,) = torch.autograd.grad(-part.logits(render(avatar), condition).mean(), avatar)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-14)
    step = 1e-5
    with torch.no_grad():
        for k in range(6):
            ahead, behind = avatar.clone(), avatar.clone()
            ahead[k] += step
            behind[k] -= step
            sides = [-part.logits(render(values), condition).mean() for values in (ahead, behind)]
            assert float(gradient[k]) == pytest.approx(float(sides[0] - sides[1]) / (2 * step), rel=1e-5, abs=1e-10)
    assert float(gradient.abs().max()) > 1e-6


def test_the_gradient_by_the_views_is_that_of_finite_differences() -> None:
    part = made(channels=4, patch=16, patches=3).double()
    condition, fake = pictures(1, 36, 3, 4, torch.float64), pictures(1, 36, 6, 3, torch.float64).requires_grad_()
    part.attend(None)
    (gradient,) = torch.autograd.grad(part.g_loss(fake, condition), fake)
    for seed in range(4):
        way = torch.randn(fake.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        with torch.no_grad():
            sides = [float(part.g_loss(fake + sign * 1e-6 * way, condition)) for sign in (1, -1)]
        assert float((gradient * way).sum()) == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5)
    assert part._draw is not None
    unseen = torch.ones(36, 36)
    for _, top, left in part._draw.places:
        unseen[top : top + 16, left : left + 16] = 0
    assert bool((unseen > 0).any()) and float((gradient.abs().sum((0, 1)) * unseen).max()) == 0


def test_ds_step_leaves_the_avatar_alone_and_the_avatars_leaves_d_alone() -> None:
    part = made(patch=32, patches=2, r1=1.0)
    avatar = torch.full((3,), 0.5, requires_grad=True)
    condition, real = pictures(1, 48, 1, 4), pictures(1, 48, 2)
    fake = avatar[None, :, None, None] * pictures(1, 48, 3)
    fake.retain_grad()
    with (
        torch.no_grad()
    ):  # real views are told already: with both hinges open the two pulls at the last bias would cancel
        part.network[-1].bias.fill_(3.0)
    optimiser = torch.optim.Adam(part.parameters(), lr=part.learning_rate, betas=part.betas)
    weights = [p.detach().clone() for p in part.parameters()]
    part.attend(None)
    part.d_loss(real, fake, condition).backward()
    optimiser.step()
    assert avatar.grad is None and fake.grad is None and avatar.tolist() == [0.5] * 3
    assert all(not torch.equal(before, now) for before, now in zip(weights, part.parameters(), strict=True))
    optimiser.zero_grad()
    weights = [p.detach().clone() for p in part.parameters()]
    part.g_loss(fake, condition).backward()
    assert avatar.grad is not None and float(avatar.grad.abs().min()) > 0
    assert all(p.grad is None and p.requires_grad for p in part.parameters())
    assert all(torch.equal(before, now) for before, now in zip(weights, part.parameters(), strict=True))


def test_every_layer_has_spectral_norm_one() -> None:
    part = made()
    layers = [layer for layer in part.network if isinstance(layer, SpectralConv2d)]
    assert len(layers) == 4
    for layer in layers:
        assert float(spectral_norm(layer.weight).detach()) == pytest.approx(
            float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]), rel=1e-5
        )
    narrow = SpectralConv2d(1, 3, 1, bias=False)  # a 1×1 kernel: what it does to a pixel is its matrix
    with torch.no_grad():
        narrow.weight.mul_(7.0)
        assert float(narrow(torch.ones(1, 1, 1, 1)).norm()) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_logit_sees_as_many_pixels_as_it_says(layers: int) -> None:
    part = made(channels=4, layers=layers, patch=64).double()
    size = 160
    x = pictures(1, size, 1, dtype=torch.float64).requires_grad_()
    logits = part.logits(x, pictures(1, size, 2, 4, torch.float64))
    middle = logits.shape[-1] // 2
    (gradient,) = torch.autograd.grad(logits[0, 0, middle, middle], x)
    reached = (gradient[0].abs().sum(0) > 0).nonzero()
    spans = reached.amax(0) - reached.amin(0) + 1
    assert spans.tolist() == [receptive_field(layers)] * 2 == [part.receptive_field] * 2
    smallest = smallest_side(layers)
    few = part.logits(pictures(1, smallest, 1, dtype=torch.float64), pictures(1, smallest, 2, 4, torch.float64))
    assert few.shape == (1, 1, 1, 1)


def test_r1_is_its_closed_form_for_a_linear_d() -> None:
    """D̄ = mean over pixels of w·(2x − 1): each pixel's gradient is 2w/400, so ½‖∇D̄‖² = 2‖w‖²/400, the condition's w left out."""
    weight = [0.3, -1.2, 0.7, 5.0, 5.0, 5.0, 5.0]
    condition, real, fake = pictures(3, 20, 1, 4), pictures(3, 20, 2), pictures(3, 20, 3)
    losses = []
    for r1 in (0.0, 1.0, 10.0):
        part = made(r1=r1)
        linear(part, weight, 0.0)
        losses.append(float(part.d_loss(real, fake, condition).detach()))
    expected = 2 * sum(w * w for w in weight[:3]) / 400
    assert losses[1] - losses[0] == pytest.approx(expected, rel=1e-3)
    assert losses[2] - losses[0] == pytest.approx(10 * expected, rel=1e-3)


def test_r1_shrinks_the_gradient_on_real_views() -> None:
    condition, real, fake = pictures(2, 32, 1, 4), pictures(2, 32, 2), pictures(2, 32, 3)
    steepness = []
    for r1 in (0.0, 100.0):
        part = made(channels=4, r1=r1, learning_rate=2e-3)
        optimiser = torch.optim.Adam(part.parameters(), lr=part.learning_rate, betas=part.betas)
        for _ in range(30):
            optimiser.zero_grad()
            part.d_loss(real, fake, condition).backward()
            optimiser.step()
        x = real.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(part.logits(x, condition).mean((1, 2, 3)).sum(), x)
        steepness.append(float(gradient.square().sum()))
    assert steepness[1] < 0.7 * steepness[0]


def stripes(count: int, across: bool, draw: torch.Generator) -> Tensor:
    wave = torch.sin(torch.arange(80) / 3.0 + 6.3 * torch.rand(count, 1, 1, generator=draw)).expand(count, 80, 80)
    noise = 0.05 * torch.randn(count, 3, 80, 80, generator=draw)
    return (0.5 + 0.3 * (wave if across else wave.mT)[:, None] + noise).clamp(0, 1)


def test_it_learns_to_tell_two_kinds_of_pictures_apart() -> None:
    part = made(patch=48, patches=4)
    optimiser = torch.optim.Adam(part.parameters(), lr=part.learning_rate, betas=part.betas)
    draw = torch.Generator().manual_seed(1)
    condition = torch.zeros(2, 4, 80, 80)
    condition[:, 3, 20:60, 20:60] = 1.0
    for _ in range(50):
        part.attend(None)
        optimiser.zero_grad()
        part.d_loss(stripes(2, True, draw), stripes(2, False, draw), condition).backward()
        optimiser.step()
    part.eval()
    with torch.no_grad():
        known, other = (part.logits(stripes(8, across, draw), condition.repeat(4, 1, 1, 1)) for across in (True, False))
    assert float(known.mean((1, 2, 3)).min()) > 0.5 and float(other.mean((1, 2, 3)).max()) < -0.5


def test_it_looks_at_the_condition() -> None:
    """Real pictures are bright in the region, fakes beside it; the pictures alone are alike, half of them bright on each side."""
    part = made(channels=8, patch=48, learning_rate=2e-3)
    optimiser = torch.optim.Adam(part.parameters(), lr=part.learning_rate, betas=part.betas)
    draw = torch.Generator().manual_seed(2)

    def batch() -> tuple[Tensor, Tensor, Tensor]:
        region = torch.zeros(4, 1, 48, 48)
        for k in range(4):
            side = int(torch.randint(2, (), generator=draw)) * 24
            region[k, :, :, side : side + 24] = 1.0
        noise = 0.1 * torch.rand(2, 4, 3, 48, 48, generator=draw)
        return (
            0.3 + 0.4 * region + noise[0],
            0.7 - 0.4 * region + noise[1],
            torch.cat([region.new_full((4, 3, 48, 48), 0.5), region], 1),
        )

    for _ in range(60):
        real, fake, condition = batch()
        part.attend(None)
        optimiser.zero_grad()
        part.d_loss(real, fake, condition).backward()
        optimiser.step()
    real, fake, condition = batch()
    part.eval()
    with torch.no_grad():
        of_real, of_fake = part.logits(real, condition).mean((1, 2, 3)), part.logits(fake, condition).mean((1, 2, 3))
        assert float(of_real.min()) > 0.3 and float(of_fake.max()) < -0.3
        assert bool((part.logits(real, condition.flip(-1)).mean((1, 2, 3)) < of_real).all())


def test_an_avatar_learns_from_it() -> None:
    """Three numbers, the colour of the fakes, come to the real colour by −E[D(G)] alone."""
    part = made(channels=8, patch=32, patches=4)
    colour = torch.tensor([0.2, 0.2, 0.8], requires_grad=True)
    wanted = torch.tensor([0.7, 0.35, 0.2])
    ours = torch.optim.Adam([colour], lr=0.01, betas=part.betas)
    its = torch.optim.Adam(part.parameters(), lr=part.learning_rate, betas=part.betas)
    condition = torch.full((1, 4, 64, 64), 0.5)
    draw = torch.Generator().manual_seed(3)
    far = float((colour.detach() - wanted).norm())
    trail = []
    for _ in range(150):
        noise = 0.05 * torch.rand(2, 1, 3, 64, 64, generator=draw)
        real, fake = wanted[:, None, None] + noise[0], colour[:, None, None] + noise[1]
        part.attend(None)
        its.zero_grad()
        part.d_loss(real, fake.detach(), condition).backward()
        its.step()
        ours.zero_grad()
        part.g_loss(fake, condition).backward()
        ours.step()
        trail.append(float((colour.detach() - wanted).norm()))
    assert sum(trail[-30:]) / 30 < 0.1 * far


def test_weights_come_from_the_seed_and_nobody_elses_random_numbers_change() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = made(seed=1)
    first.attend(None)
    first.g_loss(pictures(1, 96, 1), pictures(1, 96, 2, 4))
    assert torch.equal(torch.rand(3), expected)
    same, other = made(seed=1), made(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 2}, "'channels' of 'hinge-gan' is 2; expected 4 to 256"),
        ({"layers": 5}, "'layers'"),
        ({"patches": 0}, "'patches'"),
        ({"r1": float("nan")}, "'r1'"),
        ({"learning_rate": 0.0}, "'learning_rate'"),
        ({"layers": 4, "patch": 32}, "'patch' of 'hinge-gan' is 32; expected at least 48 with 4 'layers'"),
        (
            {"augment": ("colour", "flip")},
            "option 'augment' of 'hinge-gan' has 'flip'; expected colour, translation, cutout",
        ),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        made(**options)


def test_views_that_do_not_fit_are_refused() -> None:
    part = made()
    with pytest.raises(InputError, match=r"8×8 pixels are too small; render at least 12×12"):
        part.logits(pictures(1, 8, 1), pictures(1, 8, 2, 4))
    with pytest.raises(InputError, match=r"expected \(B, 3, H, W\) and \(B, 4, H, W\)"):
        part.g_loss(pictures(1, 32, 1), pictures(1, 32, 2, 3))
    for focus, words in (
        (pictures(1, 16, 1, 1), "a focus of"),
        (pictures(2, 96, 1, 1) - 0.5, "negative"),
        (pictures(2, 96, 1, 1) * float("inf"), "infinite"),
    ):
        part.attend(focus)
        with pytest.raises(InputError, match=words):
            part.g_loss(pictures(2, 96, 1), pictures(2, 96, 2, 4))


def test_conformance() -> None:
    results = conformance.check_provider("discriminator", "hinge-gan")
    assert len(results) == 4 and all(result.ok and not result.skipped for result in results)


@pytest.mark.parametrize("check", conformance.checks("discriminator"), ids=conformance.name)
def test_conformance_within_a_step(check: conformance.Check) -> None:
    part = made(patch=32)
    part.attend(torch.ones(2, 1, 64, 64))
    check(part)


def test_the_provider_is_found_and_light() -> None:
    from avatarkit.registry import registry

    part = registry().create("discriminator", "hinge-gan", {"augment": [], "channels": 8})
    assert isinstance(part, nn.Module) and part.config.augment == ()
    code = "import sys, avatarkit_hinge_gan.provider as p; list(p.avatarkit_discriminators()); import avatarkit_hinge_gan.options; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
