"""The fit against a clip whose truth is known: half a pixel of noise, gaps, unknown lens and identity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatarkit.cameras import look_at
from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError
from avatarkit.events import Progress, collect
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.track.fit_priors import FitSettings, fill_gaps
from avatarkit.track.landmark_fit import LandmarkFit, continuous, fit_landmarks
from avatarkit.track.landmark_rig import rotations

from .conftest import DROPPED, FOCAL, Truth, degrees_between, make_truth, skull_turn


@pytest.fixture(scope="module")
def fit(truth: Truth) -> LandmarkFit:
    return fit_landmarks(truth.head, truth.observed, truth.Ks)


def seen_steps(truth: Truth) -> np.ndarray:
    return np.flatnonzero(truth.observed.valid[:, 0])


def test_head_rotation_is_recovered(truth: Truth, fit: LandmarkFit) -> None:
    error = degrees_between(skull_turn(fit.params), skull_turn(truth.params))
    assert error.max() < 1.0  # also where the face was not seen


def test_reprojection_is_near_the_truth_without_noise(truth: Truth, fit: LandmarkFit) -> None:
    error = np.linalg.norm(fit.fitted - truth.clean, axis=-1)[seen_steps(truth)]
    assert np.median(error) < 0.3
    assert np.median(fit.errors[np.isfinite(fit.errors)]) < 0.7
    assert fit.summary()["median_px"] < 0.7
    assert {"eyes_median_px", "lips_median_px", "irises_median_px"} <= set(fit.summary())


def test_expressions_follow(truth: Truth, fit: LandmarkFit) -> None:
    for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileRight", "browInnerUp"):
        column = truth.head.expr_names.index(name)
        known, found = truth.params.expr[:, column].numpy(), fit.params.expr[:, column].numpy()
        assert np.corrcoef(known, found)[0, 1] > 0.9, name
    assert float(fit.params.expr.min()) >= 0.0 and float(fit.params.expr.max()) <= 1.0


def test_missed_frames_are_filled_and_have_no_error(truth: Truth, fit: LandmarkFit) -> None:
    gaps = list(DROPPED)
    assert np.isnan(fit.errors[gaps]).all()
    assert np.median(np.linalg.norm(fit.fitted[gaps] - truth.clean[gaps], axis=-1)) < 4.0


def test_the_jaw_joint_which_modes_replace_stays_at_rest(fit: LandmarkFit) -> None:
    assert not fit.params.jaw_pose.any()


def test_eyes_that_look_forward_hardly_turn(fit: LandmarkFit) -> None:
    assert float(fit.params.eyes_pose.abs().mean()) < 0.03


def test_a_blink_is_not_smoothed_away(bust: HeadModel) -> None:
    truth = make_truth(bust, 40, moving=("jawOpen", "browInnerUp"), blinks=(20, 27))
    found = fit_landmarks(bust, truth.observed, truth.Ks).params.expr
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        column = bust.expr_names.index(name)
        assert (found[[20, 27], column] > 0.85).all() and float(found[[18, 23, 30], column].max()) < 0.2, found[
            15:33, column
        ]


@pytest.mark.parametrize("model", ["bust", "flame2023_open/flame2023_open_arkit.npz"])
def test_eyes_look_as_far_aside_as_they_do(model: str, test_data: Path) -> None:
    """Modes alone slide a pupil by a few millimetres: seven are found by the joints."""
    head = load_head(model if model == "bust" else str(test_data / model))
    truth = make_truth(head, 40, gaze=0.6)
    found = fit_landmarks(head, truth.observed, truth.Ks)
    seen = seen_steps(truth)
    irises = np.isin(truth.indices, (468, 473))
    error = np.linalg.norm(found.fitted - truth.clean, axis=-1)[seen][..., irises]
    assert np.median(error) < 0.6 and error.max() < 3.0
    name = "l_eye"
    joint = head.joint_names.index(name)
    eyeball = torch.nonzero(head.rig.weights[joint] > 0.5)[:, 0]  # type: ignore[attr-defined]
    pupil = eyeball[head.template[eyeball, 2].argmax()]

    def aside(params: HeadParams) -> np.ndarray:
        """(T,) metres of the pupil to the left of the eye's joint, in the skull's axes."""
        pose = head.pose(params)
        turn, place = pose.joints[:, head.parents[joint], :3, :3], pose.joints[:, joint, :3, 3]
        return np.asarray(torch.einsum("tab,ta->tb", turn, pose.vertices[:, pupil] - place)[seen, 0])

    wanted, got = aside(truth.params), aside(found.params)
    assert np.ptp(wanted) > 0.011 and np.abs(got - wanted).max() < 0.2 * np.ptp(wanted)


def test_focal_length_is_plausible_and_the_distance_goes_with_it(truth: Truth, fit: LandmarkFit) -> None:
    focal = float(fit.Ks[0, 0, 0])
    assert 0.6 * FOCAL < focal < 1.6 * FOCAL
    ratio = float(-fit.params.translation[:, 2].median()) / 0.85
    assert abs(ratio / (focal / FOCAL) - 1) < 0.15


def test_same_input_same_bits(truth: Truth) -> None:
    settings = FitSettings(iterations=6)
    first, second = (fit_landmarks(truth.head, truth.observed, truth.Ks, settings=settings) for _ in range(2))
    assert torch.equal(first.params.expr, second.params.expr) and torch.equal(first.Ks, second.Ks)


def test_calibrated_cameras_give_the_absolute_place(bust: HeadModel) -> None:
    views = np.stack([look_at(np.array([x, 0.1, 0.15]), np.array([0, 0.0, -0.85])) for x in (-0.5, 0.0, 0.5)])
    known = make_truth(bust, 12, views)
    found = fit_landmarks(bust, known.observed, known.Ks, known.viewmats, focal_known=True)
    seen = np.flatnonzero(known.observed.valid[:, 0])
    a, b = (bust.pose(p).vertices[seen].detach() for p in (found.params, known.params))
    points = bust.landmarks.points(a, bust.faces), bust.landmarks.points(b, bust.faces)
    assert float((points[0] - points[1]).norm(dim=-1).median()) < 0.002
    assert float(found.Ks[0, 0, 0]) == FOCAL


def test_wild_landmarks_of_some_frames_do_not_bend_the_rest(truth: Truth) -> None:
    points = truth.observed.points.copy()
    points[20] += 150.0
    spoiled = replace(truth.observed, points=points)
    found = fit_landmarks(truth.head, spoiled, truth.Ks)
    others = [step for step in seen_steps(truth) if abs(step - 20) > 3]
    assert np.median(np.linalg.norm(found.fitted - truth.clean, axis=-1)[others]) < 0.7


def test_two_clips_with_their_own_lens(bust: HeadModel) -> None:
    known = make_truth(bust, 24)
    half = 12
    shape = (24, 2)
    valid = np.zeros(shape, bool)
    valid[:half, 0] = known.observed.valid[:half, 0]
    valid[half:, 1] = known.observed.valid[half:, 0]
    points = np.repeat(known.observed.points, 2, 1)
    points[:, 1] = (points[:, 1] - 256) * 1.4 + 256
    clips = replace(known.observed, valid=valid, points=points)
    found = fit_landmarks(bust, clips, np.repeat(known.Ks, 2, 0))
    assert float(found.Ks[1, 0, 0] / found.Ks[0, 0, 0]) == pytest.approx(1.4, rel=0.15)
    assert found.summary()["median_px"] < 0.8


def test_no_face_and_unknown_cameras_are_refused(truth: Truth) -> None:
    nothing = replace(truth.observed, valid=np.zeros_like(truth.observed.valid))
    with pytest.raises(InputError, match="no face"):
        fit_landmarks(truth.head, nothing, truth.Ks)
    both = replace(
        truth.observed, valid=np.repeat(truth.observed.valid, 2, 1), points=np.repeat(truth.observed.points, 2, 1)
    )
    with pytest.raises(InputError, match=r"cameras\.json"):
        fit_landmarks(truth.head, both, np.repeat(truth.Ks, 2, 0))


def test_landmarks_that_are_not_finite_are_refused(truth: Truth) -> None:
    points = truth.observed.points.copy()
    points[0, 0, 5] = np.nan
    with pytest.raises(InputError, match="finite"):
        replace(truth.observed, points=points)


def test_progress_carries_the_error(truth: Truth) -> None:
    run, events = collect()
    fit_landmarks(truth.head, truth.observed, truth.Ks, settings=FitSettings(iterations=8), run=run)
    errors = [event.values["error_px"] for event in events if isinstance(event, Progress)]
    assert len(errors) >= 3 and errors[-1] < errors[0]


def test_gaps_in_scores_are_interpolated() -> None:
    scores = np.array([[0.0], [np.nan], [1.0], [np.nan]])
    np.testing.assert_allclose(fill_gaps(scores)[:, 0], [0.0, 0.5, 1.0, 1.0])
    assert not fill_gaps(np.full((3, 2), np.nan)).any()


def test_rotations_near_half_a_turn_do_not_jump() -> None:
    angles = np.linspace(2.8, 3.6, 20)
    axis = np.array([0.0, 1.0, 0.0])
    wrapped = np.where(angles[:, None] > np.pi, (angles[:, None] - 2 * np.pi) * axis, angles[:, None] * axis)
    smooth = continuous(wrapped)
    assert np.abs(np.diff(smooth, axis=0)).max() < 0.1
    np.testing.assert_allclose(rotations(smooth), rotations(wrapped), atol=1e-9)
