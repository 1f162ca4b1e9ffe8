"""Labels from the head model: its region masks drawn in each view, and the silhouette around it split into hair and cloth.

Needs no weights and no network.  It knows what the model knows: eyes, brows, nose, lips, ears, neck are where the tracked mesh
has them, to the pixel (masks are interpolated over triangles, whose edges are no outlines of anything).  What the mesh lacks is
hair above the jaw and cloth below, wherever the matte has more than the mesh; above the jaw it is cloth too where the nearest of
the mesh is the shoulders: a collar, raised shoulders.  Glasses, hats and earrings are hair or skin to it, and a shirt on the neck is
neck: a learned face parser (plugin) sees those.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from avatarkit.capture.cache import in_order
from avatarkit.contracts import HeadModel, View
from avatarkit.head.parameters import HeadPose
from avatarkit.labels import LABEL_INDEX, NUM_LABELS
from avatarkit.render.compiled import thread_count
from avatarkit.render.mesh import rasterize_mesh
from avatarkit.segment.colour_evidence import Scenery, brows, recoloured
from avatarkit.types import Float32Array, IntArray

# From what covers most to what lies on top of it; a head model has some of these regions.
LAYERS = (
    ("face", "skin"), ("forehead", "skin"), ("jaw", "skin"), ("scalp", "hair"), ("neck", "neck"),
    ("boundary", "cloth"), ("l_ear", "l_ear"), ("r_ear", "r_ear"), ("nose", "nose"), ("l_brow", "l_brow"),
    ("r_brow", "r_brow"), ("u_lip", "u_lip"), ("l_lip", "l_lip"), ("mouth", "mouth"), ("tongue", "mouth"),
    ("teeth", "mouth"), ("l_eye", "l_eye"), ("r_eye", "r_eye"),
)  # fmt: skip
JAW = "jaw"
NOT_NECK = (
    "face",
    "forehead",
    "scalp",
    "skull",
    "boundary",
    "l_ear",
    "r_ear",
    "mouth",
    "teeth",
    "tongue",
    "l_eye",
    "r_eye",
)
INNER = (0.8, -0.15)
"""How far from the middle and how far back the inner face reaches, in eye distances from the point between the eyes."""
CLEAR = 0.5
"""Mask above which a pixel beside the mesh is the person."""


class HeadRegions:
    """``contracts.Segmenter``; looks at each view's head, pose and mask, then at the picture's colours (``colour_evidence``)."""

    def segment(self, images: Tensor, views: Sequence[View]) -> Tensor:
        """images (B, 3, H, W) → probabilities (B, 19, H, W).  A view without a posed head is hair where its mask is."""
        found = torch.zeros(len(images), NUM_LABELS, *images.shape[-2:])
        pairs = zip(images, views, strict=True)
        for at, (classes, mask) in enumerate(in_order(lambda pair: _classes(*pair), pairs, threads=thread_count())):
            found[at].scatter_(0, torch.from_numpy(classes)[None], mask[None])
            found[at, LABEL_INDEX["background"]] += 1.0 - mask
        return found


def _classes(image: Tensor, view: View) -> tuple[IntArray, Tensor]:
    """The class of every pixel (H, W) that is the person's, and how far each is (H, W); image (3, H, W)."""
    height, width = image.shape[-2:]
    classes = np.full((height, width), LABEL_INDEX["hair"])
    drawn = np.zeros((height, width), bool)
    face, jaw_row = drawn, float(height)
    if view.head is not None and view.pose is not None:
        classes, drawn, face, jaw_row = _drawn(view.head, view.pose, view, height, width)
    mask = torch.from_numpy(drawn).float() if view.mask is None else view.mask.reshape(height, width)
    if view.mask is None:
        classes = np.where(drawn, classes, LABEL_INDEX["background"])
    if face.any():
        picture = (image.permute(1, 2, 0).numpy() * 255.0).round().astype(np.uint8)
        below = np.broadcast_to(np.arange(height)[:, None] + 0.5 >= jaw_row, (height, width))
        classes = recoloured(picture, Scenery(classes, mask.numpy() > CLEAR, face, below, ~drawn))
        classes = brows(picture, classes)
    return classes, mask


def vertex_layers(head: HeadModel) -> list[tuple[int, Float32Array]]:
    """(label, (V,) mask) from what covers most to what lies on top of it.  Where none reaches a half there is skin."""
    layers = [(LABEL_INDEX[label], head.regions[region].numpy()) for region, label in LAYERS if region in head.regions]
    below = _below_the_jaw(head)
    if below is not None:
        at = [label for label, _ in layers].index(LABEL_INDEX["neck"]) if "neck" in head.regions else len(layers)
        layers.insert(at, (LABEL_INDEX["neck"], below))
    return layers


def _below_the_jaw(head: HeadModel) -> Float32Array | None:
    """(V,) 1 where no region claims a vertex, or only the jaw does, and it lies under the line from the chin to the jaw's corners.

    ``bust`` calls neck only what bends with it, and leaves what is between that and the chin to no region; CelebAMask-HQ's neck
    begins under the chin.
    """
    regions = {name: mask.numpy() >= 0.5 for name, mask in head.regions.items()}
    if not {"face", "l_ear", "r_ear"} <= set(regions) or not all(regions[n].any() for n in ("face", "l_ear", "r_ear")):
        return None
    at = head.template.numpy()
    face, ears = at[regions["face"]], at[regions["l_ear"] | regions["r_ear"]]
    chin, lobe = face[face[:, 1].argmin()], ears[ears[:, 1].argmin()]
    share = np.clip((at[:, 2] - lobe[2]) / max(float(chin[2] - lobe[2]), 1e-6), 0.0, 1.0)
    corner = (lobe[1] + chin[1]) / 2  # of the jaw, under the lobe
    claimed = np.zeros(len(at), bool)
    for name in NOT_NECK:
        claimed |= regions.get(name, claimed)
    return (~claimed & (at[:, 1] < corner + share * (chin[1] - corner))).astype(np.float32)


def _drawn(
    head: HeadModel, pose: HeadPose, view: View, height: int, width: int
) -> tuple[IntArray, np.ndarray, np.ndarray, float]:
    """Class (H, W) of every pixel that is the person's; (H, W) bool: where the mesh shows, and where its face does; the jaw's row."""
    vertices = pose.vertices[0].detach().cpu().numpy()
    viewmat, K = view.cameras.viewmats[0].detach().cpu().numpy(), view.cameras.Ks[0].detach().cpu().numpy()
    faces = head.faces.numpy()
    mesh = rasterize_mesh(vertices, faces, viewmat, K, width, height)
    drawn = mesh.triangle >= 0
    corners, weights = faces[mesh.triangle[drawn]], mesh.barycentrics[drawn]
    on_mesh = np.full(len(corners), LABEL_INDEX["skin"])
    for label, mask in vertex_layers(head):
        on_mesh[(mask[corners] * weights).sum(1) >= 0.5] = label
    classes = np.full((height, width), LABEL_INDEX["hair"])
    classes[drawn] = on_mesh
    beside = np.full((height, width), LABEL_INDEX["hair"])
    if drawn.any():
        rows, columns = ndimage.distance_transform_edt(~drawn, return_distances=False, return_indices=True)
        beside[classes[rows, columns] == LABEL_INDEX["cloth"]] = LABEL_INDEX["cloth"]
    jaw_row = _jaw_row(head, vertices, viewmat, K)
    beside[np.arange(height) + 0.5 >= jaw_row] = LABEL_INDEX["cloth"]
    face = np.zeros((height, width), bool)
    face[drawn] = (inner_face(head)[corners] * weights).sum(1) >= 0.5
    return np.where(drawn, classes, beside), drawn, face, jaw_row


def inner_face(head: HeadModel) -> Float32Array:
    """(V,) 1 on the front of the face, where the skin shows whatever the hair does; 0 everywhere where the model has no such regions."""
    if not {"face", "l_eye", "r_eye"} <= set(head.regions):
        return np.zeros(len(head.template), np.float32)
    at = head.template.numpy()
    left, right = (at[head.regions[name].numpy() > 0.5].mean(0) for name in ("l_eye", "r_eye"))
    x, _, z = ((at - 0.5 * (left + right)) / np.linalg.norm(left - right)).T
    return (head.regions["face"].numpy() * (np.abs(x) < INNER[0]) * (z > INNER[1])).astype(np.float32)


def _jaw_row(head: HeadModel, vertices: np.ndarray, viewmat: np.ndarray, K: np.ndarray) -> float:
    """The picture's row at which hair ends and clothes begin: that of the lowest point of the jaw."""
    chosen = head.regions[JAW].numpy() >= 0.5 if JAW in head.regions else np.ones(len(vertices), bool)
    camera = vertices[chosen] @ viewmat[:3, :3].T + viewmat[:3, 3]
    return float((K[1, 1] * camera[:, 1] / np.maximum(camera[:, 2], 1e-3) + K[1, 2]).max())
