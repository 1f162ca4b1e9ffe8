"""Corrections of known timesteps are foretold for the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from avatarkit.head.parameters import HeadParams
from avatarkit.recon.following import followed
from avatarkit.recon.loop import clips_of


def clip(steps: int = 60) -> HeadParams:
    """A mouth that opens and closes three times, and a head that turns once."""
    time = torch.arange(steps) / steps
    params = HeadParams.zeros(steps, 4, 3)
    params.expr[:, 0] = 0.5 - 0.5 * torch.cos(6 * torch.pi * time)
    params.neck_pose[:, 1] = 0.3 * torch.sin(2 * torch.pi * time)
    return params


def biased(tracked: HeadParams) -> HeadParams:
    """What tuning would find if the tracker brought a head closer by 3 cm whenever the mouth opens."""
    return replace(
        tracked, translation=tracked.translation - 0.03 * tracked.expr[:, :1] * torch.tensor([0.0, 0.0, 1.0])
    )


def test_a_bias_is_mended_in_timesteps_that_were_never_tuned() -> None:
    tracked = clip()
    truth = biased(tracked)
    known = torch.ones(60, dtype=torch.bool)
    known[4:50:10] = False  # single frames between known ones, and the end of the clip, as videos are held out
    known[50:] = False
    tuned = replace(tracked, translation=torch.where(known[:, None], truth.translation, tracked.translation))
    found = followed(tracked, tuned, known)
    before = (tuned.translation - truth.translation)[~known].norm(dim=1)
    after = (found.translation - truth.translation)[~known].norm(dim=1)
    assert before.max() > 0.02
    assert after.mean() < 0.25 * before.mean()
    assert torch.equal(found.translation[known], tuned.translation[known])


def test_what_was_not_tuned_stays_as_it_was_tracked() -> None:
    tracked = clip()
    known = torch.arange(60) % 10 != 9
    tuned = replace(tracked, translation=torch.where(known[:, None], tracked.translation + 0.01, tracked.translation))
    found = followed(tracked, tuned, known)
    for name in ("expr", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "shape"):
        assert torch.equal(getattr(found, name), getattr(tracked, name)), name
    torch.testing.assert_close(found.translation[~known], tracked.translation[~known] + 0.01, atol=1e-3, rtol=0)


def test_pure_noise_is_not_passed_on() -> None:
    """Corrections that neither repeat nor last would only shake the held-out frames."""
    tracked = clip()
    known = torch.arange(60) % 10 != 9
    noise = 0.01 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    found = followed(tracked, replace(tracked, translation=tracked.translation + noise * known[:, None]), known)
    assert found.translation[~known].std() < 0.8 * 0.01


def test_nothing_to_learn_from_or_nothing_to_follow() -> None:
    tracked = clip()
    tuned = biased(tracked)
    for known in (torch.zeros(60, dtype=torch.bool), torch.ones(60, dtype=torch.bool)):
        assert followed(tracked, tuned, known) is tuned


def test_the_end_of_a_clip_does_not_follow_the_beginning_of_the_next() -> None:
    """Two clips of a still face with opposite biases; the last tenth of each is held out."""
    tracked = HeadParams.zeros(60, 4, 3)
    clips = torch.arange(60) // 30
    bias = torch.tensor([0.02, -0.02])[clips]
    known = torch.arange(60) % 30 < 27
    moved = torch.where(known[:, None], bias[:, None] * torch.tensor([0.0, 0.0, 1.0]), 0.0)
    tuned = replace(tracked, translation=moved)
    apart, mixed = followed(tracked, tuned, known, clips), followed(tracked, tuned, known)
    first_end = apart.translation[27:30, 2]
    assert first_end[0] > 0.005 and (first_end > -1e-4).all(), "nothing of the second clip"
    torch.testing.assert_close(apart.translation[57:, 2], -first_end, atol=1e-6, rtol=0)
    assert mixed.translation[29, 2] < -0.005


def test_clips_are_cameras_that_share_no_timestep(parts: Any) -> None:
    sequence = parts.sequence
    assert clips_of(sequence) is None, "three cameras look on at once"
    capture = sequence.capture
    first = {frame.timestep: replace(frame, camera=frame.timestep // 4) for frame in capture.frames}
    filmed = replace(sequence, capture=replace(capture, frames=tuple(first.values())))
    assert clips_of(filmed).tolist() == [0, 0, 0, 0, 1, 1]
