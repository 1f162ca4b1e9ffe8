"""Labels from the head model: its region masks drawn in each view, and the silhouette around it split into hair and cloth.

Needs no weights and no network.  It knows what the model knows: eyes, brows, nose, lips, ears, neck are where the tracked mesh
has them; what the mesh lacks is hair above the jaw and cloth below, wherever the matte has more than the mesh.  Glasses, hats and
earrings are hair or skin to it: a learned face parser (plugin) sees those.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel, View
from avatarkit.head.parameters import HeadPose
from avatarkit.labels import LABEL_INDEX, NUM_LABELS
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.types import IntArray

# From what covers most to what lies on top of it; a head model has some of these regions.
LAYERS = (
    ("face", "skin"), ("forehead", "skin"), ("jaw", "skin"), ("skull", "hair"), ("scalp", "hair"), ("neck", "neck"),
    ("boundary", "cloth"), ("l_ear", "l_ear"), ("r_ear", "r_ear"), ("nose", "nose"), ("l_brow", "l_brow"),
    ("r_brow", "r_brow"), ("u_lip", "u_lip"), ("l_lip", "l_lip"), ("mouth", "mouth"), ("tongue", "mouth"),
    ("teeth", "mouth"), ("l_eye", "l_eye"), ("r_eye", "r_eye"),
)  # fmt: skip
JAW = "jaw"
CLEAR = 0.5
"""Mask above which a pixel beside the mesh is the person."""


class HeadRegions:
    """``contracts.Segmenter``; looks at no colour at all, only at each view's head, pose and mask."""

    def segment(self, images: Tensor, views: Sequence[View]) -> Tensor:
        """images (B, 3, H, W) → probabilities (B, 19, H, W).  A view without a posed head is hair where its mask is."""
        height, width = images.shape[-2:]
        found = torch.zeros(len(images), NUM_LABELS, height, width)
        for at, view in enumerate(views):
            classes = np.full((height, width), LABEL_INDEX["hair"])
            drawn = np.zeros((height, width), bool)
            if view.head is not None and view.pose is not None:
                classes, drawn = _drawn(view.head, view.pose, view, height, width)
            mask = torch.from_numpy(drawn).float() if view.mask is None else view.mask.reshape(height, width)
            if view.mask is None:
                classes = np.where(drawn, classes, LABEL_INDEX["background"])
            shares = torch.nn.functional.one_hot(torch.from_numpy(classes), NUM_LABELS).permute(2, 0, 1).float()
            background = torch.zeros(NUM_LABELS, 1, 1)
            background[LABEL_INDEX["background"]] = 1.0
            found[at] = mask * shares + (1.0 - mask) * background
        return found


def triangle_labels(head: HeadModel) -> IntArray:
    """(F,) the label of each triangle: the topmost region that holds two of its corners, else skin."""
    faces = head.faces.numpy()
    labels = np.full(len(faces), LABEL_INDEX["skin"])
    for region, label in LAYERS:
        if region in head.regions:
            inside = head.regions[region].numpy()[faces] >= 0.5
            labels[inside.sum(1) >= 2] = LABEL_INDEX[label]
    return labels


def _drawn(head: HeadModel, pose: HeadPose, view: View, height: int, width: int) -> tuple[IntArray, np.ndarray]:
    """Class (H, W) of every pixel that is the person's, and (H, W) bool: where the mesh shows."""
    vertices = pose.vertices[0].detach().cpu().numpy()
    viewmat, K = view.cameras.viewmats[0].detach().cpu().numpy(), view.cameras.Ks[0].detach().cpu().numpy()
    triangle = rasterize_mesh(vertices, head.faces.numpy(), viewmat, K, width, height).triangle
    drawn = triangle >= 0
    rows = np.arange(height)[:, None] + 0.5
    beside = np.where(rows < _jaw_row(head, vertices, viewmat, K), LABEL_INDEX["hair"], LABEL_INDEX["cloth"])
    return np.where(drawn, triangle_labels(head)[np.maximum(triangle, 0)], beside), drawn


def _jaw_row(head: HeadModel, vertices: np.ndarray, viewmat: np.ndarray, K: np.ndarray) -> float:
    """The picture's row at which hair ends and clothes begin: that of the lowest point of the jaw."""
    chosen = head.regions[JAW].numpy() >= 0.5 if JAW in head.regions else np.ones(len(vertices), bool)
    camera = vertices[chosen] @ viewmat[:3, :3].T + viewmat[:3, 3]
    return float((K[1, 1] * camera[:, 1] / np.maximum(camera[:, 2], 1e-3) + K[1, 2]).max())
