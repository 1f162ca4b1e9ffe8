"""The loop against diffusers' own pipeline and scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from avatarkit_ip2p.editor import Ip2pEditor
from avatarkit_ip2p.latent_operations import Start
from avatarkit_ip2p.sampler import Schedule, _stepped, denoised, view_noise
from torch import Tensor

from avatarkit.events import Run

from .conftest import SCALING, blocks, editor, saved, tiny


def loop(part: Ip2pEditor, start: Start, noise: Tensor, words: tuple[str, str], steps: int) -> Tensor:
    model = part._model(Run())
    both = torch.stack([model.embedded([text] * len(noise)) for text in words])
    with torch.no_grad():
        return denoised(model, start, both, noise, None, Run(), steps=steps, guidance=7.5, image_guidance=1.5, batch=8)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_full_schedule_is_diffusers_pipeline(tmp_path: Path, prediction: str) -> None:
    from diffusers import DDIMScheduler

    pipeline = tiny(prediction_type=prediction)
    part = editor(saved(pipeline, tmp_path / "model"))
    views, noise = blocks(2), view_noise(3, 2, (4, 16, 16))
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing"
    )
    pipeline.set_progress_bar_config(disable=True)
    base = SCALING * part._model(Run()).encoded(views, 2)
    share = float(pipeline.scheduler.alphas_cumprod[-1])
    expected = pipeline(
        ["red hair"] * 2, image=2.0 * views - 1.0, num_inference_steps=5, guidance_scale=7.5, image_guidance_scale=1.5,
        negative_prompt=["a blue hat"] * 2, latents=share**0.5 * base + (1.0 - share) ** 0.5 * noise, output_type="latent",
    ).images  # fmt: skip
    found = loop(
        part,
        Start(base, base / SCALING, torch.ones(2, 1, 16, 16), torch.ones(2, 1, 32, 32)),
        noise,
        ("red hair", "a blue hat"),
        5,
    )
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_a_step_of_exact_noise_is_exact() -> None:
    """Given the noise that is in them, latents go back to what they were made of, from any level to any other."""
    clean, noise = torch.randn(2, 2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    for share, left in ((0.01, 0.5), (0.5, 0.9), (0.3, 1.0)):
        noised = share**0.5 * clean + (1 - share) ** 0.5 * noise
        expected = left**0.5 * clean + (1 - left) ** 0.5 * noise
        velocity = share**0.5 * noise - (1 - share) ** 0.5 * clean
        torch.testing.assert_close(_stepped(noised, noise, share, left, False), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(_stepped(noised, velocity, share, left, True), expected, atol=1e-5, rtol=1e-5)


def test_schedules() -> None:
    full = Schedule.of(1.0, 4, 1000)
    assert full.times == (999, 749, 499, 249) and full.levels == (1.0, 0.75, 0.5, 0.25, 0.0)
    assert Schedule.of(0.6, 20, 1000).times[:2] == (599, 549) and len(Schedule.of(0.6, 20, 1000).times) == 12
    assert len(Schedule.of(0.05, 20, 1000).times) == 2 and Schedule.of(0.001, 20, 1000).times == (0, 0)


def test_each_view_has_noise_of_its_own() -> None:
    three, two, other = view_noise(1, 3, (4, 8, 8)), view_noise(1, 2, (4, 8, 8)), view_noise(2, 2, (4, 8, 8))
    assert torch.equal(three[:2], two) and not torch.equal(two, other) and not torch.equal(three[0], three[1])
    many = view_noise(0, 64, (4, 8, 8))
    assert abs(float(many.mean())) < 0.03 and abs(float(many.std()) - 1.0) < 0.03


def test_places_begin_at_their_level(tiny_model: Path) -> None:
    """Where the level is 0 the base stays to the bit; a lower level stays closer; and it has two steps at least."""
    part, noise = editor(tiny_model), view_noise(0, 1, (4, 16, 16))
    base = SCALING * part._model(Run()).encoded(blocks(1), 1)
    level = torch.zeros(1, 1, 16, 16)
    level[..., 4:8], level[..., 8:12], level[..., 12:] = 0.01, 0.3, 0.98
    found = loop(part, Start(base, base / SCALING, level, torch.ones(1, 1, 32, 32)), noise, ("red hair", ""), 10)
    moved = [float((found - base)[..., k : k + 4].abs().mean()) for k in (0, 4, 8, 12)]
    assert torch.equal(found[..., :4], base[..., :4])
    assert 0.0 < moved[1] <= moved[2] < moved[3]
    higher = level.clone()
    higher[..., 4:8] = 0.98 * 2 / 10  # the last level but one: from there on are two steps
    again = loop(part, Start(base, base / SCALING, higher, torch.ones(1, 1, 32, 32)), noise, ("red hair", ""), 10)
    assert torch.equal(found, again)


def test_until_its_level_a_place_is_the_noised_base(tiny_model: Path) -> None:
    """What the UNet is given, call by call: a place of level 0.3 is free from the step after the first that begins at 0.3 or below."""
    part, noise = editor(tiny_model), view_noise(0, 1, (4, 16, 16))
    model = part._model(Run())
    base = SCALING * model.encoded(blocks(1), 1)
    level = torch.full((1, 1, 16, 16), 0.98)
    level[..., :8] = 0.3
    given: list[Tensor] = []
    hook = model.unet.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0][:1, :4]))
    loop(part, Start(base, base / SCALING, level, torch.ones(1, 1, 32, 32)), noise, ("red hair", ""), 10)
    hook.remove()
    schedule = Schedule.of(0.98, 10, 1000)
    for k, (states, moment) in enumerate(zip(given, schedule.times, strict=True)):
        share = float(model.alphas[moment])
        locked = share**0.5 * base + (1.0 - share) ** 0.5 * noise
        held = [torch.allclose(states[..., some], locked[..., some], atol=1e-6) for some in (slice(0, 8), slice(8, 16))]
        assert held == [k == 0 or schedule.levels[k - 1] > 0.3, k == 0]
