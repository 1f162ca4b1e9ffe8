"""Figures against plain NumPy, on predictions whose error is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatarkit.evaluate.evaluation import evaluate_split, region_masks
from avatarkit.evaluate.regions import RegionFinder
from avatarkit.head.loading import load_head
from avatarkit.track.sequence_files import load_sequence
from avatarkit.types import Float32Array

WHITE = np.ones(3, np.float32)


def test_a_known_error_gives_its_decibels_everywhere(tiny_capture: Path, tmp_path: Path) -> None:
    head = load_head("bust")
    sequence = load_sequence(tiny_capture, head, cache_dir=tmp_path)
    finder = RegionFinder(head)

    def wrong_in_the_mouth(index: int) -> Float32Array:
        truth = sequence.capture.composited(index, WHITE).astype(np.float32)
        mouth = region_masks(finder, sequence, head, index)["mouth"]
        return np.asarray(truth + np.where(mouth[..., None], np.float32(0.1), np.float32(0.01)), np.float32)

    seen: list[int] = []
    result = evaluate_split(
        wrong_in_the_mouth, sequence, head, "test", WHITE, on_frame=lambda done, total: seen.append(total)
    )
    assert seen == [3, 3, 3] and [row["camera"] for row in result["rows"]] == ["00", "01", "02"]
    assert result["regions"]["mouth"]["psnr"] == pytest.approx(20.0, abs=1e-3)
    assert result["regions"]["eyes"]["psnr"] == pytest.approx(40.0, abs=1e-2)
    for row in result["rows"]:
        area = region_masks(finder, sequence, head, row["frame"])["mouth"].mean()
        assert row["psnr"] == pytest.approx(-10 * np.log10(area * 0.1**2 + (1 - area) * 0.01**2), abs=1e-3)


def test_the_mean_frame_is_that_of_the_same_camera(tiny_capture: Path, tmp_path: Path) -> None:
    head = load_head("bust")
    sequence = load_sequence(tiny_capture, head, cache_dir=tmp_path)
    capture = sequence.capture
    frames = tuple(replace(f, split="val" if f.camera == 1 else f.split) for f in capture.frames)
    sequence = replace(sequence, capture=replace(capture, frames=frames))  # the middle camera has no training frames
    result = evaluate_split(lambda index: np.zeros((80, 80, 3), np.float32), sequence, head, "test", WHITE)
    errors = []
    for camera in (0, 2):
        still = [i for i, f in enumerate(frames) if f.camera == camera and f.split == "train"]
        test = next(i for i, f in enumerate(frames) if f.camera == camera and f.split == "test")
        mean = np.mean([capture.composited(i, WHITE) for i in still], 0)
        errors.append(-10 * np.log10(((mean - capture.composited(test, WHITE)) ** 2).mean()))
    assert result["trivial"]["mean_frame"]["psnr"] == pytest.approx(np.mean(errors), abs=0.05)


def test_a_split_without_frames_is_empty_not_a_crash(tiny_capture: Path, tmp_path: Path) -> None:
    head = load_head("bust")
    sequence = load_sequence(tiny_capture, head, cache_dir=tmp_path)
    frames = tuple(replace(frame, split="train") for frame in sequence.capture.frames)
    sequence = replace(sequence, capture=replace(sequence.capture, frames=frames))
    result = evaluate_split(lambda index: np.zeros((80, 80, 3), np.float32), sequence, head, "val", WHITE)
    assert result["frames"] == 0 and result["psnr"] is None and result["rows"] == [] and result["trivial"] == {}
