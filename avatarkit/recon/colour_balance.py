"""Cameras that show the same skin in other colours: one gain per camera and channel, found before training and taken out of its pictures.

What a camera sees of a patch of skin (``PATCH`` wide, of the head at rest) is its own gain times the patch's colour,

    c_kp = g_k · a_p,

solved by turns for g and a, weighted by how many pixels a camera has of a patch, and by how far from the middle a residual lies (Cauchy),
because highlights and hair are seen by some cameras alone.  The mean over cameras of log g is zero: the avatar has the rig's mean colours,
a camera that was not trained sees it as it is, and one that was trained sees it in its own (``gaussians.camera_gains``).
Cameras that agree to ``LEAST`` are left as they are: what lies below is the error of the estimate.
"""

from __future__ import annotations

import numpy as np
import torch

from avatarkit.contracts import HeadModel
from avatarkit.head.parameters import HeadPose
from avatarkit.recon.drawn_head import drawn_head
from avatarkit.recon.head_tuning import posed
from avatarkit.recon.schedule import spread
from avatarkit.track.sequence import Sequence
from avatarkit.types import FloatArray, IntArray

LEAST = 0.04
"""A gain that differs less from its fellows, in log, is no difference: estimates of a rig without any are 0.008 off in the mean, 0.023 at most."""
PICTURES = 6
"""Of each camera that are looked at."""
PIXELS = 2
"""At least that a camera must have of a patch."""
PATCH = 0.008
"""Metres: more pixels than a triangle has in small pictures, and hardly more than one colour."""
SHARED = 15
"""Patches at least that a camera must have with others."""
ROUNDS = 30
BENT = 0.1  # of a colour: where Cauchy's weight begins to fall
MOST = 3.0
"""A camera whose gain is so many times the middle one's, or so small a part of it, shows something else, or nothing: it is left as it is."""
DARK = 1.0 / 255.0
"""The least value of a colour."""


def camera_gains(sequence: Sequence, head: HeadModel, seed: int = 0) -> dict[int, FloatArray]:
    """Camera → gain (3,) of red, green, blue, of every camera with training pictures; {} where all agree, or there is one."""
    frames = sequence.capture.frames
    own: dict[int, list[int]] = {}
    for index in sequence.capture.indices("train"):
        own.setdefault(frames[index].camera, []).append(index)
    if len(own) < 2:
        return {}
    with torch.no_grad():
        pose = posed(head, sequence.params)
    patches = _patches(head)
    seen = [
        _seen(sequence, head, pose, [rows[i] for i in spread(len(rows), PICTURES, seed)], patches)
        for rows in own.values()
    ]
    colours, counts = np.stack([colour for colour, _ in seen]), np.stack([count for _, count in seen])
    gains = solved(colours, counts)
    if np.abs(np.log(gains)).max() < LEAST:
        return {}
    return dict(zip(own, gains, strict=True))


def solved(colours: FloatArray, counts: FloatArray) -> FloatArray:
    """colours (K, P, 3) of P patches in K cameras, counts (K, P) pixels → gains (K, 3), whose logs have mean zero.

    A camera that shares too little with the others, or is beyond ``MOST``, has gain 1.
    """
    gains = np.ones((len(colours), 3))
    known = np.ones(len(colours), bool)
    while True:
        shown = (counts >= PIXELS) & known[:, None]
        shown &= shown.sum(0) >= 2
        known &= shown.sum(1) >= SHARED
        if known.sum() < 2:
            return gains
        found = _found(np.maximum(colours[known], DARK), (counts * shown)[known])
        sane = (np.abs(np.log(found) - np.median(np.log(found), 0)) <= np.log(MOST)).all(1)
        if sane.all():
            gains[known] = found
            return gains
        known[known] = sane


def _found(colours: FloatArray, weight: FloatArray) -> FloatArray:
    """``solved`` of cameras that all share enough; weight (K, P)."""
    found = np.ones((len(colours), 3))
    robust = np.ones_like(colours)
    for _ in range(ROUNDS):
        trust = weight[..., None] * robust
        albedo = (trust * found[:, None] * colours).sum(0) / np.maximum((trust * found[:, None] ** 2).sum(0), 1e-9)
        found = (trust * albedo * colours).sum(1) / np.maximum((trust * albedo**2).sum(1), 1e-9)
        found /= np.exp(np.log(found).mean(0))
        residual = (colours - found[:, None] * albedo) / np.maximum(albedo, 0.05)
        robust = 1.0 / (1.0 + (residual / BENT) ** 2)
    return found


def _patches(head: HeadModel) -> IntArray:
    """(F,) the patch of each triangle of the face (of all, where the model does not say), from 0; −1 for the others."""
    cells = torch.floor(head.template[head.faces].mean(1) / PATCH).long().numpy()
    patches = np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)
    if "face" not in head.regions:
        return patches
    return np.where((head.regions["face"][head.faces].min(1).values > 0.5).numpy(), patches, -1)


def _seen(
    sequence: Sequence, head: HeadModel, pose: HeadPose, indices: list[int], patches: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Mean colour (P, 3) and number of pixels (P,) of each patch in some pictures of one camera."""
    faces, most = head.faces.numpy(), int(patches.max()) + 1
    total, count = np.zeros((most, 3)), np.zeros(most)
    for index in indices:
        drawn, mask = drawn_head(sequence, pose, faces, index).triangle, sequence.capture.mask(index)
        where = np.where(drawn >= 0, patches[np.maximum(drawn, 0)], -1)
        seen = (where >= 0) if mask is None else (where >= 0) & (mask > 200)
        picture = sequence.capture.image(index)[seen].astype(np.float64) / 255.0
        for channel in range(3):
            total[:, channel] += np.bincount(where[seen], picture[:, channel], most)
        count += np.bincount(where[seen], minlength=most)
    return total / np.maximum(count, 1.0)[:, None], count
