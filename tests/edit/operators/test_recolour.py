"""Another colour: the asked one under the light that was there, on the region and nowhere else."""

from __future__ import annotations

import pytest
import torch

from avatarkit.edit.operators.recolour import (
    iris,
    own_colour,
    recoloured,
    seen_colour,
    split_highlight,
    wanted_colour,
    weighted_quantile,
    with_colours,
)
from avatarkit.edit.plan import Attributes, Region
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.losses.colour_difference import (
    chroma,
    ciede2000,
    hue,
    hue_difference,
    lab,
    linear_from_srgb,
    luminance,
    srgb_from_linear,
)

from ..labelled import COLOURS, IRIS, Labelled, carried_out, lab_of, linear, operation, rgb, same_tensors, seen

DYES = ["#c45a32", "#0000ff", "#008000", "#e8dcc0", "#ffc0cb", "#101010", "#ffffff"]


def correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    a, b = first - first.mean(), second - second.mean()
    return float((a * b).sum() / (a.norm() * b.norm()))


@pytest.mark.parametrize("colour", DYES)
def test_hair_takes_the_colour_and_keeps_its_light(bare: Labelled, colour: str) -> None:
    """The truth: the new colour times the light that is known for each Gaussian."""
    after = carried_out(bare.scene, operation("recolour", "hair", colour=colour)).avatar.gaussians
    hair = bare.of("hair")
    light = luminance(linear(after)[hair])
    if luminance(linear_from_srgb(rgb(colour))) > 0.02:
        assert correlation(light, bare.light[hair]) > 0.97
    full = bare.light[hair].quantile(0.9)
    truth = lab(srgb_from_linear(linear_from_srgb(rgb(colour)) * (bare.light[hair] / full).clamp(max=1.0)[:, None]))
    found = lab(seen(after)[hair].clamp(0, 1))
    assert float(ciede2000(found, truth).median()) < 5.0
    if float(chroma(lab_of(colour))) > 12.0:
        assert float(hue_difference(hue(found.median(0).values), hue(lab_of(colour)))) < 8.0


def test_only_the_region_changes(bare: Labelled) -> None:
    before = bare.avatar.gaussians
    after = carried_out(bare.scene, operation("recolour", "lips", colour="#7020a0")).avatar.gaussians
    lips = bare.of("u_lip", "l_lip")
    for name, value in before.tensors().items():
        same = (getattr(after, name) == value).reshape(len(lips), -1).all(1)
        assert bool(same[~lips].all())
        assert bool(same[lips].all()) == (name != "sh")
    assert not bool((after.sh[lips, 0] == before.sh[lips, 0]).all(1).any())


@pytest.mark.parametrize(("relation", "sign"), [("left_of", 1.0), ("right_of", -1.0)])
def test_half_of_the_hair(bare: Labelled, relation: str, sign: float) -> None:
    after = carried_out(
        bare.scene, operation("recolour", "hair", Region("hair", relation), colour="#0000ff")
    ).avatar.gaussians
    changed = (after.sh[:, 0] != bare.avatar.gaussians.sh[:, 0]).any(1)
    side = sign * bare.rest[:, 0]
    assert torch.equal(changed & (side.abs() > 0.003), bare.of("hair") & (side > 0.003))


@pytest.mark.parametrize(("target", "labels"), [("eyes", ("l_eye", "r_eye")), ("l_eye", ("l_eye",))])
def test_eyes_change_their_irises_alone(bare: Labelled, target: str, labels: tuple[str, ...]) -> None:
    after = carried_out(bare.scene, operation("recolour", target, colour="#8040c0")).avatar.gaussians
    changed = (after.sh[:, 0] != bare.avatar.gaussians.sh[:, 0]).any(1)
    wanted = bare.iris & bare.of(*labels)
    assert (
        float((changed & wanted).sum() / (changed | wanted).sum()) > 0.6
    )  # a reconstruction's irises are blurred: 1 mm of white goes with them
    assert bool(changed[wanted].all()) and not bool(changed[~bare.of(*labels)].any())
    inner = wanted & (iris(bare.scene) == 1.0)
    found = lab(seen(after)[inner].clamp(0, 1)).median(0).values
    assert float(hue_difference(hue(found), hue(lab_of("#8040c0")))) < 12.0


def test_strength_is_a_share_of_the_way(bare: Labelled) -> None:
    ask = lambda strength: carried_out(bare.scene, operation("recolour", "hair", strength=strength, colour="#0000ff"))  # noqa: E731
    old, full, half = (seen(g) for g in (bare.avatar.gaussians, ask(1.0).avatar.gaussians, ask(0.5).avatar.gaussians))
    torch.testing.assert_close(half, 0.5 * (old + full), atol=1e-5, rtol=0)
    assert same_tensors(ask(0.0).avatar, bare.avatar)


@pytest.mark.parametrize(("lightness", "saturation"), [(0.4, 0.0), (-0.4, 0.0), (0.0, 0.5), (0.0, -0.8), (0.3, -0.5)])
def test_lighter_darker_richer_paler(bare: Labelled, lightness: float, saturation: float) -> None:
    after = carried_out(
        bare.scene, operation("recolour", "hair", lightness=lightness, saturation=saturation)
    ).avatar.gaussians
    hair = bare.of("hair")
    old, new = (lab(seen(g)[hair].clamp(0, 1)) for g in (bare.avatar.gaussians, after))
    grew = (new[:, 0] - old[:, 0]).median()
    assert float(grew.sign() if abs(grew) > 2.0 else 0.0) == (lightness > 0) - (lightness < 0)
    richer = (chroma(new) - chroma(old)).median()
    if not lightness:
        assert (float(richer) > 1.0) == (saturation > 0) and (float(richer) < -1.0) == (saturation < 0)
    assert correlation(luminance(linear(after)[hair]), bare.light[hair]) > 0.97
    if saturation == 0.0:
        assert float(hue_difference(hue(new.median(0).values), hue(old.median(0).values))) < 10.0


def test_gold_is_gold(plain: Labelled) -> None:
    after = carried_out(plain.scene, operation("recolour", "glasses", material="gold")).avatar.gaussians
    found = lab(seen(after)[plain.of("glasses")].clamp(0, 1)).median(0).values
    assert float(hue_difference(hue(found), hue(lab_of("#d4a63a")))) < 8.0


def test_colours_of_one_side_scale_with_the_colour(bare: Labelled) -> None:
    """What a Gaussian shows to one side more than to others stays the same share of its colour."""
    before = bare.avatar.gaussians
    after = carried_out(bare.scene, operation("recolour", "hair", colour="#ff8080")).avatar.gaussians
    hair = bare.of("hair")
    factor = (seen(after) + 0.02) / (seen(before) + 0.02)
    torch.testing.assert_close(
        after.sh[hair, 1:], before.sh[hair, 1:] * factor[hair, None].clamp(max=3.0), atol=1e-5, rtol=1e-4
    )
    black = carried_out(bare.scene, operation("recolour", "hair", colour="#000000")).avatar.gaussians
    assert float(black.sh[hair, 1:].abs().mean()) < 0.5 * float(before.sh[hair, 1:].abs().mean())


def test_colours_beyond_the_range_stay_finite() -> None:
    gaussians = Gaussians.fresh(
        torch.zeros(4, 3), torch.zeros(4, 3), 0.5, torch.linspace(-0.5, 1.5, 12).reshape(4, 3), torch.zeros(4), 1
    )
    gaussians.sh[:, 1:] = 0.1
    old = (0.5 + 0.28209479177387814 * gaussians.sh[:, 0]).clamp(0, 1)
    made = with_colours(gaussians, old, old.flip(0))
    assert bool(made.sh.isfinite().all())
    same = with_colours(gaussians, old, old)
    assert torch.equal(same.sh, gaussians.sh)


def test_the_own_colour_is_that_in_full_light() -> None:
    colour = linear_from_srgb(rgb("#8a5030"))
    light = torch.linspace(0.2, 1.0, 400)
    found = own_colour(colour * light[:, None], torch.ones(400))
    torch.testing.assert_close(found, colour * light.quantile(0.9), atol=0.004, rtol=0.02)
    # a few highlights are no part of it
    glints = torch.cat([colour * light[:, None], torch.full((12, 3), 1.0)])
    torch.testing.assert_close(own_colour(glints, torch.ones(412)), colour * 0.93, atol=0.02, rtol=0.06)
    torch.testing.assert_close(own_colour(torch.zeros(0, 3), torch.zeros(0)), torch.ones(3))


def test_a_parts_colour_is_seen_in_pictures(bare: Labelled) -> None:
    found = seen_colour(bare.scene, bare.of("cloth").float())
    truth = linear_from_srgb(rgb(COLOURS["cloth"])) * bare.light[bare.of("cloth")].quantile(0.9)
    assert float(ciede2000(lab(srgb_from_linear(found)), lab(srgb_from_linear(truth)))) < 5.0
    thin = seen_colour(bare.scene, bare.iris.float())
    assert float(hue_difference(hue(lab(srgb_from_linear(thin))), hue(lab_of(IRIS)))) < 12.0


def test_highlights_are_told_from_colour() -> None:
    own = linear_from_srgb(rgb("#803010"))
    amount, gloss = torch.tensor([0.3, 0.6, 1.0, 1.0]), torch.tensor([0.0, 0.0, 0.0, 0.25])
    found, highlight = split_highlight(amount[:, None] * own + gloss[:, None], own)
    torch.testing.assert_close(found, amount, atol=0.02, rtol=0.02)
    torch.testing.assert_close(highlight, gloss, atol=0.02, rtol=0.02)


def test_highlights_stay_white() -> None:
    own = linear_from_srgb(rgb("#803010"))
    old = srgb_from_linear(torch.stack([own, own + 0.5]))
    new = lab(recoloured(old, own, Attributes(colour="#1030c0")))
    assert float(chroma(new[1])) < 0.8 * float(chroma(new[0])) and float(new[1, 0]) > float(new[0, 0]) + 20


def test_what_is_wanted() -> None:
    own = linear_from_srgb(rgb("#806040"))
    torch.testing.assert_close(
        wanted_colour(own, Attributes(colour="#204060")), linear_from_srgb(rgb("#204060")), atol=1e-4, rtol=0
    )
    grey = wanted_colour(own, Attributes(saturation=-1.0))
    assert float(grey.max() - grey.min()) < 1e-5
    torch.testing.assert_close(wanted_colour(own, Attributes(lightness=1.0)), torch.ones(3))
    assert float(wanted_colour(own, Attributes(lightness=-1.0)).max()) < 1e-3


def test_quantiles_by_weight() -> None:
    values, weights = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([1.0, 1.0, 8.0])
    assert float(weighted_quantile(values, weights, 0.5)) == 2.0
    assert float(weighted_quantile(values, weights, 0.05)) == 1.0
    assert float(weighted_quantile(values, weights, 1.0)) == 3.0
