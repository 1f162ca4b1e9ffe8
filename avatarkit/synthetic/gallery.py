"""A contact sheet of the subject: people, expressions, and what is known of every pixel.

python -m avatarkit.synthetic.gallery docs/images/subject.png
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from avatarkit.labels import LABEL_COLOURS
from avatarkit.synthetic.appearance import PRESETS, preset
from avatarkit.synthetic.capture import camera_at, render_view
from avatarkit.synthetic.motion import posed
from avatarkit.synthetic.subject import SubjectParams
from avatarkit.types import ByteArray, PathArg

BACKGROUND = (0.955, 0.95, 0.94)
SMILE = {"mouthSmileLeft": 0.75, "mouthSmileRight": 0.7, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5}


def _turned(params: SubjectParams, yaw: float, pitch: float = 0.0, roll: float = 0.0) -> SubjectParams:
    """The head turned, the eyes staying on the viewer."""
    eye = [-0.5 * pitch, -0.6 * yaw, 0.0]
    return replace(params, neck_pose=np.array([pitch, yaw, roll]), eyes_pose=np.array([*eye, *eye]))


def label_picture(labels: ByteArray) -> ByteArray:
    """(H, W) class ids → (H, W, 3) flat colours."""
    picture = np.array(LABEL_COLOURS, np.uint8)[labels]
    picture[labels == 0] = np.array([int(255 * c) for c in BACKGROUND], np.uint8)
    return picture


def _depth_picture(depth: np.ndarray) -> ByteArray:
    known = depth > 0
    near, far = np.percentile(depth[known], (1, 97))
    grey = np.where(known, 235.0 - 190.0 * np.clip((depth - near) / max(far - near, 1e-6), 0, 1), 255 * BACKGROUND[0])
    return np.repeat(grey[..., None].astype(np.uint8), 3, 2)


def gallery(size: int = 208) -> ByteArray:
    """(3·size, 6·size, 3): six people; one of them moving; one with edits, its labels and its depth."""
    people = []
    poses = (
        _turned(posed(**SMILE), 0.10, -0.02, 0.03), _turned(posed(mouthSmileLeft=0.25, mouthSmileRight=0.25), -0.18, 0.0, -0.04),
        _turned(posed(**SMILE, jawOpen=0.12), 0.14, 0.02, -0.03), _turned(posed(mouthSmileLeft=0.3, mouthSmileRight=0.3), 0.16),
        _turned(posed(browInnerUp=0.3, mouthSmileLeft=0.3, mouthSmileRight=0.3), -0.12), _turned(posed(**SMILE), -0.15, 0.0, 0.03),
    )  # fmt: skip
    for name, params, azimuth in zip(PRESETS, poses, (0.22, -0.28, 0.2, 0.3, -0.32, -0.24), strict=True):
        people.append(
            render_view(preset(name), params, camera_at(azimuth, 0.05, size, size), background=BACKGROUND).rgb
        )
    ada = preset("ada")
    faces = (
        (posed(jawOpen=0.75, browInnerUp=0.9, browOuterUpLeft=0.8, browOuterUpRight=0.8, eyeWideLeft=0.5, eyeWideRight=0.5), 0.0),
        (posed(eyeBlinkLeft=1.0, eyeBlinkRight=1.0, **SMILE), 0.3), (posed(mouthPucker=0.9, browInnerUp=0.3), -0.3),
        (posed(browDownLeft=0.9, browDownRight=0.9, mouthFrownLeft=0.8, mouthFrownRight=0.8), 0.15),
        (_turned(posed(**SMILE, jawOpen=0.2), -0.2, -0.08), -0.9), (_turned(posed(jawOpen=0.35, mouthFunnel=0.4), 0.25), 0.75),
    )  # fmt: skip
    moving = [
        render_view(ada, params, camera_at(azimuth, 0.04, size, size, zoom=1.25), background=BACKGROUND).rgb
        for params, azimuth in faces
    ]
    edits: tuple[dict[str, Any], ...] = (
        {"hair_colour": "#b5451f", "highlight_colour": "#dd7d3a", "glasses": "round"}, {"hair_style": "curly", "glasses": "sunglasses"},
        {"hat": "hat", "hat_colour": "#b9a27c", "hat_trim": "#3b2c22", "necklace": "pearls", "necklace_colour": "#f1e9dc"},
        {"hat": "cap", "earrings": "hoop", "shirt": "collar", "shirt_colour": "#d8d4c8", "shirt_trim": "#c4bfb0"},
    )  # fmt: skip
    still, front = _turned(posed(mouthSmileLeft=0.4, mouthSmileRight=0.4), 0.12), camera_at(0.25, 0.05, size, size)
    views = [render_view(replace(ada, **edit), still, front, background=BACKGROUND) for edit in edits]
    last = [v.rgb for v in views] + [label_picture(views[2].labels), _depth_picture(views[2].depth)]
    return np.concatenate([np.concatenate(row, 1) for row in (people, moving, last)])


def save_gallery(path: PathArg, size: int = 208) -> Path:
    """Write the sheet as a PNG of 256 colours, small enough for a page."""
    out = Path(path)
    Image.fromarray(gallery(size)).quantize(256, kmeans=4, dither=Image.Dither.NONE).save(out, optimize=True)
    return out


if __name__ == "__main__":
    save_gallery(sys.argv[1] if len(sys.argv) > 1 else "subject.png")
