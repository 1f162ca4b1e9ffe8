"""A short reconstruction's parts, without the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from avatarkit.contracts import HeadModel
from avatarkit.recon.config import ReconConfig
from avatarkit.render.cpu import CpuRasterizer
from avatarkit.track.sequence import Sequence


@dataclass(frozen=True)
class Parts:
    """What ``reconstruct`` takes."""

    sequence: Sequence
    head: HeadModel
    rasterizer: CpuRasterizer

    def config(self, **changes: object) -> ReconConfig:
        """24 steps with density events after steps 4, 8, 12 and 16, head tuning every 4, half size for the first 5, correctives from 8."""
        settings: dict[str, object] = {
            "iterations": 24, "max_splats": 16600, "free_gaussians": 100, "densify_from": 4, "densify_until": 20,
            "densify_every": 4, "tune_every": 4, "coarse_until": 5, "log_every": 5, "eval_every": 12, "eval_frames": 2,
            "sh_degree": 1, "sh_every": 6, "tune_head": True, "checkpoint_every": 1e9, "label_views": 0, "correctives_from": 8,
        }  # fmt: skip
        return ReconConfig(**(settings | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def parts(tiny_capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    from avatarkit.head.loading import load_head
    from avatarkit.track.sequence_files import load_sequence

    head = load_head("bust")
    return Parts(load_sequence(tiny_capture, head, cache_dir=tmp_path_factory.mktemp("frames")), head, CpuRasterizer())
