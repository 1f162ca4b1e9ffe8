"""A mode of our own beside a head model's expressions, for tracking: the lower face shifted sideways.

Who pushes the jaw to one side takes cheeks and the corners of the jaw along, by half a centimetre.  The modes ``jawLeft`` and ``jawRight`` of
a head in FLAME topology move lips and chin and leave the outline of the cheeks where it was; a jaw joint that turns does no more, for the
corners of the jaw lie beside it.  The fit has one mode more, and what it finds is written as the offsets of vertices over time that every
file of head parameters has room for (``HeadParams.dynamic_offset``).
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

UNIT = 0.004  # metres that one unit of the mode moves the jaw: a standard deviation, as for other modes without a name
LEAST = 0.0005  # metres: a clip in which the jaw goes no farther has no offsets
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
        units = shift_of(params, self.head) if len(self.modes) else None
        if units is None:
            return replace(
                params, expr=torch.cat([params.expr, params.expr.new_zeros(len(params), len(self.modes))], 1)
            )
        return replace(params, expr=torch.cat([params.expr, units[:, None].to(params.expr)], 1), dynamic_offset=None)

    def ended(self, params: HeadParams) -> HeadParams:
        """``offsets_of``, without offsets where none is as large as half a millimetre."""
        found = self.offsets_of(params)
        assert found.dynamic_offset is not None
        largest = float(found.dynamic_offset.abs().max()) if found.dynamic_offset.numel() else 0.0
        return found if largest >= LEAST else replace(found, dynamic_offset=None)


def soft_head(head: HeadModel) -> SoftHead:
    """``head`` with the jaw's shift, or with no mode where its regions do not say where a jaw is."""
    shift = jaw_shift(head)
    modes = np.zeros((0, len(head.template), 3)) if shift is None else shift[None]
    return SoftHead(head, torch.tensor(modes, dtype=torch.float32))


def shift_of(params: HeadParams, head: HeadModel) -> Tensor | None:
    """(T,) units of the jaw's shift in ``params`` of ``head``: zeros without offsets over time, None where these are anything else."""
    if params.dynamic_offset is None:
        return torch.zeros(len(params))
    mode = jaw_shift(head)
    if mode is None:
        return None if bool(params.dynamic_offset.any()) else torch.zeros(len(params))
    unit = torch.tensor(mode, dtype=params.dynamic_offset.dtype, device=params.dynamic_offset.device)
    found = torch.einsum("tvc,vc->t", params.dynamic_offset, unit) / (unit**2).sum()
    left = (params.dynamic_offset - found[:, None, None] * unit).abs().max() if len(found) else torch.zeros(())
    return found if float(left) < ALIKE else None


def shifted(params: HeadParams, head: HeadModel, units: Tensor) -> HeadParams:
    """``params`` of ``head`` whose jaw is shifted by ``units`` (T,); no offsets where that is next to nothing, or where ``head`` cannot."""
    still = not len(units) or float(units.abs().max()) * UNIT < LEAST
    mode = None if still else jaw_shift(head)
    if mode is None:
        return replace(params, dynamic_offset=None)
    return replace(params, dynamic_offset=units[:, None, None] * torch.tensor(mode, dtype=torch.float32))


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


__all__ = ["SoftHead", "jaw_shift", "shift_of", "shifted", "soft_head"]
