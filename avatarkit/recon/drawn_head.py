"""The posed head model as a frame of the sequence sees it."""

from __future__ import annotations

import numpy as np

from avatarkit.head.parameters import HeadPose
from avatarkit.render.mesh import MeshRender, rasterize_mesh
from avatarkit.track.sequence import Sequence


def drawn_head(sequence: Sequence, pose: HeadPose, faces: np.ndarray, index: int) -> MeshRender:
    """Triangle, barycentrics and depth by pixel of frame ``index``; ``pose`` holds every timestep, faces (F, 3)."""
    frame = sequence.capture.frames[index]
    camera = sequence.capture.cameras[frame.camera]
    vertices = pose.vertices[frame.timestep].numpy()
    view, K = sequence.viewmats[frame.camera].numpy(), sequence.Ks[frame.camera].numpy()
    return rasterize_mesh(vertices, faces, view, K, camera.width, camera.height)
