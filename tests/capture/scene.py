"""A synthetic clip whose mattes are known: a soft-edged head on shoulders moves before a wall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from avatarkit.types import ByteArray, Float32Array, FloatArray

SIZE = 160


@dataclass(frozen=True)
class Scene:
    """images (T, H, W, 3), alphas (T, H, W) in [0, 1], wall (H, W, 3), face boxes (T, 4)."""

    images: ByteArray
    alphas: Float32Array
    wall: Float32Array
    boxes: FloatArray


def make_scene(
    wall_texture: float = 0.0,
    steps: int = 16,
    sway: float = 14.0,
    flicker: float = 0.0,
    patch: bool = False,
    pan: float = 0.0,
    seed: int = 0,
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0),
    light: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Scene:
    """wall_texture: standard deviation in levels; sway, pan: pixels that head and wall move; flicker: exposure; patch: a piece
    of the shirt has the wall's colour; tint: added to the wall, in levels; light: what everything is multiplied by."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    wide = SIZE + 64
    wy, wx = np.mgrid[:SIZE, :wide] / SIZE
    plane = np.stack([150 + 40 * wx + 10 * wy, 160 + 30 * wx, 170 - 25 * wy + 10 * wx], -1)
    plane = plane + np.array(tint)
    texture = ndimage.gaussian_filter(rng.normal(size=(SIZE, wide)), 2.0)
    plane = plane + (wall_texture * texture / texture.std())[..., None]
    images, alphas, boxes = [], [], []
    skin, hair, shirt = (np.array(c, float) for c in ((200, 140, 115), (55, 40, 30), (60, 75, 110)))
    grain = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 1.0)[..., None]
    for t in range(steps):
        shift = sway * np.sin(2 * np.pi * t / steps)
        offset = 32 + round(pan * np.sin(2 * np.pi * (t + 2) / steps))
        wall = plane[:, offset : offset + SIZE]
        cx, cy, rx, ry = SIZE / 2 + shift, 78.0, 27.0, 36.0
        radius = np.hypot((x - cx) / rx, (y - cy) / ry)
        scalp = np.hypot((x - cx) / 33.0, (y - cy + 9) / 40.0)
        head = np.clip((1.0 - radius) * 30 + 0.5, 0, 1)
        fringe = np.clip((1.06 - scalp) / 0.12, 0, 1) * (y < cy + 25)  # soft over about five pixels, as hair is
        neck = (np.abs(x - cx) < 13) & (y > cy + 20)
        body = np.clip((y - 122 - 0.012 * (x - SIZE / 2 - 0.4 * shift) ** 2) * 0.8, 0, 1)
        colour = np.where(head[..., None] > 0.5, skin, hair) * np.ones((SIZE, SIZE, 1))
        colour = np.where((neck & (head < 0.5))[..., None], skin * 0.85, colour)
        colour = np.where((body > 0)[..., None], shirt, colour)
        if patch:
            inside = (np.abs(x - SIZE / 2 - 0.4 * shift) < 9) & (np.abs(y - 146) < 5)
            colour = np.where(inside[..., None], wall, colour)
        alpha = np.maximum.reduce([head, fringe, neck.astype(float), body])
        colour = colour + 6 * grain
        image = alpha[..., None] * colour + (1 - alpha[..., None]) * wall
        image = image * np.array(light) * (1 + flicker * np.sin(t)) + rng.normal(size=image.shape) * 2.0
        images.append(np.clip(image + 0.5, 0, 255).astype(np.uint8))
        alphas.append(alpha)
        boxes.append((cx - rx, cy - ry, cx + rx, cy + ry))
    return Scene(
        np.stack(images),
        np.stack(alphas).astype(np.float32),
        (plane[:, 32 : 32 + SIZE] * light).astype(np.float32),
        np.array(boxes),
    )
