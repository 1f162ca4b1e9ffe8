"""The form that hats are made on: the outside of a head, hair included, above a tilted line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from avatarkit.edit.accessories.anatomy import Anatomy
from avatarkit.types import FloatArray

COLUMNS = 96
STEEPEST = 0.26  # of the line's slope, front to back
OVER_EAR = 0.003  # metres that the line keeps above the ears
HEM = 0.008  # share of a dome that its last row takes, for a crisp edge
STEPS = 6  # rounds in which the ring on the line is found


@dataclass(frozen=True)
class Headform:
    """A line around the head, high in front; azimuths (C,): radians from +z towards +x.

    front: height of the line at depth ``depth``; slope: what it rises by forwards.
    """

    anatomy: Anatomy
    azimuths: FloatArray
    front: float
    depth: float
    slope: float

    def height(self, depth: FloatArray) -> FloatArray:
        """y of the line's plane at z = ``depth``."""
        return self.front + self.slope * (depth - self.depth)

    def around(self, heights: FloatArray) -> FloatArray:
        """Distance from the skull's axis to the outside at ``heights`` (…, C) of y, the same on both sides."""
        above = heights - self.anatomy.envelope.centre[1]
        turn = np.broadcast_to(self.azimuths, above.shape)
        return np.maximum(self.anatomy.envelope.around(turn, above), self.anatomy.envelope.around(-turn, above))

    def at(self, out: FloatArray, heights: FloatArray) -> FloatArray:
        """(…, C, 3) points ``out`` (…, C) metres from the axis at ``heights`` (…, C)."""
        centre = self.anatomy.envelope.centre
        return np.stack(
            [centre[0] + out * np.sin(self.azimuths), heights + 0 * out, centre[2] + out * np.cos(self.azimuths)], -1
        )

    def ring(self, off: float = 0.0, raised: float = 0.0) -> FloatArray:
        """(C, 3) where the line meets the head, ``off`` metres outside, ``raised`` metres higher."""
        centre = self.anatomy.envelope.centre
        out = np.full(len(self.azimuths), 0.08)
        for _ in range(STEPS):
            heights = self.height(centre[2] + out * np.cos(self.azimuths)) + raised
            out = self.around(heights)
        return self.at(out + off, self.height(centre[2] + (out + off) * np.cos(self.azimuths)) + raised)

    def dome(self, rows: int, off: FloatArray, raised: float = 0.0) -> FloatArray:
        """(rows, C, 3) from the crown to the line: the head's outside, ``off`` (rows, C) or (rows, 1) metres off it.

        The rows divide the angle between the zenith and the edge as ``dome_shares`` says, seen from the skull's centre; lumps
        of hair are smoothed over, never cut into.
        """
        centre = self.anatomy.envelope.centre
        ends = self.ring(0.0, raised) - centre
        lowest = np.arctan2(ends[:, 1], np.hypot(ends[:, 0], ends[:, 2]))
        angle = 0.5 * np.pi + (lowest - 0.5 * np.pi) * dome_shares(rows)
        level = np.cos(angle)
        directions = np.stack([level * np.sin(self.azimuths), np.sin(angle), level * np.cos(self.azimuths)], -1)
        reach = self.anatomy.envelope.reach
        distance = np.maximum(reach(directions), reach(directions * np.array([-1.0, 1.0, 1.0])))
        distance = np.maximum(distance, gaussian_filter(distance, (1.5, 5.0), mode=("nearest", "wrap")))
        distance = np.maximum(distance, gaussian_filter(distance, (1.0, 3.0), mode=("nearest", "wrap")))
        return centre + (distance + off)[..., None] * directions

    @property
    def top(self) -> float:
        """Height of the head's outside at the crown."""
        turn = np.linspace(0, 2 * np.pi, 24)
        lean = np.array([0.0, 0.25, 0.45])[:, None]
        directions = np.stack(
            np.broadcast_arrays(np.sin(lean) * np.sin(turn), np.cos(lean), np.sin(lean) * np.cos(turn)), -1
        )
        found = self.anatomy.envelope.reach(directions) * directions[..., 1]
        return float(self.anatomy.envelope.centre[1] + found.max())


def dome_shares(rows: int) -> FloatArray:
    """(rows, 1) where the rows of a dome lie: 0 at the crown, 1 at the edge."""
    return np.append(np.linspace(0.35 / rows, 1 - HEM, rows - 1), 1.0)[:, None]


def headform(anatomy: Anatomy, forehead: float, slope: float = STEEPEST, columns: int = COLUMNS) -> Headform:
    """The form above a line that crosses the forehead at the share ``forehead`` of the way from the brows to the crown.

    It slopes down to the back by ``slope``, less where it would cut the ears.
    """
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    height = anatomy.brow_height + forehead * (anatomy["crown"][1] - anatomy.brow_height)
    depth = float(anatomy.front(np.array(anatomy.middle), np.array(height)))
    for side in ("l", "r"):
        top = anatomy[f"{side}_ear_top"]
        slope = min(slope, (height - top[1] - OVER_EAR) / (depth - top[2]))
    return Headform(anatomy, turn, height, depth, max(0.05, slope))
