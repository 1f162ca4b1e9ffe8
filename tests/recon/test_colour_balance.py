"""Cameras of other colours: the gains are found, taken out of training pictures, kept with the avatar, and used where it is scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarkit.errors import FileFormatError
from avatarkit.evaluate.evaluation import avatar_predictor, evaluate_split
from avatarkit.events import Run, collect
from avatarkit.gaussians.avatar_file import load_avatar, save_avatar
from avatarkit.gaussians.camera_gains import own_gains, tinted
from avatarkit.recon.colour_balance import LEAST, camera_gains, solved
from avatarkit.recon.job import Job, make_avatar
from avatarkit.recon.loop import reconstruct
from avatarkit.recon.views import Views
from avatarkit.testing.exporters import small_avatar
from avatarkit.track.sequence import Sequence
from avatarkit.types import FloatArray

from .conftest import Parts

GAINS = np.array([[0.8, 0.9, 0.85], [1.1, 1.0, 1.05], [1.0, 0.95, 1.15]])


def painted(sequence: Sequence, gains: FloatArray) -> Sequence:
    """``sequence`` as cameras with these gains (C, 3) would have taken it: the person in other colours, before the same white."""
    capture = sequence.capture

    def image(index: int) -> np.ndarray:
        mask = capture.mask(index)
        assert mask is not None
        through = 1.0 - mask[..., None].astype(np.float64) / 255.0
        whole = capture.composited(index, np.ones(3)).astype(np.float64)
        person = (whole - through) * gains[capture.frames[index].camera]
        return np.rint((person + through).clip(0.0, 1.0) * 255.0).astype(np.uint8)

    return replace(sequence, capture=replace(capture, image=image, backdrop=np.ones(3)))


def relative(gains: FloatArray) -> FloatArray:
    return np.asarray(gains / np.exp(np.log(gains).mean(0)))


def test_exact_gains_are_found_in_spite_of_highlights() -> None:
    random = np.random.default_rng(0)
    albedo, gains = random.uniform(0.2, 0.7, (400, 3)), relative(np.exp(random.normal(0.0, 0.1, (5, 3))))
    colours = gains[:, None] * albedo
    counts = random.integers(0, 40, (5, 400)).astype(float)
    np.testing.assert_allclose(solved(colours, counts), gains, atol=1e-6)
    shining = random.random((5, 400)) < 0.1
    np.testing.assert_allclose(solved(colours + 0.5 * shining[..., None], counts), gains, atol=0.02)
    counts[3] = 0.0  # a camera that shares nothing is as it is
    assert (solved(colours, counts)[3] == 1.0).all()
    assert (solved(colours, np.zeros((5, 400))) == 1.0).all()


def test_a_camera_that_is_dark_is_left_alone_and_spoils_no_other() -> None:
    random = np.random.default_rng(1)
    albedo, gains = random.uniform(0.2, 0.7, (200, 3)), np.exp(random.normal(0.0, 0.1, (4, 3)))
    colours, counts = gains[:, None] * albedo, np.full((4, 200), 20.0)
    colours[2] = 0.0  # its cap was on
    found = solved(colours, counts)
    others = [0, 1, 3]
    assert (found[2] == 1.0).all()
    np.testing.assert_allclose(found[others], relative(gains[others]), atol=1e-6)
    np.testing.assert_allclose(solved(colours[[0, 1, 2]], counts[:3])[:2], relative(gains[:2]), atol=1e-6)


def test_cameras_that_agree_are_left_alone(parts: Parts) -> None:
    assert camera_gains(parts.sequence, parts.head) == {}


def test_gains_of_a_rig_are_found(parts: Parts) -> None:
    found = camera_gains(painted(parts.sequence, GAINS), parts.head)
    trained = sorted({parts.sequence.capture.frames[i].camera for i in parts.sequence.capture.indices("train")})
    assert sorted(found) == trained and len(trained) >= 2
    expected = relative(GAINS[trained])
    np.testing.assert_allclose(np.stack([found[camera] for camera in trained]), expected, atol=LEAST)


def test_views_divide_the_person_and_leave_the_background(parts: Parts) -> None:
    sequence = painted(parts.sequence, GAINS)
    train = sequence.capture.indices("train")
    gains = dict(enumerate(GAINS))
    plain, divided = (
        Views(each, train, (1.0, 1.0, 1.0), through=True, gains=given)
        for each, given in ((parts.sequence, None), (sequence, gains))
    )
    for position in (0, len(train) - 1):
        for half in (False, True):
            one, other = plain.view(position, half), divided.view(position, half)
            unclipped = one.target < 0.8  # brighter ones were cut off at white
            torch.testing.assert_close(other.target[unclipped], one.target[unclipped], atol=4 / 255, rtol=0)
            assert torch.equal(one.through, other.through)  # type: ignore[arg-type]


def test_a_tinted_gaussian_has_its_colour_times_the_gain() -> None:
    from avatarkit.render.sh import sh_colours

    avatar, _ = small_avatar()
    gaussians = avatar.gaussians.detach()
    gain = np.array([0.5, 1.0, 1.5])
    directions = torch.nn.functional.normalize(torch.randn(len(gaussians), 3), dim=1)
    before = sh_colours(gaussians.sh, directions, gaussians.sh_degree)
    after = sh_colours(tinted(gaussians, gain).sh, directions, gaussians.sh_degree)
    torch.testing.assert_close(after, before * torch.tensor(gain).float(), atol=1e-5, rtol=1e-4)


def test_an_avatar_keeps_the_gains_and_is_scored_in_each_cameras_colours(parts: Parts, tmp_path: Path) -> None:
    sequence = painted(parts.sequence, GAINS)
    config = parts.config(iterations=60, densify_every=0, tune_head=False, eval_every=0)
    run, events = collect()
    state = reconstruct(sequence, parts.head, config, run, parts.rasterizer)
    assert sum("the cameras' colours differ by up to" in getattr(event, "text", "") for event in events) == 1
    avatar = make_avatar(state, sequence, parts.head, Job([tmp_path], tmp_path / "a.avatar", config), config, Run())
    save_avatar(avatar, tmp_path / "a.avatar")
    kept = own_gains(load_avatar(tmp_path / "a.avatar"))
    assert set(kept) == {sequence.capture.cameras[camera].name for camera in state.gains} and len(kept) == 2
    found = {}
    for name, gains in (("own", kept), ("none", {})):
        predict: Any = avatar_predictor(avatar, sequence, avatar.motion, parts.head, parts.rasterizer, gains)
        result = evaluate_split(predict, sequence, parts.head, "train", np.ones(3, np.float32), masked=True)
        found[name] = np.mean([row["masked"]["psnr"] for row in result["rows"]])
    assert found["own"] > found["none"] + 1.5, found
    unbalanced = parts.config(run_iterations=2, colour_balance=False, eval_every=0)
    assert reconstruct(sequence, parts.head, unbalanced, Run(), parts.rasterizer).gains == {}


@pytest.mark.parametrize(
    "stored", [{"00": [1.0, 1.0]}, {"00": [1.0, 0.0, 1.0]}, {"00": "x"}, 3, {"00": [1, 1, float("nan")]}]
)
def test_damaged_gains_are_named(stored: object) -> None:
    avatar, _ = small_avatar()
    with pytest.raises(FileFormatError, match="'camera_gains' are not three positive numbers"):
        own_gains(replace(avatar, meta={"camera_gains": stored}))
