"""Modes of our own beside a head model's expressions, for tracking: the lower face shifted sideways, and the face bent a little.

Who pushes the jaw to one side takes cheeks and the corners of the jaw along, by half a centimetre.  The modes ``jawLeft`` and ``jawRight`` of
a head in FLAME topology move lips and chin and leave the outline of the cheeks where it was; a jaw joint that turns does no more, for the
corners of the jaw lie beside it.  And no expressions are quite those of the person in the pictures: what they lack the turn of the head
makes up for, as far as nothing holds it.  So the fit has one mode of the lower face, and twelve of the whole face, which go sideways and up by
constant, linear and quadratic amounts over the face and fade towards ears, scalp and neck.  What it finds is written as
the offsets of vertices over time that every file of head parameters has room for (``HeadParams.dynamic_offset``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from avatarkit.contracts import HeadModel, LandmarkEmbedding
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.head.skinning import Rig
from avatarkit.track.landmark_rig import require_rig
from avatarkit.types import BoolArray, FloatArray, IntArray

UNIT = 0.004  # metres that one unit of the jaw's shift moves the jaw: a standard deviation, as for other modes without a name
BEND = 0.002  # likewise of each mode of the whole face
FADE_IN = 12  # rings of vertices over which these modes begin at the edge of the face
FADE_OUT = 8  # and over which they end at ears, scalp and neck
LEAST = 0.0005  # metres: a clip in which no vertex goes farther has no offsets
ALIKE = 1e-5  # metres
ABOVE_LOBE = 0.01  # metres above the ear lobes at which cheeks begin to go along
BEHIND = (0.01, 0.06)  # metres behind the front of the ears over which it fades
THROAT = 0.04  # metres below the chin over which it fades
EDGE_ROUNDS = 6  # about ears and neck it fades over a few rings of vertices
FACE, LIPS, EARS = ("face",), ("lips", "u_lip", "l_lip"), ("l_ear", "r_ear")
ON_JAW = ("teeth", "tongue")  # go along by how far they hang on the jaw's joint


class SoftHead:
    """``head`` with the modes (K, V, 3), metres, behind its own expressions (``contracts.HeadModel``, and a rig)."""

    def __init__(self, head: HeadModel, modes: Tensor) -> None:
        self.head, self.modes = head, modes
        rig: Rig = require_rig(head)
        planar = modes.permute(0, 2, 1).reshape(len(modes), rig.motion_basis.shape[1]).to(rig.motion_basis)
        joints = torch.einsum("jv,kvc->kjc", rig.joint_regressor.double(), modes.double()).to(rig.joint_expr)
        own = rig.num_expr
        self.rig = replace(
            rig,
            motion_basis=torch.cat([rig.motion_basis[:own], planar, rig.motion_basis[own:]]),
            joint_expr=torch.cat([rig.joint_expr, joints.reshape(len(modes), rig.joint_expr.shape[1])]),
            _neutral={},
        )

    @property
    def num_bends(self) -> int:
        """How many of the modes, the last ones, bend the whole face."""
        return max(len(self.modes) - 1, 0)

    @property
    def name(self) -> str:
        return self.head.name

    @property
    def num_shape(self) -> int:
        return self.head.num_shape

    @property
    def num_expr(self) -> int:
        return self.head.num_expr + len(self.modes)

    @property
    def expr_names(self) -> tuple[str, ...]:
        """The head's own, then "": no detector scores ours, and nothing limits them."""
        return (*self.head.expr_names, *[""] * len(self.modes))

    @property
    def joint_names(self) -> tuple[str, ...]:
        return self.head.joint_names

    @property
    def parents(self) -> tuple[int, ...]:
        return self.head.parents

    @property
    def faces(self) -> Tensor:
        return self.head.faces

    @property
    def template(self) -> Tensor:
        return self.head.template

    @property
    def regions(self) -> dict[str, Tensor]:
        return self.head.regions

    @property
    def landmarks(self) -> LandmarkEmbedding | None:
        return self.head.landmarks

    @property
    def reference(self) -> dict[str, Any]:
        return self.head.reference

    def pose(self, params: HeadParams) -> HeadPose:
        """See ``contracts.HeadModel.pose``; ``params`` have ``num_expr`` expressions of this head."""
        return self.head.pose(self.offsets_of(params))

    def offsets_of(self, params: HeadParams) -> HeadParams:
        """The same head in the terms of the model itself: what our modes do is in ``dynamic_offset``."""
        own = self.head.num_expr
        moved = torch.einsum("tk,kvc->tvc", params.expr[:, own:], self.modes)
        if params.dynamic_offset is not None:
            moved = moved + params.dynamic_offset
        return replace(params, expr=params.expr[:, :own].contiguous(), dynamic_offset=moved)

    def begun(self, params: HeadParams) -> HeadParams:
        """``params`` of the model itself in terms of this head; offsets that our modes do not make stay what they are."""
        units = units_of(params, self.head) if len(self.modes) else None
        if units is None:
            return replace(
                params, expr=torch.cat([params.expr, params.expr.new_zeros(len(params), len(self.modes))], 1)
            )
        return replace(params, expr=torch.cat([params.expr, units.to(params.expr)], 1), dynamic_offset=None)

    def ended(self, params: HeadParams) -> HeadParams:
        """``offsets_of``, without offsets where none is as large as half a millimetre."""
        found = self.offsets_of(params)
        assert found.dynamic_offset is not None
        largest = float(found.dynamic_offset.abs().max()) if found.dynamic_offset.numel() else 0.0
        return found if largest >= LEAST else replace(found, dynamic_offset=None)


def soft_head(head: HeadModel) -> SoftHead:
    """``head`` with our modes, or with none where its regions do not say where a jaw is."""
    modes = soft_modes(head)
    return SoftHead(head, torch.zeros(0, len(head.template), 3) if modes is None else modes)


def soft_modes(head: HeadModel) -> Tensor | None:
    """(K, V, 3) metres, float32: the jaw's shift, and what bends the face; None for a head without the regions it takes."""
    shift = jaw_shift(head)
    return None if shift is None else torch.tensor(np.concatenate([shift[None], bends(head)]), dtype=torch.float32)


def units_of(params: HeadParams, head: HeadModel) -> Tensor | None:
    """(T, K) units of our modes in ``params`` of ``head``: zeros without offsets over time, None where these are anything else."""
    modes = soft_modes(head)
    if params.dynamic_offset is None or modes is None:
        other = params.dynamic_offset is not None and bool(params.dynamic_offset.any())
        return None if other else torch.zeros(len(params), 0 if modes is None else len(modes))
    if not len(params):
        return torch.zeros(0, len(modes))
    flat, offsets = modes.double().flatten(1), params.dynamic_offset.detach().cpu().double().flatten(1)
    found = torch.linalg.lstsq(flat.T, offsets.T).solution.T
    return found.to(params.dynamic_offset) if float((offsets - found @ flat).abs().max()) < ALIKE else None


def moved(params: HeadParams, head: HeadModel, units: Tensor) -> HeadParams:
    """``params`` of ``head`` with ``units`` (T, K) of our modes; no offsets where that is next to nothing, or where ``head`` cannot."""
    modes = soft_modes(head) if units.numel() else None
    if modes is None:
        return replace(params, dynamic_offset=None)
    offsets = torch.einsum("tk,kvc->tvc", units.float(), modes)
    return replace(params, dynamic_offset=offsets if float(offsets.abs().max()) >= LEAST else None)


def jaw_shift(head: HeadModel) -> FloatArray | None:
    """(V, 3) metres: one unit of the lower face's way to the subject's left; None for a head without the regions it takes.

    It rises from above the ear lobes to the lips, fades about the ears, behind them and down the throat, and takes along of the teeth what
    hangs on the jaw.
    """
    rest, faces = head.template.double().numpy(), head.faces.numpy()
    face, ears, lips = (_inside(head, names) for names in (FACE, EARS, LIPS))
    if not (face.any() and ears.any() and lips.any()):
        return None
    top, whole = rest[ears, 1].min() + ABOVE_LOBE, rest[lips, 1].mean()
    if top <= whole:
        return None
    share = _ramp(-rest[:, 1], -top, -whole)
    share *= faded((~ears & ~_inside(head, ("neck",))).astype(np.float64), faces, EDGE_ROUNDS)
    share *= _ramp(rest[:, 2], rest[ears, 2].max() - BEHIND[1], rest[ears, 2].max() - BEHIND[0])
    share *= _ramp(rest[:, 1], rest[face, 1].min() - THROAT, rest[face, 1].min())
    hanging = _inside(head, ON_JAW)
    share[hanging] = 0.0
    rig = getattr(head, "rig", None)
    if rig is not None and "jaw" in head.joint_names:
        share[hanging] = np.asarray(rig.weights, np.float64)[head.joint_names.index("jaw")][hanging]
    return cast(FloatArray, share[:, None] * np.array([UNIT, 0.0, 0.0]))


def bends(head: HeadModel) -> FloatArray:
    """(12, V, 3) metres: 1, x, y, x², xy and y² of where a vertex is in the face, in [−1, 1], sideways and up; a unit is BEND at most."""
    rest, faces = head.template.double().numpy(), head.faces.numpy()
    face = _inside(head, FACE)
    share = faded((face | _inside(head, LIPS)).astype(np.float64), faces, FADE_IN)
    share *= 1.0 - faded(_inside(head, ("scalp", *EARS, "neck")).astype(np.float64), faces, FADE_OUT)
    low, high = rest[face].min(0), rest[face].max(0)
    x, y = (np.clip((2 * rest[:, i] - high[i] - low[i]) / (high[i] - low[i]), -1.0, 1.0) for i in (0, 1))
    modes = np.zeros((12, len(rest), 3))
    for k, amount in enumerate((np.ones_like(x), x, y, x * x, x * y, y * y)):
        for axis in (0, 1):
            modes[2 * k + axis, :, axis] = BEND * share * amount
    return modes


def _ramp(value: FloatArray, low: float, high: float) -> FloatArray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    share = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(share**2 * (3.0 - 2.0 * share))


def _inside(head: HeadModel, names: tuple[str, ...]) -> BoolArray:
    """(V,) whether a vertex is in one of the regions; nowhere where the head has none of them."""
    found = np.zeros(len(head.template), bool)
    for name in names:
        if name in head.regions:
            found |= head.regions[name].numpy() > 0.5
    return found


def faded(mask: FloatArray, faces: IntArray, rounds: int) -> FloatArray:
    """(V,) ``mask`` spread over the mesh: the mean with the neighbours', ``rounds`` times."""
    first, second = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).T
    one, other = np.concatenate([first, second]), np.concatenate([second, first])
    count = np.maximum(np.bincount(one, minlength=len(mask)), 1)
    for _ in range(rounds):
        mask = 0.5 * mask + 0.5 * np.bincount(one, mask[other], len(mask)) / count
    return mask


__all__ = ["SoftHead", "bends", "jaw_shift", "moved", "soft_head", "soft_modes", "units_of"]
