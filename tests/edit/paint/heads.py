"""A head whose colour is a known function of the point on the neutral head, seen by four cameras with four expressions.

No light falls on it but what that function says, so the same point has the same colour in every view, and what paint makes of it
can be compared between views directly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Correspondences, EditStep
from avatarkit.edit.paint.painter import Paint
from avatarkit.edit.plan import Attributes, KeyframeText, Operation
from avatarkit.events import Run
from avatarkit.head.bust import BustModel
from avatarkit.head.parameters import HeadParams
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.synthetic.capture import camera_at
from avatarkit.types import Float32Array, FloatArray

SIZE = 224
CHEEK = np.array([0.042, -0.006, 0.055])
"""A point of the left cheek of the neutral head, metres."""
POSES: tuple[tuple[float, dict[str, float], tuple[float, float, float], float], ...] = (
    (0.0, {}, (0.0, 0.0, 0.0), 0.0),
    (0.5, {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}, (0.05, -0.2, 0.05), 0.0),
    (-0.45, {"jawOpen": 0.5, "browInnerUp": 0.6}, (0.0, 0.25, 0.0), 0.15),
    (0.1, {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, (0.0, 0.0, 0.0), 0.0),
)
"""Azimuth of the camera, expression, neck and jaw of each view."""


@dataclass(frozen=True)
class Head:
    """views (4, 3, S, S); correspondences and cameras of the same; rest (4, S, S, 3) and shows (4, S, S) as NumPy arrays;
    eyeball (4, S, S): the mesh's own eyes."""

    views: Tensor
    correspondences: Correspondences
    cameras: Cameras
    rest: Float32Array
    shows: FloatArray
    eyeball: FloatArray

    def region(self, name: str) -> Tensor:
        """(4, 1, S, S) soft masks."""
        x, y, z = (1000 * self.rest[..., k] for k in range(3))
        lid = np.hypot((np.abs(x) - 31.5) / 22, (y - 31) / 15)
        shapes: dict[str, Callable[[], FloatArray]] = {
            "head": lambda: np.ones_like(x),
            "face": lambda: step(y, 92, 88) * step(z, -12, -8) * step(y, -98, -94),
            "hair": lambda: np.maximum(step(y, 88, 92), step(z, -8, -12)) * step(y, -62, -58),
            "lips": lambda: step(np.hypot(x / 25, (y + 45.5) / 9.5), 1.05, 0.95) * step(z, 38, 42),
            "eyelids": lambda: step(lid, 1.1, 0.9) * step(z, 20, 25) * (1 - self.eyeball),
            "cheeks": lambda: np.maximum(self.disc(CHEEK, 0.02), self.disc(CHEEK * [-1, 1, 1], 0.02)),
            "l_cheek": lambda: self.disc(CHEEK, 0.0192),
            "forehead": lambda: self.disc(np.array([0.0, 0.07, 0.067]), 0.03),
        }
        return torch.from_numpy((shapes[name]() * self.shows).astype(np.float32))[:, None]

    def disc(self, centre: FloatArray, radius: float) -> FloatArray:
        """(4, S, S) a soft disc of skin around a point of the neutral head."""
        return step(np.linalg.norm(self.rest - centre, axis=-1), radius + 0.0015, radius - 0.0015) * self.shows

    def paint(
        self,
        operation: Operation,
        region: str | Tensor = "head",
        *,
        batch: Sequence[int] = (0, 1, 2, 3),
        seed: int = 3,
        anchored: bool = True,
        references: Tensor | None = None,
        latent: str = "",
        run: Run | None = None,
    ) -> Tensor:
        """``Paint`` on some of the views."""
        chosen = list(batch)
        masks = self.region(region) if isinstance(region, str) else region
        texts = tuple(KeyframeText(f"k{i}", operation.prompt, "") for i in chosen)
        found = self.correspondences
        places = Correspondences(found.triangle[chosen], found.barycentrics[chosen], found.rest[chosen])
        return Paint().edit(
            self.views[chosen], masks[chosen], EditStep(operation, texts, latent=latent),  # type: ignore[arg-type]
            references=references, cameras=Cameras(self.cameras.viewmats[chosen], self.cameras.Ks[chosen], SIZE, SIZE),
            correspondences=places if anchored else None, seed=seed, run=run or Run(),
        )  # fmt: skip


def step(values: FloatArray, low: float, high: float) -> FloatArray:
    """0 at ``low``, 1 at ``high``, linear between."""
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def restyle(style: str, target: str = "head", **attributes: object) -> Operation:
    return Operation("restyle", target, attributes=Attributes(style=style, **attributes))  # type: ignore[arg-type]


def add(target: str, **attributes: object) -> Operation:
    return Operation("add", target, attributes=Attributes(**attributes))  # type: ignore[arg-type]


def colour_at(rest: FloatArray) -> FloatArray:
    """(…, 3) sRGB of points on the neutral head: skin with some relief, lips, dark hair, eyes."""
    x, y, z = (1000 * rest[..., k] for k in range(3))
    skin = np.stack([0.86 + 0 * x, 0.66 + 0.02 * np.sin(x / 9), 0.55 + 0.02 * np.cos(y / 11)], -1)
    light = (0.78 + 0.22 * np.clip(z / 90, -0.5, 1) + 0.05 * np.sin(y / 14))[..., None]
    lips = (np.exp(-(((x / 24) ** 2 + ((y + 45) / 8) ** 2) ** 2)) * (z > 40))[..., None]
    eyes = (np.exp(-((((np.abs(x) - 31.5) / 13) ** 2 + ((y - 30) / 5.5) ** 2) ** 2)) * (z > 30))[..., None]
    hair = ((y > 88) | ((z < -15) & (y > -60)))[..., None]
    made = light * (skin * (1 - lips) + lips * np.array([0.70, 0.30, 0.33]))
    made = np.where(hair, np.array([0.25, 0.16, 0.10]) * (1 + 0.2 * np.sin(x / 4))[..., None], made)
    return np.clip(made * (1 - eyes) + eyes * np.array([0.35, 0.40, 0.50]), 0.0, 1.0)


def _params(model: BustModel, weights: dict[str, float], neck: tuple[float, float, float], jaw: float) -> HeadParams:
    params = HeadParams.zeros(1, model.num_shape, model.num_expr)
    for name, weight in weights.items():
        params.expr[0, model.expr_names.index(name)] = weight
    params.neck_pose[0] = torch.tensor(neck)
    params.jaw_pose[0, 0] = jaw
    return params


@lru_cache(maxsize=1)
def head_views() -> Head:
    model = BustModel()
    faces = model.faces.numpy()
    neutral = model.pose(_params(model, {}, (0.0, 0.0, 0.0), 0.0)).vertices[0].numpy()
    ball = torch.maximum(model.regions["l_eye"], model.regions["r_eye"]).numpy()[faces].mean(1) > 0.5
    rows = []
    for azimuth, weights, neck, jaw in POSES:
        camera = camera_at(azimuth, 0.05, SIZE, SIZE)
        posed = model.pose(_params(model, weights, neck, jaw)).vertices[0].numpy()
        drawn = rasterize_mesh(posed, faces, camera.viewmat, camera.K, SIZE, SIZE)
        shows, at = drawn.triangle >= 0, np.maximum(drawn.triangle, 0)
        rest = (neutral[faces[at]] * drawn.barycentrics[..., None]).sum(-2) * shows[..., None]
        picture = np.where(shows[..., None], colour_at(rest), 1.0)
        rows.append(
            (picture, drawn.triangle, drawn.barycentrics, rest, shows, ball[at] & shows, camera.viewmat, camera.K)
        )
    picture, triangle, weights_, rest, shows, eyeball, viewmat, K = (
        np.stack(column) for column in zip(*rows, strict=True)
    )
    real = lambda array: torch.from_numpy(np.ascontiguousarray(array, np.float32))  # noqa: E731
    return Head(
        real(picture).permute(0, 3, 1, 2).contiguous(),
        Correspondences(torch.from_numpy(triangle.astype(np.int32)), real(weights_), real(rest)),
        Cameras(real(viewmat), real(K), SIZE, SIZE),
        rest.astype(np.float32),
        shows.astype(np.float64),
        eyeball.astype(np.float64),
    )
