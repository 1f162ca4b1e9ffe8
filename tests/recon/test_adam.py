"""Adam by rows against torch's own Adam, and the bookkeeping of density changes."""

from __future__ import annotations

import contextlib

import pytest
import torch

from avatarkit.bodies import plain_torch
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.recon.adam import Adam, parameters, require_gradients

RATES = {"means": 0.05, "quats": 0.02, "log_scales": 0.03, "opacity_logits": 0.1, "sh_dc": 0.02, "sh_rest": 0.001,
         "mean_correctives": 0.01, "free_correctives": 0.03, "colour_correctives": 0.004}  # fmt: skip


def table(count: int = 7, degree: int = 1, correctives: int = 0) -> Gaussians:
    generator = torch.Generator().manual_seed(3)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    gaussians = Gaussians.fresh(
        draw(count, 3), draw(count, 3), 0.5, torch.rand(count, 3, generator=generator), torch.arange(count), degree
    )
    gaussians.sh = gaussians.sh + 0.1 * draw(count, (degree + 1) ** 2, 3)
    gaussians = gaussians.with_correctives(correctives)
    require_gradients(gaussians)
    return gaussians


def set_gradients(gaussians: Gaussians, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for value in parameters(gaussians).values():
        value.grad = torch.randn(value.shape, generator=generator)


@pytest.mark.parametrize("correctives", [0, 2])
def test_steps_equal_torch_adam_when_everything_shows(correctives: int) -> None:
    ours, theirs = table(correctives=correctives), table(correctives=correctives)
    dc, rest = theirs.sh.detach()[:, :1].clone().requires_grad_(), theirs.sh.detach()[:, 1:].clone().requires_grad_()
    groups = [{"params": [getattr(theirs, name)], "lr": RATES[name]} for name in parameters(theirs) if name != "sh"]
    groups += [{"params": [dc], "lr": RATES["sh_dc"]}, {"params": [rest], "lr": RATES["sh_rest"]}]
    reference = torch.optim.Adam(groups, eps=1e-15)
    adam = Adam(ours, 1.0)
    for step in range(20):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        assert theirs.sh.grad is not None
        dc.grad, rest.grad = theirs.sh.grad[:, :1].clone(), theirs.sh.grad[:, 1:].clone()
        theirs.sh.grad = None
        reference.step()
        adam.step(ours, RATES, torch.ones(len(ours), dtype=torch.bool))
    for name, value in parameters(ours).items():
        expected = torch.cat([dc, rest], 1) if name == "sh" else getattr(theirs, name)
        torch.testing.assert_close(value, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("correctives", [0, 3])
def test_the_plain_body_does_the_same(correctives: int) -> None:
    """On rows that show now and then, bound and free, over density changes; what a hidden row's gradient holds does not matter."""
    generator, ended = torch.Generator(), []
    for plain in (False, True):
        gaussians = table(40, 2, correctives)
        gaussians.binding[::3] = -2
        adam = Adam(gaussians, 0.02)
        adam.floor = torch.tensor([0.3, 1e-15, 0.1, 0.2, 0.5, 0.4, 0.2][: len(adam.first)])
        generator.manual_seed(5)
        for step in range(12):
            visible = torch.rand(40, generator=generator) > 0.4
            set_gradients(gaussians, step)
            if plain:
                for value in parameters(gaussians).values():
                    assert value.grad is not None
                    value.grad[~visible] = float("nan")
                with plain_torch():
                    adam.step(gaussians, RATES, visible)
            else:
                adam.step(gaussians, RATES, visible)
            if step == 5:
                adam.reindex(torch.arange(39, -1, -1), torch.arange(40) < 7)
        ended.append((gaussians, adam))
    (one, first), (other, second) = ended
    assert torch.equal(first.steps, second.steps)
    for name, value in parameters(one).items():
        torch.testing.assert_close(parameters(other)[name], value, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(second.first[name], first.first[name], rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(second.second[name], first.second[name], rtol=1e-5, atol=1e-7)


def test_a_row_that_did_not_show_keeps_value_and_moments() -> None:
    gaussians = table()
    adam = Adam(gaussians, 1.0)
    visible = torch.tensor([True, False, True, True, False, True, True])
    before = {name: value.detach().clone() for name, value in parameters(gaussians).items()}
    set_gradients(gaussians, 0)
    adam.step(gaussians, RATES, visible)
    for name, value in parameters(gaussians).items():
        assert torch.equal(value[~visible], before[name][~visible])
        assert (adam.first[name][~visible] == 0).all()
        assert (value[visible] != before[name][visible]).all()
    assert adam.steps.tolist() == visible.int().tolist()


def test_what_hardly_shows_moves_in_proportion() -> None:
    """A floor of a tenth of the mean gradient: a row with a thousandth of the others' gradient takes a hundredth of a step."""
    gaussians = table()
    gaussians.binding = torch.tensor([0, 1, 2, -1, -2, 3, 4], dtype=torch.int32)
    adam = Adam(gaussians, free_unit=0.004)
    everything = torch.ones(7, dtype=torch.bool)
    unit = torch.where(gaussians.free, 1 / 0.004, 1.0)  # the same slope by metres is that much larger

    def step() -> None:
        for name, value in parameters(gaussians).items():
            value.grad = torch.full_like(value, 3e-6)
            if name == "means":
                value.grad *= unit[:, None]
            value.grad[0] *= 1e-3
            value.grad[4] *= 1e-3
        adam.step(gaussians, RATES, everything)

    for _ in range(3):
        step()
    for value in parameters(gaussians).values():
        value.data.zero_()  # so that small steps show
    adam.measure(gaussians, 0.1)
    torch.testing.assert_close(adam.floor, torch.full((5,), 0.1 * 3e-6 * (5 + 2e-3) / 7), rtol=1e-4, atol=0)
    before = {name: value.detach().clone() for name, value in parameters(gaussians).items()}
    step()
    for name, value in parameters(gaussians).items():
        moved = (value - before[name]).abs().reshape(7, -1).detach()
        if name == "means":
            moved *= unit[:, None]
        whole = moved[1]
        torch.testing.assert_close(moved[3], whole, rtol=1e-3, atol=0)  # free ones feel the same floor
        part = 1e-3 / (1e-3 + 0.1 * (5 + 2e-3) / 7) * (1 + 0.1 * (5 + 2e-3) / 7)
        torch.testing.assert_close(moved[0] / whole, torch.full_like(whole, part), rtol=2e-3, atol=0)
        torch.testing.assert_close(moved[4] / whole, torch.full_like(whole, part), rtol=2e-3, atol=0)


def test_free_gaussians_move_in_metres() -> None:
    gaussians = table()
    gaussians.binding = torch.tensor([0, 1, 2, -1, -2, 3, 4], dtype=torch.int32)
    adam = Adam(gaussians, free_unit=0.003)
    before = gaussians.means.detach().clone()
    set_gradients(gaussians, 0)
    adam.step(gaussians, RATES, torch.ones(7, dtype=torch.bool))
    moved = (gaussians.means - before).abs().max(1).values
    torch.testing.assert_close(moved[:3], torch.full((3,), RATES["means"]), rtol=1e-4, atol=0)
    torch.testing.assert_close(moved[3:5], torch.full((2,), 0.003 * RATES["means"]), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("bound", "free"), [(0.01, 0.03), (0.02, 0.0), (0.0, 0.05), (0.0, 0.0)])
def test_correctives_of_free_gaussians_have_a_rate_of_their_own(bound: float, free: float) -> None:
    for plain in (False, True):
        gaussians = table(correctives=2)
        gaussians.binding = torch.tensor([0, 1, 2, -1, -2, 3, 4], dtype=torch.int32)
        adam = Adam(gaussians, free_unit=0.003)
        before = gaussians.mean_correctives.detach().clone()
        set_gradients(gaussians, 0)
        rates = RATES | {"mean_correctives": bound, "free_correctives": free}
        with plain_torch() if plain else contextlib.nullcontext():
            adam.step(gaussians, rates, torch.ones(7, dtype=torch.bool))
        moved = (gaussians.mean_correctives - before).abs().amax((1, 2)).detach()
        expected = torch.where(gaussians.free, 0.003 * free, bound)
        torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-7)


def test_children_start_empty_and_take_a_first_step_of_one_rate() -> None:
    gaussians = table()
    adam = Adam(gaussians, 1.0)
    for step in range(5):
        set_gradients(gaussians, step)
        adam.step(gaussians, RATES, torch.ones(7, dtype=torch.bool))
    source, fresh = torch.tensor([0, 2, 3, 3]), torch.tensor([False, False, True, True])
    kept = adam.first["means"][[0, 2]].clone()
    adam.reindex(source, fresh)
    assert torch.equal(adam.first["means"][:2], kept)
    assert (adam.first["means"][2:] == 0).all()
    assert adam.steps.tolist() == [5, 5, 0, 0]
    small = gaussians.detach().select(source)
    require_gradients(small)
    before = small.means.detach().clone()
    set_gradients(small, 9)
    adam.step(small, RATES, torch.ones(4, dtype=torch.bool))
    torch.testing.assert_close((small.means - before)[2:].abs(), torch.full((2, 3), RATES["means"]), rtol=1e-4, atol=0)
