"""What a config means for a capture."""

from __future__ import annotations

import pytest

from avatarkit.config import load_config
from avatarkit.recon.config import ReconConfig


def test_what_one_camera_does_not_tell() -> None:
    """Depth, swelling and faint gradients are held where no second camera sees a timestep; what the user asked for is never less."""
    config = ReconConfig()
    alone, several = config.seen_from(several_sides=False), config.seen_from(several_sides=True)
    assert alone.line_of_sight == config.line_of_sight > 0 and several.line_of_sight == 0
    assert alone.least_gradient == config.least_gradient > 0 and several.least_gradient == 0
    assert alone.correctives_from == config.correctives_from_alone < several.correctives_from == config.correctives_from
    assert ReconConfig(correctives_from=9).seen_from(False).correctives_from == 9
    assert alone.depth_spread == config.depth_spread > 0 and several.depth_spread == 0
    assert alone.aside == config.aside > 0 and several.aside == 0
    assert alone.in_gamut and not several.in_gamut
    assert alone.scale == config.scale_alone > several.scale == 0
    assert alone.colour_prior == config.colour_prior_alone > several.colour_prior == config.colour_prior > 0
    published = ReconConfig(scale=1.0, colour_prior=0.7)
    assert published.seen_from(False).scale == published.seen_from(True).scale == 1.0
    assert published.seen_from(False).colour_prior == 0.7


@pytest.mark.parametrize("name", ["gaussianavatars", "dynamicavatars"])
def test_published_configs_stay_what_was_published(name: str) -> None:
    config = load_config(ReconConfig, name)
    assert config.seen_from(False) == config.seen_from(True) == config
