"""Options of the `hinge-gan` discriminator; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HingeGanConfig:
    """Settings of the discriminator."""

    channels: int = 16
    """Of the first layer; each further one has twice as many."""
    layers: int = 2
    """Halvings of the resolution.  A logit judges 16, 34, 70 or 142 pixels for 1, 2, 3 or 4 of them."""
    patch: int = 64
    """Pixels of a patch's sides; a smaller view is one patch."""
    patches: int = 8
    """Patches of each view in a step; half of them, rounded down, where ``attend`` says."""
    augment: tuple[str, ...] = ("colour", "translation", "cutout")
    """What is done to real and fake patches alike (Zhao et al., NeurIPS 2020); [] for nothing."""
    r1: float = 0.0
    """Weight of the gradient penalty on real patches (Mescheder et al., ICML 2018)."""
    learning_rate: float = 4e-4
    """Of the discriminator's own optimiser, which the core makes."""
    seed: int = 0
    """Of first weights, patches and augmentation."""
