"""What every process of tests/recon/test_ranks.py does: short reconstructions together, whose states are written down by each.

python -m torch.distributed.run --nproc-per-node 2 tests/recon/ranked.py CAPTURE FOLDER
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from avatarkit.events import Event, Notice, Progress, Run
from avatarkit.head.loading import load_head
from avatarkit.recon import checkpoint, loop
from avatarkit.recon.loop import reconstruct
from avatarkit.recon.ranks import Ranks, joined
from avatarkit.render.cpu import CpuRasterizer
from avatarkit.track.sequence_files import load_sequence
from tests.recon.conftest import Parts

BROKEN = (2, 5)  # training pictures of process 1 that are NaN


class Broken:
    """The CPU rasterizer, whose pictures are NaN at some calls."""

    name = "cpu"

    def __init__(self, inner: CpuRasterizer) -> None:
        self.inner, self.count = inner, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def render(self, *arguments: Any, **options: Any) -> Any:
        drawn = self.inner.render(*arguments, **options)
        if not torch.is_grad_enabled():
            return drawn
        self.count += 1
        return dataclasses.replace(drawn, features=drawn.features * float("nan")) if self.count - 1 in BROKEN else drawn


def main(capture: Path, folder: Path) -> None:
    ranks = joined(lambda: "any")
    head = load_head("bust")
    parts = Parts(load_sequence(capture, head, cache_dir=folder / f"frames{ranks.rank}"), head, CpuRasterizer())
    train = Training(parts, folder, ranks)
    train("two", batch=2)
    train("three", batch=3, correctives=0)
    train("resumed", batch=2, stop=lambda step: ranks.rank == 1 and step == 13)  # asked on one process only
    train("resumed", batch=2, resume=True)
    train(
        "broken",
        batch=2,
        run_iterations=8,
        rasterizer=Broken(parts.rasterizer) if ranks.rank == 1 else parts.rasterizer,
    )
    train("minutes", batch=2, minutes=0.5, stop=lambda step: step == 2)
    if ranks.rank == 1:
        drift(train)
    train("drifted", batch=2)
    ranks.leave()


class Training:
    """Reconstructions by name; NAME-RANK.json has what was said, NAME-RANK/ the state as a checkpoint."""

    def __init__(self, parts: Parts, folder: Path, ranks: Ranks) -> None:
        self.parts, self.folder, self.ranks = parts, folder, ranks

    def __call__(
        self, name: str, *, stop: Callable[[int], bool] = lambda step: False, resume: bool = False, rasterizer: Any = None,
        **changes: Any,
    ) -> None:  # fmt: skip
        run, said = Run(self.folder / name, seed=0), []

        def hear(event: Event) -> None:
            if isinstance(event, Notice):
                said.append(event.text)
            elif isinstance(event, Progress) and event.stage == "recon" and stop(event.step):
                run.stop()

        run.add_sink(hear)
        state = reconstruct(
            self.parts.sequence, self.parts.head, self.parts.config(log_every=1, **changes), run,
            rasterizer or self.parts.rasterizer, resume=resume, ranks=self.ranks,
        )  # fmt: skip
        own = f"{name}-{self.ranks.rank}"
        checkpoint.save(state, Run(self.folder / own))
        (self.folder / f"{own}.json").write_text(json.dumps({"said": said, "stopping": run.stopping}))


def drift(train: Training) -> None:
    """Process 1 densifies otherwise than process 0 from now on, as a processor that rounds otherwise might."""
    honest = loop.densify

    def other(state: Any, *arguments: Any) -> None:
        honest(state, *arguments)
        with torch.no_grad():
            state.gaussians.means.mul_(1.0 + 1e-6)

    loop.densify = other


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
