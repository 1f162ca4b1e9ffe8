"""Every setting of an edit, with its unit and source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from avatarkit.errors import ConfigError

LIMITS: dict[str, tuple[float, float]] = {
    "size": (32, 4096), "keyframes": (1, 64), "anchors": (1, 64), "refreshed": (0, 64), "outputs": (1, 24),
    "outside_delta": (0.0, 100.0), "outside_share": (0.0, 1.0), "spill": (0.0, 1.0), "consensus": (1.0, 1e6), "feather": (0.0, 0.2), "steps": (1, 100_000),
    "seconds": (1.0, 86_400.0), "rgb_lambda": (0.0, 1.0), "weight_rgb": (1e-6, 1e6), "weight_gs": (0.0, 1e6), "weight_gan": (0.0, 1e6),
    "anchor_position": (0.0, 1e6), "anchor_shape": (0.0, 1e6), "anchor_colour": (0.0, 1e6), "anchor_outside": (1.0, 1e6),
    "unedited": (0.0, 0.95), "lr_means": (0.0, 1.0), "lr_quats": (0.0, 1.0), "lr_scales": (0.0, 1.0), "lr_opacity": (0.0, 1.0),
    "lr_colour": (0.0, 1.0), "lr_final": (1e-6, 1.0), "grow": (0.0, 4.0), "mapping_seconds": (1.0, 120.0), "corrections": (0, 2),
}  # fmt: skip
"""The least and the largest value of every number."""


@dataclass(frozen=True)
class EditConfig:
    """Settings of stage 2."""

    operators: bool = True
    """Let operators on Gaussians do what they can; off: whatever an image editor can paint goes to it."""
    size: int = 512
    """Longest side of the pictures that are edited and fitted, pixels."""
    seed: int = 0

    # Which pictures
    keyframes: int = 12
    anchors: int = 4
    """Keyframes that are edited first; the others then see what the avatar has learnt of them."""
    refreshed: int = 6
    """Keyframes that an iterative editor (a diffusion model) paints again, round after round."""
    noise: tuple[float, ...] = (0.98, 0.6, 0.3)
    """How much of a picture an iterative editor may make anew, by round."""
    outputs: int = 24
    """At most so many pictures of the editor for one operation, all rounds and corrections together."""

    # The gate
    gate: bool = True
    """Register, composite and judge what an editor returns; off: take it as it is."""
    outside_delta: float = 6.0
    """CIEDE2000 from which on a pixel outside the region counts as changed."""
    spill: float = 0.1
    """Of the longer side: how far beyond the region an edit may run over; it is cut off."""
    outside_share: float = 0.02
    """Share of such pixels above which a view is rejected."""
    consensus: float = 3.0
    """A view is rejected if it disagrees with the others so many times more than they do in the median."""
    feather: float = 0.006
    """Width of the seam between edited and unedited, of the longer side."""

    # The fit
    fit: Literal["guarded", "naive", "dataset_update"] = "guarded"
    """guarded: ours.  naive: all parameters on all edited views, no lifting, no anchor.  dataset_update: the same, its views painted again
    from what the avatar has become (Instruct-NeRF2NeRF)."""
    steps: int = 400
    """Steps after the anchors, and again after all keyframes."""
    seconds: float = 150.0
    """Of fitting in one attempt at an operation, painting not counted, in equal parts for its fits: time after which no more steps are
    begun."""
    rgb_lambda: float = 0.7
    """λ of equation 11 while editing."""
    perceptual_net: Literal["alex", "vgg"] = "vgg"
    weight_rgb: float = 1.0
    """λ1 of equation 17."""
    weight_gs: float = 0.05
    """λ2 of equation 17: of what holds Gaussians to the state before the edit (equation 13)."""
    weight_gan: float = 0.02
    """λ3 of equation 17."""
    anchor_position: float = 1.0
    """λ_p of equation 13: of local means, triangle units (bound) or centimetres (free)."""
    anchor_shape: float = 0.2
    """λ_t of equation 13: of rotations and log-scales."""
    anchor_colour: float = 0.005
    """λ_c of equation 13: of colours and opacities."""
    anchor_outside: float = 100.0
    """How much stronger Gaussians outside the region are held."""
    unedited: float = 0.3
    """Share of the steps that look at unedited frames, outside the region."""
    lr_means: float = 0.004
    lr_quats: float = 0.004
    lr_scales: float = 0.006
    lr_opacity: float = 0.02
    lr_colour: float = 0.1
    lr_final: float = 0.05
    """Last rate as a part of the first."""
    grow: float = 0.5
    """At most so many times the region's Gaussians are added by splitting inside it."""

    # Regions
    mapping: bool = True
    """Refine region masks by the mapping net where one is at hand that is at least as good as rendered labels."""
    segmenter: str = ""
    """Whose label maps mapping nets learn from.  Empty: the one that needs no weights, where the avatar's labels come from it."""
    mapping_seconds: float = 60.0
    """At most so long is a mapping net trained when a part is first painted, the making of its label maps included."""

    # After
    corrections: int = 2
    """How often an operation that did not do what was asked is corrected before it is taken back."""

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:  # also what is not a number
                raise ConfigError(f"setting '{name}' is {value:g}; expected {low:g} to {high:g}")
        if not self.noise or not all(0.0 < value <= 1.0 for value in self.noise):
            raise ConfigError(f"setting 'noise' is {list(self.noise)}; expected at least one number over 0 and up to 1")
