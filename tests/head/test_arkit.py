"""ARKit names on heads that have them, and on heads that do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatarkit.errors import InputError
from avatarkit.head.arkit import ARKIT_NAMES, fit_named_expressions, retarget_matrix
from avatarkit.head.flame import FlameModel
from avatarkit.head.parameters import HeadParams


def nameless(head: FlameModel, *, landmarks: bool = True) -> FlameModel:
    """The same face with its modes mixed by a random rotation, without names and without jaw modes: like FLAME's own."""
    arrays = {key: value for key, value in head.arrays.items() if key != "expr_names"}
    keep = [index for index, name in enumerate(head.expr_names) if not name.startswith("jaw")]
    mix = np.linalg.qr(np.random.default_rng(0).normal(size=(len(keep), len(keep))))[0]
    arrays["exprdirs"] = (arrays["exprdirs"][:, :, keep] @ mix).astype(np.float32)
    if not landmarks:
        arrays = {key: value for key, value in arrays.items() if not key.startswith("mediapipe")}
    return FlameModel(arrays, name="nameless", digest="0")


@pytest.fixture(scope="module")
def mixed(open_flame: FlameModel) -> FlameModel:
    return nameless(open_flame)


def moved(head: FlameModel, expr: torch.Tensor, jaw: torch.Tensor | None = None) -> torch.Tensor:
    params = HeadParams.zeros(len(expr), head.num_shape, head.num_expr)
    params.expr[:] = expr
    if jaw is not None:
        params.jaw_pose[:] = jaw
    return head.pose(params).vertices - head.template


def test_there_are_52_names(open_flame: FlameModel) -> None:
    assert len(set(ARKIT_NAMES)) == 52
    assert set(open_flame.expr_names) == set(ARKIT_NAMES) - {"tongueOut"}


def test_named_heads_take_weights_as_they_are(open_flame: FlameModel) -> None:
    weights = torch.rand(4, 52, generator=torch.Generator().manual_seed(0))
    expr, jaw, eyes = fit_named_expressions(open_flame)(weights)
    for index, name in enumerate(open_flame.expr_names):
        assert torch.equal(expr[:, index], weights[:, ARKIT_NAMES.index(name)])
    assert not jaw.any() and not eyes.any()
    own = retarget_matrix(open_flame, open_flame)
    assert torch.equal(own.expr, torch.eye(51)) and not own.jaw.any()


def test_fitted_weights_move_a_nameless_face_alike(open_flame: FlameModel, mixed: FlameModel) -> None:
    fitted = retarget_matrix(open_flame, mixed)
    expr, jaw, _ = fitted(torch.eye(51))
    face = (open_flame.regions["face"] > 0).nonzero()[:, 0]
    wanted, found = moved(open_flame, torch.eye(51))[:, face], moved(mixed, expr, jaw)[:, face]
    error = (found - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    for name in ("mouthPucker", "mouthFunnel", "cheekPuff", "eyeBlinkLeft", "mouthSmileRight", "noseSneerLeft"):
        assert error[open_flame.expr_names.index(name)] < 0.1, name
    assert error.median() < 0.1
    opening = open_flame.expr_names.index("jawOpen")
    assert 0.2 < jaw[opening, 0] < 0.6 and error[opening] < 0.3  # the joint turns where the mode slid
    assert expr.abs().max() < 3


def test_gaze_turns_the_eyes(open_flame: FlameModel, mixed: FlameModel) -> None:
    names = ("eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpRight", "eyeLookDownRight")
    expr, _, eyes = fit_named_expressions(mixed, open_flame).reordered(names)(torch.eye(4))
    params = HeadParams.zeros(4, 60, mixed.num_expr)
    params.eyes_pose[:] = eyes
    turns = mixed.pose(params).joints[:, 3:, :3, 2]  # where the rest's +z goes, left and right eye
    assert turns[0, 0, 0] < -0.2 and turns[1, 0, 0] > 0.2  # the nose is at −x of the left eye
    assert turns[2, 1, 1] > 0.2 and turns[3, 1, 1] < -0.2
    assert expr.isfinite().all()


def test_motion_files_may_lack_names_or_have_others(open_flame: FlameModel) -> None:
    mapping = fit_named_expressions(open_flame).reordered(("jawOpen", "notAName", "eyeBlinkLeft"))
    expr, _, _ = mapping(torch.tensor([[0.5, 1.0, 0.25]]))
    assert expr[0, open_flame.expr_names.index("jawOpen")] == 0.5
    assert expr.sum() == 0.75


def test_another_topology_by_landmarks(mixed: FlameModel) -> None:
    from avatarkit.head.loading import load_head

    bust = load_head("bust")
    names = ("jawOpen", "mouthSmileLeft", "eyeBlinkRight", "browInnerUp")
    expr, jaw, _ = fit_named_expressions(mixed, bust).reordered(names)(torch.eye(4))
    motion = moved(mixed, expr, jaw)
    centre = {name: motion[:, mixed.regions[name] > 0].mean(1) for name in ("l_lip", "u_lip")}
    assert (centre["l_lip"] - centre["u_lip"])[0, 1] < -0.008
    left, right = (mixed.regions[f"{side}_eye_region"] > 0 for side in "lr")
    assert motion[2, right].norm(dim=1).max() > 2 * motion[2, left].norm(dim=1).max()
    assert motion[3, (mixed.regions["l_brow"] + mixed.regions["r_brow"]) > 0, 1].mean() > 0.0005


def test_heads_with_nothing_in_common(open_flame: FlameModel) -> None:
    from avatarkit.head.loading import load_head

    with pytest.raises(InputError, match="no mode names, topology or landmarks in common"):
        retarget_matrix(nameless(open_flame, landmarks=False), load_head("bust"))
