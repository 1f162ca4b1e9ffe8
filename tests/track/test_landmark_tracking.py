"""From a detector to a sequence, with a detector whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatarkit.capture.capture import CaptureCamera, Crop
from avatarkit.contracts import FaceLandmarks
from avatarkit.errors import InputError
from avatarkit.events import Notice, Run, collect
from avatarkit.track.landmark_tracking import observe, track_landmarks, unknown_lens

from .conftest import Truth, make_capture


class Scripted:
    """Answers with the landmarks of a known clip; ``lost`` frames have none, ``crowd`` frames have two people."""

    def __init__(self, truth: Truth, lost: Sequence[int] = (), crowd: Sequence[int] = (), scale: float = 1.0) -> None:
        self.truth, self.lost, self.crowd, self.scale = truth, lost, crowd, scale

    def detect(self, images: Sequence[Any]) -> list[FaceLandmarks | None]:
        found: list[FaceLandmarks | None] = []
        observed = self.truth.observed
        for step, image in enumerate(images):
            assert image.dtype == np.uint8
            if step in self.lost or not observed.valid[step, 0]:
                found.append(None)
                continue
            points = np.concatenate([observed.points[step, 0] * self.scale, np.zeros((478, 1), np.float32)], 1)
            scores = dict(zip(observed.score_names, observed.scores[step].tolist(), strict=True))
            found.append(FaceLandmarks(points, scores, 2 if step in self.crowd else 1, 0.9))
        return found


def clip(truth: Truth) -> Any:
    return make_capture(len(truth.observed), size=512)


def notices(events: list[Any]) -> list[Notice]:
    return [event for event in events if isinstance(event, Notice)]


def test_a_clip_becomes_a_sequence_with_a_picture(truth: Truth, tmp_path: Path) -> None:
    run, events = Run(tmp_path), []
    run.add_sink(events.append)
    tracked = track_landmarks(Scripted(truth), clip(truth), truth.head, run)
    assert len(tracked.sequence.params) == len(truth.observed)
    assert tracked.sequence.head == truth.head.reference
    assert tracked.fit.summary()["median_px"] < 0.7
    with Image.open(tmp_path / "tracking.png") as sheet:
        assert sheet.width >= 1024 and np.asarray(sheet).std() > 10
    assert all(notice.level == "info" for notice in notices(events))


def test_no_face_anywhere_is_an_error_in_words(truth: Truth) -> None:
    with pytest.raises(InputError, match="no face was found in any of 50 frames"):
        observe(Scripted(truth, lost=range(50)), clip(truth), Run())


def test_faces_lost_for_half_a_clip_are_an_error_or_a_warning(truth: Truth) -> None:
    detector = Scripted(truth, lost=range(20, 48))
    with pytest.raises(InputError, match=r"no face was found in .. of 50 .*00020 to 00047.*; cut the clip .*--anyway"):
        observe(detector, clip(truth), Run())
    run, events = collect()
    run.anyway = True
    observed = observe(detector, clip(truth), run)
    warning = [notice.text for notice in notices(events) if notice.level == "warning"]
    assert len(warning) == 1 and "00020 to 00047" in warning[0]
    assert not observed.valid[20:48].any() and np.isnan(observed.scores[25]).all()


def test_two_people_are_an_error_or_a_warning(truth: Truth) -> None:
    detector = Scripted(truth, crowd=range(5, 9))
    with pytest.raises(InputError, match=r"4 of 50 frames .* several people.*; cut the clip to one person, .*--anyway"):
        observe(detector, clip(truth), Run())
    run, events = collect()
    run.anyway = True
    observe(detector, clip(truth), run)
    assert [notice.level for notice in notices(events) if "several people" in notice.text] == ["warning"]
    run, events = collect()
    observe(Scripted(truth, crowd=range(5, 7)), clip(truth), run)  # a passer-by
    assert not any("several people" in notice.text for notice in notices(events))


def test_the_lens_looks_through_the_middle_of_the_source_wherever_the_crop_is() -> None:
    crop = Crop(400, 100, 1024, 1024, 2.0, (1920, 1080))
    K = unknown_lens(CaptureCamera("a", 512, 512, crop=crop))
    assert K[0, 2] == (960 - 400) / 2 and K[1, 2] == (540 - 100) / 2
    assert unknown_lens(CaptureCamera("a", 640, 480))[:2, 2].tolist() == [320, 240]


def test_known_intrinsics_are_kept(truth: Truth) -> None:
    capture = clip(truth)
    camera = replace(capture.cameras[0], K=truth.Ks[0])
    tracked = track_landmarks(Scripted(truth), replace(capture, cameras=(camera,)), truth.head, Run())
    np.testing.assert_allclose(tracked.sequence.Ks[0].numpy(), truth.Ks[0])
    depth = tracked.sequence.params.translation[:, 2] - truth.params.translation[:, 2]
    assert abs(float(depth.median())) < 0.1


def test_clips_are_kept_apart_in_time(truth: Truth) -> None:
    capture = clip(truth)
    frames = tuple(replace(f, camera=int(f.timestep >= 25), time=(f.timestep % 25) / 30) for f in capture.frames)
    two = replace(capture, cameras=capture.cameras * 2, frames=frames)
    observed = observe(Scripted(truth), two, Run())
    gaps = np.diff(observed.times)
    assert (gaps > 0).all() and gaps[24] > 5 and np.allclose(np.delete(gaps, 24), 1 / 30)
