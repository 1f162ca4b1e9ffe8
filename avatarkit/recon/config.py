"""Every setting of a reconstruction, with its unit and source.

Steps are given for a run of ``iterations``; ``--iterations N`` and ``--minutes M`` shorten every schedule in proportion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from avatarkit.errors import ConfigError

MANY, WEIGHT = 10**9, 1e6
LIMITS: dict[str, tuple[float, float]] = {
    "iterations": (1, MANY), "run_iterations": (1, MANY), "minutes": (1e-3, 1e6), "seed": (0, 2**63 - 1), "batch": (1, 4096), "random_background": (0.0, 1.0), "least_gradient": (0.0, WEIGHT), "sh_degree": (0, 3),
    "sh_every": (1, MANY), "gaussians_per_triangle": (1, 1000), "first_bound": (0, MANY), "free_gaussians": (0, MANY), "free_voxel": (1e-4, 1.0),
    "tune_every": (1, MANY), "correctives": (0, 64), "correctives_from": (0, MANY), "correctives_from_alone": (0, MANY), "l1": (0.0, WEIGHT), "dssim": (0.0, WEIGHT), "l2": (0.0, WEIGHT), "perceptual": (0.0, WEIGHT), "label_l2": (0.0, WEIGHT),
    "label_perceptual": (0.0, WEIGHT), "position": (0.0, WEIGHT), "position_threshold": (0.0, WEIGHT), "scale": (0.0, WEIGHT),
    "scale_threshold": (0.0, WEIGHT), "colour_prior": (0.0, WEIGHT), "tint": (0.0, WEIGHT), "trim": (0.0, 1.0), "line_of_sight": (0.0, WEIGHT), "line_of_sight_every": (1, MANY), "depth_spread": (0.0, WEIGHT), "aside": (0.0, WEIGHT), "aside_every": (1, MANY), "scale_alone": (0.0, WEIGHT), "colour_prior_alone": (0.0, WEIGHT), "smooth": (0.0, WEIGHT),
    "max_splats": (1, MANY), "densify_from": (0, MANY), "densify_until": (0, MANY), "densify_every": (0, MANY), "densify_gradient": (0.0, WEIGHT),
    "clone_size": (0.0, WEIGHT), "prune_opacity": (0.0, 0.999), "reset_every": (0, MANY), "label_views": (0, MANY), "label_steps": (0, MANY),
    "coarse_until": (0, MANY), "checkpoint_every": (0.0, WEIGHT * WEIGHT), "log_every": (1, MANY), "eval_every": (0, MANY), "eval_frames": (0, MANY),
}  # fmt: skip
"""The least and the largest value of every number but learning rates, which are in [0, 10]."""
FASTEST = 10.0


@dataclass(frozen=True)
class ReconConfig:
    """Settings of stage 1.  The defaults are ``configs/recon.yaml``: the best that we know on two cores."""

    iterations: int = 15000
    """Steps that the schedules below are written for."""
    run_iterations: int | None = None
    """Steps of this run (``--iterations``); schedules shrink in proportion.  Default: ``iterations``."""
    minutes: float | None = None
    """Training time (``--minutes``): steps are counted from the measured rate, and anew after every twentieth of the run (``recon.pace``)."""
    seed: int = 0
    batch: int = 1
    """Views a step, of all processes together."""
    background: tuple[float, ...] = (1.0, 1.0, 1.0)
    """Colour behind the head, sRGB."""
    random_background: float = 0.25
    """Share of the steps that have another colour behind the head, where the capture has masks.  Without it Gaussians are painted in
    the background's colour beside the head, and show over any other: a real clip's held-out frames gain 7 to 9 dB over black; over
    white the last frames of two clips lose 0.6 and gain 0.3 dB."""

    # What is optimised
    sh_degree: int = 0
    sh_every: int = 1000
    """Steps between raising the degree in use by one."""
    frames: Literal["triangle", "skin"] = "skin"
    """What carries bound Gaussians: the triangles' own frames, or those of the skinning (``avatarkit.head.frames``)."""
    gaussians_per_triangle: int = 1
    first_bound: int = 0
    """At most so many bound Gaussians at the start, evenly over the surface; 0: one for every triangle."""
    free_gaussians: int = 4000
    """At most so many free Gaussians are placed where the matte has more than the head model: hair, shoulders."""
    free_voxel: float = 0.008
    """Spacing of the first free Gaussians, metres."""
    colour_balance: bool = True
    """Where several cameras show the same skin in other colours, their gains are taken out of the training pictures (``recon.colour_balance``)."""
    correctives: int = 8
    """How many corrective blendshapes every Gaussian has (``gaussians.correctives``); 0: none.  With them held-out frames of two real clips
    gain 4 to 6 dB in the head where every tenth is held out, and 0.8 dB where it is the last part."""
    correctives_from: int = 7500
    """Step from which they are learnt.  Shapes come first: from 1800 on, a held-out camera of the synthetic subject loses 0.6 dB in its hair."""
    tune_head: bool = False
    """Fine-tune head parameters with the pictures.  Off: the outline of hair against the background pulls at the pose, so that on
    two real clips held-out frames gained up to 3.5 dB as a whole, and lost 0.9 to 1.3 dB in mouth and eyes (``tune_follow`` on)."""
    tune_follow: bool = True
    """Timesteps without training pictures get the corrections that ``recon.following`` foretells for them."""
    tune_every: int = 16
    """Steps whose vertex gradients are gathered before one update of the head parameters."""

    # Losses
    l1: float = 0.5
    dssim: float = 0.5
    l2: float = 0.0
    """Weight of the mean squared error."""
    perceptual: float = 0.0
    """Weight of LPIPS; where the weights of its backbone are missing, D-SSIM stands in, and the run says so."""
    perceptual_net: Literal["alex", "vgg"] = "vgg"
    label_l2: float = 0.0
    """Weight of the mean squared error between rendered and segmented label images (paper, eq. 12)."""
    label_perceptual: float = 0.0
    """Weight of LPIPS (or D-SSIM) between them."""
    position: float = 0.0
    """Weight of relu(|μ| − threshold) in triangle units (GaussianAvatars, eq. 4).  Off: with it and ``scale`` as published,
    held-out frames of a real clip lose 0.5 dB in the head and 2.4 dB in the mouth, those of a semi-synthetic capture 0.4 dB."""
    position_threshold: float = 1.0
    scale: float = 0.0
    """Weight of relu(s − threshold) in triangle units (GaussianAvatars, eq. 5)."""
    scale_threshold: float = 0.6
    colour_prior: float = 0.1
    """How many pixels it is worth that a bound Gaussian has the mean colour of its triangle in the training pictures.  What hardly
    shows keeps that colour; without it Adam, which moves by the sign of whatever gradient there is, makes confetti of it."""
    tint: float = 4.0
    """How many pixels it is worth that correctives change no Gaussian's colour, in the steps of ``line_of_sight_every``.  Without it a clip's
    cheeks are stained from aside, after long training and in some expressions."""
    smooth: float = 0.0
    """Weight that holds head parameters near their neighbours in time."""

    # One camera: where no timestep is seen by a second one, pictures do not say what a head looks like from aside
    line_of_sight: float = 0.05
    """Weight of what holds depth and thickness along the line of sight.  Costs 0.1
    to 0.2 dB in a real clip's held-out head, and after ten minutes a view from 35 degrees aside is a head, not a cloud of needles."""
    line_of_sight_every: int = 4
    """Steps between those that count it and ``depth_spread``, as many times heavier."""
    depth_spread: float = 0.005
    """Weight of how far apart in depth the Gaussians of one pixel are beyond 2 mm, centimetres (``losses.depth_spread``), at full size.
    A face that is turned away by 35 degrees is clean with it; without, full of what stood behind the skin."""
    aside: float = 0.05
    """Weight of how much shows through the head in views turned aside (``recon.aside``).  Without it temples and cheeks have holes there."""
    aside_every: int = 5
    """Steps between those that count it, as many times heavier."""
    in_gamut: bool = True
    """Each Gaussian's own colour stays in [0, 1].  Without it some are three times as bright as white, behind others that are as dark: where a new
    expression or view parts the two, there are lights on a forehead."""
    scale_alone: float = 0.01
    """The least weight of ``scale`` there.  A hundredth of the published one leaves what fills the picture as it is, and keeps what hardly
    shows from swelling into haze behind ears and neck."""
    colour_prior_alone: float = 0.5
    """The least ``colour_prior`` there."""
    correctives_from_alone: int = 1800
    """The latest step there from which correctives are learnt.  A real clip's held-out last part gains 1 dB by the earlier beginning."""
    least_gradient: float = 0.2
    """Adam's epsilon there, as a part of the mean gradient of all Gaussians.  What shows less than that moves in proportion to what it
    shows; with next to no epsilon (0, as 3DGS has it) it wanders as far as what fills the picture, in whatever colour.  With the two above,
    a real clip loses 0.1 dB in the head and up to 0.4 in the mouth, and shows far fewer specks and less haze from 35 degrees aside."""

    # Learning rates (Adam): first → last, exponential.  Means and scales in triangle units (bound) or centimetres (free).
    lr_means: float = 0.05
    lr_means_final: float = 5e-4
    lr_quats: float = 0.025
    lr_quats_final: float = 1e-3
    lr_scales: float = 0.05
    lr_scales_final: float = 2e-3
    lr_opacity: float = 0.1
    lr_opacity_final: float = 4e-3
    lr_colour: float = 0.06
    lr_colour_final: float = 1.5e-3
    """Of the constant SH term; 3.5 times the rate of the colour itself."""
    lr_sh: float = 0.003
    lr_sh_final: float = 1e-4
    """Of the higher SH terms."""
    lr_expr: float = 1e-3
    lr_pose: float = 2e-4
    """Of rotation and neck, radians."""
    lr_joints: float = 2e-4
    """Of jaw and eyes, radians."""
    lr_translation: float = 1e-4
    """Metres."""
    lr_correctives: float = 5e-4
    lr_correctives_final: float = 5e-5
    """Of correctives of bound Gaussians: the mesh says how they move, and what is learnt here is small.  With sixty times the rate a
    real clip's held-out last part loses a decibel in the head."""
    lr_correctives_free: float = 0.1
    lr_correctives_free_final: float = 0.01
    """Of correctives of free Gaussians: hair that swings, shoulders that stay behind when a head turns."""
    lr_correctives_colour: float = 2e-3
    lr_correctives_colour_final: float = 2e-4
    """Of the correctives of the constant SH term."""
    lr_shape: float = 1e-3
    lr_offset: float = 0.0
    """Of a static per-vertex offset, metres; 0 keeps the model's own surface."""
    lr_head_final: float = 0.1
    """Last rate of the head parameters, as a part of the first."""

    # Density
    density: Literal["budget", "threshold"] = "budget"
    """budget: split the Gaussians with the largest gathered screen gradient until ``max_splats``;
    threshold: clone and split above ``densify_gradient`` as 3DGS does."""
    max_splats: int = 30000
    densify_from: int = 900
    densify_until: int = 7500
    densify_every: int = 600
    densify_gradient: float = 2e-4
    """In normalised device coordinates, as 3DGS (threshold only)."""
    clone_size: float = 0.003
    """A smaller Gaussian is cloned, a larger one split (threshold only); metres."""
    prune_opacity: float = 0.005
    reset_every: int = 0
    """Steps between resets of opacity to 0.01; 0 never."""

    trim: float = 0.025
    """At the end, Gaussians are dropped that fill (Σ α·T) less than this part of a fair share of every training picture; 0: none."""

    # Labels, after the pictures
    label_views: int = 48
    """Training views whose label maps are looked at; 0: no labels."""
    label_steps: int = 100
    """Steps of cross-entropy after the vote."""
    lr_labels: float = 0.1
    """Of label logits (Adam)."""

    # Course
    coarse_until: int = 1800
    """Half resolution up to this step."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints."""
    log_every: int = 20
    eval_every: int = 0
    """Steps between held-out evaluations in the log; 0: ten over the run."""
    eval_frames: int = 12
    antialiased: bool = True
    """The rasterizer's antialiased mode.  Held-out frames gain 1.3 dB on the synthetic subject and 0.1 dB in every region of a real
    clip; a semi-synthetic capture, which was drawn without it, loses 0.5 dB (with a low-pass of 0.3 px²; 0.1 px² is better by as much again
    on the subject)."""

    def __post_init__(self) -> None:
        rates = {name: (0.0, FASTEST) for name in vars(self) if name.startswith("lr_")}
        for name, (low, high) in {**LIMITS, **rates}.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:  # also what is not a number
                raise ConfigError(f"setting '{name}' is {value:g}; expected {low:g} to {high:g}")
        if len(self.background) != 3 or not all(0.0 <= value <= 1.0 for value in self.background):
            raise ConfigError(f"setting 'background' is {list(self.background)}; expected three numbers from 0 to 1")

    def seen_from(self, several_sides: bool) -> ReconConfig:
        """What holds for a capture where some timestep is seen by two cameras, or none is."""
        if several_sides:
            return replace(self, line_of_sight=0.0, least_gradient=0.0, depth_spread=0.0, aside=0.0, in_gamut=False)
        return replace(
            self,
            scale=max(self.scale, self.scale_alone),
            colour_prior=max(self.colour_prior, self.colour_prior_alone),
            correctives_from=min(self.correctives_from, self.correctives_from_alone if self.correctives else MANY),
        )
