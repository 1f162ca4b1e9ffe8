"""The light is found again, and things look under it as they were asked to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from avatarkit.edit.accessories.light import Finish, Light, estimate, neutral_light
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX
from avatarkit.losses.colour_difference import ciede2000, lab, srgb_from_linear
from avatarkit.types import FloatArray

FROM_LEFT = np.array([0.75, 0.35, 0.56])


def lit_from(towards: FloatArray, normals: FloatArray) -> FloatArray:
    """An ambient and a directed light."""
    return 0.55 + 0.45 * np.clip(normals @ towards / np.linalg.norm(towards), -0.4, None)


def skinned(subject: Any, towards: FloatArray, *, spoilt: float = 0.0, label: str = "skin") -> Gaussians:
    """Gaussians of skin on the face, coloured as ``towards`` lights it; a share of them spoilt by dark hair."""
    face = subject.head.regions["face"][subject.head.faces].min(1).values > 0.5
    triangles = torch.nonzero(face)[:, 0]
    corners = subject.anatomy.pose.vertices[0][subject.head.faces[triangles]].double().numpy()
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    light = torch.from_numpy(lit_from(towards, normals)[:, None] * np.array([0.45, 0.30, 0.22])).float()
    random = torch.Generator().manual_seed(3)
    light = light * (1 + 0.08 * torch.randn(len(light), 1, generator=random))
    light[torch.rand(len(light), generator=random) < spoilt] = 0.01
    made = Gaussians.fresh(
        torch.zeros(len(triangles), 3), torch.full((len(triangles), 3), -0.7), 0.9, srgb_from_linear(light), triangles
    )
    if label:
        made.label_logits[:, LABEL_INDEX[label]] = 5.0
    return made


def shares(light: Light, normals: FloatArray) -> FloatArray:
    return light.irradiance(normals) / light.irradiance(np.array([[0.0, 0.0, 1.0]]))


@pytest.mark.parametrize(("spoilt", "label", "within"), [(0.0, "skin", 0.06), (0.2, "skin", 0.13), (0.0, "", 0.09)])
def test_light_is_found_from_skin(mean_subject: Any, spoilt: float, label: str, within: float) -> None:
    light = estimate(mean_subject.anatomy, skinned(mean_subject, FROM_LEFT, spoilt=spoilt, label=label))
    assert light.estimated
    ways = np.array([[0, 0, 1], [0.7, 0, 0.7], [-0.7, 0, 0.7], [0, 0.6, 0.8], [0, -0.6, 0.8], [0.5, 0.5, 0.7]])
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    truth = lit_from(FROM_LEFT, ways) / lit_from(FROM_LEFT, np.array([[0.0, 0.0, 1.0]]))
    assert np.abs(shares(light, ways) - truth).max() < within
    assert light.direction[0] > 0.3  # it comes from the subject's left


def test_too_little_skin_gives_the_neutral_light(bust: Any) -> None:
    few = skinned(bust, FROM_LEFT).select(torch.arange(50))
    hair = skinned(bust, FROM_LEFT, label="hair")
    for gaussians in (None, few, hair):
        light = estimate(bust.anatomy, gaussians)
        assert not light.estimated and np.allclose(light.coefficients, neutral_light().coefficients)


def test_mean_over_the_front_of_a_ball_is_one() -> None:
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, 201), np.linspace(-1, 1, 201)))
    inside = x**2 + y**2 < 1
    normals = np.stack([x, y, np.sqrt(np.clip(1 - x**2 - y**2, 0, None))], 1)[inside]
    assert abs(float(neutral_light().irradiance(normals).mean()) - 1) < 0.01


@pytest.mark.parametrize(
    "finish", [Finish(), Finish(metal=0.9, gloss=0.1, sharpness=16), Finish(gloss=0.25), Finish(sheen=0.8)]
)
@pytest.mark.parametrize("colour", ["#c02020", "#203a80", "#808080", "#e0b030", "#101012", "#f4f2ea"])
def test_a_balls_mean_colour_is_the_one_asked_for(finish: Finish, colour: str) -> None:
    asked = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, 61), np.linspace(-1, 1, 61)))
    inside = x**2 + y**2 < 0.98
    normals = np.stack([x, y, np.sqrt(np.clip(1 - x**2 - y**2, 0, None))], 1)[inside]
    areas = 1 / normals[:, 2]  # each piece shows the same of itself
    light = Light(neutral_light().coefficients + np.array([0, 0.2, 0, -0.5, 0, 0, 0, 0, 0]))
    shown = light.shade(normals, np.tile(asked, (len(normals), 1)), finish, weights=areas, shadow=np.ones(len(normals)))
    assert shown.min() >= 0 and shown.max() <= 1
    difference = ciede2000(lab(torch.from_numpy(shown.mean(0))), lab(torch.from_numpy(asked)))
    assert float(difference) < 6
    assert shown.std(0).max() > 0.02 * shown.mean()  # and it is a ball, not a disc
    left, right = normals[:, 0] > 0.5, normals[:, 0] < -0.5
    if finish == Finish():
        assert shown[left].mean() > shown[right].mean()  # lit from the subject's left


def test_metal_has_more_contrast_than_cloth_and_varnish_has_highlights() -> None:
    normals = np.random.default_rng(0).normal(size=(600, 3))
    normals[:, 2] = np.abs(normals[:, 2])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colour, ones = np.tile([0.3, 0.3, 0.35], (600, 1)), np.ones(600)

    def spread(finish: Finish) -> float:
        return float(neutral_light().shade(normals, colour, finish, weights=ones, shadow=ones).std(0).max())

    assert spread(Finish(metal=0.9, sharpness=16)) > 1.3 * spread(Finish())
    assert spread(Finish(gloss=0.4)) > 1.1 * spread(Finish())
