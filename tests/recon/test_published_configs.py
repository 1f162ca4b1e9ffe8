"""The two published configs, value by value against what was published; and that each states all of it, so that a change of our own
defaults never moves them.

GaussianAvatars: Qian et al., CVPR 2024, section 4 and its released options (``arguments/__init__.py``, whose names stand beside the
values).  3DGS: Kerbl et al., SIGGRAPH 2023, of which it keeps the rest.  DynamicAvatars: equations 11, 12 and 16, section 4.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml

from avatarkit.config import config_folder, load_config
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.schedule import Schedule

# Setting, value, where it comes from.
BOTH = [
    ("iterations", 600_000, "iterations"),
    ("batch", 1, "train.py: one image a step"),
    ("background", (1.0, 1.0, 1.0), "--white_background"),
    ("random_background", 0.0, "train.py: one colour behind the head"),
    ("sh_degree", 3, "sh_degree"),
    ("sh_every", 1000, "train.py: every 1000 steps; 3DGS"),
    ("frames", "triangle", "section 3: the triangle's own frame"),
    ("gaussians_per_triangle", 1, "section 3: one Gaussian at the centre of each triangle"),
    ("first_bound", 0, "the same"),
    ("free_gaussians", 0, "every Gaussian is bound"),
    ("correctives", 0, "what carries a Gaussian is all that moves it"),
    ("tune_head", True, "not_finetune_flame_params = False"),
    ("tune_follow", False, "held-out timesteps keep what was tracked"),
    ("lr_expr", 1e-3, "flame_expr_lr"),
    ("lr_pose", 1e-5, "flame_pose_lr: rotation, neck"),
    ("lr_joints", 1e-5, "flame_pose_lr: jaw, eyes"),
    ("lr_translation", 1e-6, "flame_trans_lr"),
    ("lr_shape", 0.0, "shape is not tuned"),
    ("lr_offset", 0.0, "nor is the static offset"),
    ("lr_head_final", 1.0, "rates of the head are constant"),
    ("density", "threshold", "3DGS: clone and split above a gradient"),
    ("densify_from", 10_000, "densify_from_iter"),
    ("densify_until", 600_000, "densify_until_iter"),
    ("densify_gradient", 2e-4, "densify_grad_threshold; 3DGS"),
    ("prune_opacity", 0.005, "train.py: densify_and_prune; 3DGS"),
    ("coarse_until", 0, "full resolution from the start"),
    ("antialiased", False, "diff-gaussian-rasterization"),
    ("smooth", 0.0, "no prior over time"),
    ("trim", 0.0, "all that is left at the end is kept"),
    ("colour_balance", False, "pictures as the cameras took them"),
]  # fmt: skip
OURS_ALONE = (
    "line_of_sight",
    "colour_prior",
    "scale_alone",
    "colour_prior_alone",
    "least_gradient",
    "depth_spread",
    "aside",
    "in_gamut",
)
BASELINE = [
    ("l1", 0.8, "1 - lambda_dssim"),
    ("dssim", 0.2, "lambda_dssim"),
    ("position", 0.01, "lambda_xyz"),
    ("position_threshold", 1.0, "threshold_xyz"),
    ("scale", 1.0, "lambda_scale"),
    ("scale_threshold", 0.6, "threshold_scale"),
    ("l2", 0.0, ""), ("perceptual", 0.0, ""), ("label_l2", 0.0, ""), ("label_perceptual", 0.0, ""),
    ("lr_means", 5e-3, "position_lr_init"),
    ("lr_means_final", 5e-5, "position_lr_final"),
    ("lr_colour", 2.5e-3, "feature_lr; 3DGS"),
    ("lr_colour_final", 2.5e-3, "constant"),
    ("lr_sh", 1.25e-4, "feature_lr / 20; 3DGS"),
    ("lr_sh_final", 1.25e-4, "constant"),
    ("lr_opacity", 0.05, "opacity_lr; 3DGS"),
    ("lr_opacity_final", 0.05, "constant"),
    ("lr_scales", 0.017, "scaling_lr"),
    ("lr_scales_final", 0.017, "constant"),
    ("lr_quats", 1e-3, "rotation_lr; 3DGS"),
    ("lr_quats_final", 1e-3, "constant"),
    ("densify_every", 2000, "densification_interval"),
    ("reset_every", 60_000, "opacity_reset_interval"),
]  # fmt: skip
LAMBDA = 0.9
PAPER = [
    ("l1", 0.0, ""), ("dssim", 0.0, ""), ("position", 0.0, ""), ("scale", 0.0, ""),
    ("l2", LAMBDA * LAMBDA, "equation 11 in equation 16"),
    ("perceptual", LAMBDA * (1 - LAMBDA), "equation 11 in equation 16"),
    ("label_l2", (1 - LAMBDA) * LAMBDA, "equation 12 in equation 16"),
    ("label_perceptual", (1 - LAMBDA) * (1 - LAMBDA), "equation 12 in equation 16"),
    *((f"lr_{name}", 1e-2, "section 4: Adam, 1e-2 at the beginning")
      for name in ("means", "quats", "scales", "opacity", "colour", "sh")),
    *((f"lr_{name}_final", 1e-5, "section 4: decreases to 1e-5")
      for name in ("means", "quats", "scales", "opacity", "colour", "sh")),
    ("densify_every", 2048, "section 4: every 2048 iterations"),
    ("reset_every", 0, "it says nothing of resets"),
]  # fmt: skip
CASES = [("gaussianavatars", *row) for row in BOTH + BASELINE] + [("dynamicavatars", *row) for row in BOTH + PAPER]


@pytest.mark.parametrize(("name", "setting", "value", "source"), CASES, ids=lambda value: str(value).replace("/", "÷"))
def test_a_setting_is_what_was_published(name: str, setting: str, value: Any, source: str) -> None:
    found = getattr(load_config(ReconConfig, name), setting)
    assert found == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), source


@pytest.mark.parametrize("name", ["gaussianavatars", "dynamicavatars"])
def test_our_own_losses_and_priors_are_off(name: str) -> None:
    config = load_config(ReconConfig, name)
    assert {setting: getattr(config, setting) for setting in OURS_ALONE} == dict.fromkeys(OURS_ALONE, 0.0)


# What changes no picture of such a run: its length and logs, labels after the pictures, and settings of what is off.
COURSE = {"run_iterations", "minutes", "seed", "checkpoint_every", "log_every", "eval_every", "eval_frames"}
LABELS = {"label_views", "label_steps", "lr_labels"}
OFF = {
    "free_voxel",
    "line_of_sight_every",
    "aside_every",
    "perceptual_net",
    "correctives_from",
    "correctives_from_alone",
    "tint",
}
OFF |= {f"lr_correctives{part}{end}" for part in ("", "_free", "_colour") for end in ("", "_final")}


@pytest.mark.parametrize("name", ["gaussianavatars", "dynamicavatars"])
def test_nothing_that_was_published_is_left_to_our_defaults(name: str) -> None:
    stated = set(yaml.safe_load((config_folder() / f"{name}.yaml").read_text(encoding="utf-8")))
    settings = {field.name for field in dataclasses.fields(ReconConfig)}
    assert settings - stated - COURSE - LABELS <= OFF
    assert "perceptual_net" in stated or name == "gaussianavatars"
    asserted = {row[1] for row in CASES if row[0] == name} | {*OURS_ALONE, "perceptual_net"}
    # ours where nothing is published: how often the head is tuned, the largest number, what is cloned and what is split
    ours = {"tune_every", "max_splats", "clone_size"} | ({"position_threshold", "scale_threshold"} - asserted)
    assert stated - asserted == ours


# What the settings make of a run; steps count from 1, as published.


def test_the_baseline_at_full_length() -> None:
    schedule = Schedule(load_config(ReconConfig, "gaussianavatars"), 600_000)
    first, middle, last = (schedule.gaussian_rates(step) for step in (0, 300_000, 599_999))
    constant = {"quats": 1e-3, "log_scales": 0.017, "opacity_logits": 0.05, "sh_dc": 0.0025, "sh_rest": 0.000125}
    assert first == pytest.approx({"means": 5e-3, **constant}) and last == pytest.approx({"means": 5e-5, **constant})
    assert middle == pytest.approx({"means": 5e-4, **constant}, rel=1e-5)  # half way in the logarithm
    assert schedule.head_factor(0) == schedule.head_factor(599_999) == 1.0
    assert [schedule.sh_degree(step) for step in (999, 1000, 1999, 2000, 3000, 599_999)] == [0, 1, 1, 2, 3, 3]
    densified = [step + 1 for step in range(600_000) if schedule.densifies(step)]
    assert densified == list(range(10_000, 600_000, 2000))  # never after the last step: what is new has to be trained
    assert [step + 1 for step in range(600_000) if schedule.resets(step)] == list(range(60_000, 600_000, 60_000))


def test_the_paper_at_full_length() -> None:
    schedule = Schedule(load_config(ReconConfig, "dynamicavatars"), 600_000)
    names = ("means", "quats", "log_scales", "opacity_logits", "sh_dc", "sh_rest")
    assert schedule.gaussian_rates(0) == pytest.approx(dict.fromkeys(names, 1e-2))
    assert schedule.gaussian_rates(599_999) == pytest.approx(dict.fromkeys(names, 1e-5))
    densified = [step + 1 for step in range(600_000) if schedule.densifies(step)]
    assert densified == list(range(5 * 2048, 600_000, 2048))
    assert not any(schedule.resets(step) for step in range(0, 600_000, 1))


@pytest.mark.parametrize("name", ["gaussianavatars", "dynamicavatars"])
def test_a_hundredth_of_the_length_is_the_same_in_proportion(name: str) -> None:
    whole, short = (Schedule(load_config(ReconConfig, name), total) for total in (600_000, 6000))
    assert short.gaussian_rates(5999) == pytest.approx(whole.gaussian_rates(599_999))
    assert short.gaussian_rates(3000)["means"] == pytest.approx(whole.gaussian_rates(300_000)["means"], rel=1e-2)
    densified = [step + 1 for step in range(6000) if short.densifies(step)]
    every = whole.config.densify_every
    assert densified == [-(-place // 100) for place in range(5 * every, 600_000, every)], (
        "the first that has done so much"
    )
    assert [short.sh_degree(step) for step in (9, 10, 20, 30)] == [0, 1, 2, 3]
    resets = [step + 1 for step in range(6000) if short.resets(step)]
    assert resets == (list(range(600, 6000, 600)) if name == "gaussianavatars" else [])
