"""What repeats with the pose and no mesh says is learnt, and drawn in poses that were not trained on."""

from __future__ import annotations

from dataclasses import replace

import torch

from avatarkit.events import Run
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.loop import reconstruct, weights_of
from avatarkit.recon.step import TrainState
from avatarkit.track.sequence import Sequence

from .conftest import Parts

STEPS = 240


def misled(sequence: Sequence) -> Sequence:
    """A tracker that takes the head for 12 mm too far to the side as far as its first principal movement goes."""
    weigh = weights_of(sequence, ReconConfig(correctives=1))
    assert weigh is not None
    astray = weigh(sequence.params) * torch.tensor([0.012, 0.0, 0.0])
    return replace(sequence, params=replace(sequence.params, translation=sequence.params.translation + astray))


def trained(parts: Parts, sequence: Sequence, **changes: object) -> TrainState:
    config = parts.config(
        iterations=STEPS, tune_head=False, densify_every=0, correctives_from=40, eval_every=STEPS, eval_frames=6,
        coarse_until=0, sh_degree=0, **changes,
    )  # fmt: skip
    return reconstruct(sequence, parts.head, config, Run(), parts.rasterizer)


def test_what_a_tracker_does_wrong_in_the_same_way_is_made_up_for(parts: Parts) -> None:
    sequence = misled(parts.sequence)
    fast = {"lr_correctives": 0.05, "lr_correctives_final": 0.01, "lr_correctives_free": 0.1}
    with_them, without = trained(parts, sequence, **fast), trained(parts, sequence, correctives=0)
    gained = with_them.curve[-1]["val_psnr"] - without.curve[-1]["val_psnr"]
    assert gained > 0.4, gained
