"""A second of real video through the whole tracker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from avatarkit_mediapipe.options import MediapipeConfig
from avatarkit_mediapipe.tracker import MediapipeTracker

from avatarkit.capture.reading import read_capture
from avatarkit.events import Finished, collect
from avatarkit.head.loading import load_head

from .test_detector import model  # noqa: F401


def test_a_real_clip_is_tracked_to_about_a_pixel(model: Path, tmp_path: Path) -> None:  # noqa: F811
    part = MediapipeTracker(MediapipeConfig(model=str(model)))
    clip = model.parents[1] / "video" / "man_plain_background.mp4"
    capture = read_capture(clip, every=6, cache_dir=tmp_path, locate=part.locate)
    head, (run, events) = load_head("bust"), collect()
    sequence = part.track(capture, head, run)
    assert len(sequence.params) == capture.num_timesteps and sequence.head == head.reference
    values = next(event.values for event in events if isinstance(event, Finished) and event.stage == "track")
    assert values["median_px"] < 1.5 and values["lips_median_px"] < 1.5 and values["eyes_median_px"] < 1.2
    jaw = sequence.params.expr[:, head.expr_names.index("jawOpen")].numpy()
    assert jaw.max() > 0.5 and jaw.min() < 0.15  # he opens his mouth wide, and closes it
    assert np.abs(sequence.params.translation[:, 2].numpy() + 0.8).max() < 0.4


def test_the_entry_module_is_light() -> None:
    code = "import sys, avatarkit_mediapipe.provider as p; list(p.avatarkit_trackers()); print([m for m in ('torch', 'mediapipe', 'numpy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
