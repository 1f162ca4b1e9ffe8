"""``contracts.Tracker``: MediaPipe detects, the core fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from avatarkit.capture.capture import Capture
from avatarkit.capture.crop import Located
from avatarkit.contracts import FaceLandmarks, HeadModel
from avatarkit.events import Run
from avatarkit.track.fit_priors import FitSettings
from avatarkit.track.landmark_tracking import Tracked, track_landmarks
from avatarkit.track.sequence import Sequence as TrackedSequence
from avatarkit_mediapipe.average_face import average_face
from avatarkit_mediapipe.detector import FaceDetector, model_file
from avatarkit_mediapipe.options import MediapipeConfig


class MediapipeTracker:
    """Tracks one person's face through a capture.  Raises MissingAsset when the model file is not registered."""

    def __init__(self, config: MediapipeConfig | None = None) -> None:
        self.config = config or MediapipeConfig()
        self._detector = FaceDetector(self.config.model, confidence=self.config.confidence, faces=self.config.faces)

    def track(
        self, capture: Capture, head: HeadModel, run: Run, initial: TrackedSequence | None = None
    ) -> TrackedSequence:
        """See ``contracts.Tracker.track``; ``initial`` gives cameras where the capture has none."""
        return self.tracked(capture, head, run, initial).sequence

    def tracked(self, capture: Capture, head: HeadModel, run: Run, initial: TrackedSequence | None = None) -> Tracked:
        """``track`` with the landmarks that it rests on, for trackers that start from it."""
        settings = FitSettings() if self.config.landmark_bias else FitSettings(offset_noise=0.0)
        canonical = average_face(model_file(self.config.model))
        return track_landmarks(self, capture, head, run, canonical=canonical, settings=settings, initial=initial)

    def detect(self, images: Sequence[Any]) -> list[FaceLandmarks | None]:
        return self._detector.detect(images)

    def follow(self, images: Sequence[Any]) -> Iterator[FaceLandmarks | None]:
        return self._detector.follow(images)

    def locate(self, images: Sequence[Any]) -> Located:
        """Face boxes for cropping a capture to the head."""
        return self._detector.locate(images)
