"""The whole job at once: a capture (made here, or a person's own video), an avatar, figures, a driven film, a report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from avatarkit.capture.video import MAX_FRAMES
from avatarkit.config import load_config
from avatarkit.drive.filming import film
from avatarkit.events import Finished, Progress, Run, Started
from avatarkit.gaussians.avatar_file import load_avatar
from avatarkit.gaussians.head_of import head_of
from avatarkit.pictures.film import write_film
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.job import Job, run_job
from avatarkit.registry import registry
from avatarkit.render.hosted import hosted
from avatarkit.track.motion import at_own_pace

CAMERAS, TIMESTEPS, SIDE = 8, 36, 256
SAMPLES = 5  # squared, a pixel: with 3 strands of hair are off by 37 dB from what a camera sees, with 5 by some 43
MINUTES, CLIP_MINUTES = 2.5, 1.5  # a clip is tracked and matted in the rest of five minutes


def run_demo(
    folder: Path, run: Run, *, clip: Path | None = None, minutes: float | None = None, seed: int = 0,
    max_frames: int = MAX_FRAMES,
) -> dict[str, Any]:  # fmt: skip
    """Everything into ``folder``; returns the summary of the reconstruction with the film's path.

    Without ``clip`` a synthetic subject is drawn first: 8 cameras, 36 timesteps, 256².  ``max_frames``: of the clip, at most.
    """
    source = clip if clip is not None else make_synthetic(folder / "capture", run, seed)
    minutes = minutes or (MINUTES if clip is None else CLIP_MINUTES)
    config = load_config(ReconConfig, "recon", {"minutes": str(minutes), "seed": str(seed)})
    job = Job([source], folder / "demo.avatar", config, max_frames=max_frames)
    run.folder = job.folder
    summary = run_job(job, run)
    if run.stopping:
        return summary
    avatar = load_avatar(job.output)
    head = head_of(avatar.head)
    rasterizer = hosted(registry().create("rasterizer", registry().default("rasterizer")))
    path = folder / "driven.mp4"
    began = time.monotonic()
    rate = 25.0 if clip else 12.0
    motion = at_own_pace(avatar, rate)
    run.emit(Started("driving", len(motion), "frame"))
    frames = film(avatar, head, rasterizer, motion, run, camera="capture" if clip else "sway")
    write_film(path, frames, rate)
    run.emit(Finished("driving", time.monotonic() - began))
    return summary | {"film": str(path)}


def make_synthetic(folder: Path, run: Run, seed: int) -> Path:
    """The synthetic capture, drawn once."""
    from avatarkit.synthetic.capture import make_capture

    if (folder / "transforms_train.json").is_file():
        return folder
    began = time.monotonic()
    run.emit(Started("drawing the synthetic subject", CAMERAS * TIMESTEPS, "picture"))
    tick = lambda done, total: run.emit(Progress("drawing the synthetic subject", done, total))  # noqa: E731
    make_capture(
        folder, cameras=CAMERAS, timesteps=TIMESTEPS, width=SIDE, height=SIDE, seed=seed, samples=SAMPLES, progress=tick
    )
    run.emit(Finished("drawing the synthetic subject", time.monotonic() - began))
    return folder
