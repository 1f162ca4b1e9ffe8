"""Hair that pokes through headwear: what an avatar has to hide once something is put over it."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.edit.accessories.anatomy import Anatomy, visible_splats
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX

ASIDE = 0.045  # radians between the directions of what covers and what is covered
INSIDE = 0.0015  # metres under the outside of headwear that still show through
OFF_SKIN = 0.003  # metres over the skin, where it is no skin any more


def poking_through(made: Gaussians, gaussians: Gaussians, anatomy: Anatomy, head: HeadModel) -> Tensor:
    """(N,) bool: which of the avatar's ``gaussians`` stand out of the headwear ``made`` by ``accessory``, at rest.

    Seen from the skull's centre, a Gaussian of hair whose far end lies beyond the nearest part of the headwear in its
    direction.  What stands off the skin above the brows counts as hair, whatever its label.  Nothing, where ``made`` is no
    headwear: the arms of glasses go under the hair, and earrings come out of it.
    """
    if not bool((made.label_logits.argmax(1) == LABEL_INDEX["hat"]).all()):
        return torch.zeros(len(gaussians), dtype=torch.bool)
    cover, _ = visible_splats(made, anatomy.pose, head.faces)
    splats, classes = visible_splats(gaussians, anatomy.pose, head.faces)
    centre = anatomy.envelope.centre
    offset = splats.points - centre
    distance = np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
    outward = offset / distance[:, None]
    off = distance > anatomy.envelope.reach(outward, hair=False) + OFF_SKIN
    hair = off & (splats.points[:, 1] > anatomy.brow_height)
    if classes is not None:
        hair |= classes == LABEL_INDEX["hair"]
    worn = cover.points - centre
    far = np.linalg.norm(worn, axis=1)
    gaps, near = cKDTree(worn / far[:, None]).query(outward, k=4)
    nearest = np.where(np.asarray(gaps) < ASIDE, far[np.minimum(near, len(far) - 1)], np.inf).min(1)
    return torch.from_numpy(hair & (distance + splats.along(outward) > nearest - INSIDE))
