"""Pieces of a class that no label names: cheeks, chin, beard, eyelids, teeth …, as soft zones on the head at rest.

Zones are in the face's own coordinates: x to the subject's left, y up, z forward, in units of the distance between the eyes, from
the point between them.  Heights are stretched piecewise so that brows, the base of the nose, the mouth and the chin of any head lie
where ``LEVELS`` has them; so one table of zones serves all heads and identities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from avatarkit.contracts import HeadModel

LEVELS = {"chin": -1.85, "mouth": -1.12, "nose": -0.78, "eyes": 0.0, "brows": 0.30, "hairline": 1.0}
"""Heights of what is measured, in the table's coordinates."""
SOFT = 0.06
"""Half of the width of a zone's edge, in eye distances: 4 mm."""

Zone = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class FaceCoordinates:
    """How a head's rest space maps to the zones' coordinates.

    origin (3,) metres; unit: metres; own, table (K,): heights of this head's levels in units, and where the table has them.
    """

    origin: Tensor
    unit: float
    own: Tensor
    table: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        """(N, 3) rest positions, metres → (N, 3) zone coordinates."""
        at = (points - self.origin) / self.unit
        return torch.stack([at[:, 0], _interpolated(at[:, 1], self.own, self.table), at[:, 2]], 1)


def face_coordinates(head: HeadModel, vertices: Tensor) -> FaceCoordinates:
    """Measure a head at rest: vertices (V, 3)."""

    def of(region: str) -> Tensor:
        return vertices[head.regions[region].to(vertices.device) > 0.5]

    left, right = of("l_eye").mean(0), of("r_eye").mean(0)
    origin, unit = 0.5 * (left + right), float((left - right).norm())
    heights = {
        "chin": of("jaw")[:, 1].min(),
        "mouth": 0.5 * (of("u_lip")[:, 1].mean() + of("l_lip")[:, 1].mean()),
        "nose": of("nose")[:, 1].min(),
        "eyes": origin[1],
        "brows": 0.5 * (of("l_brow")[:, 1].mean() + of("r_brow")[:, 1].mean()),
        "hairline": of("forehead")[:, 1].max(),
    }
    own = (torch.stack([heights[name] for name in LEVELS]) - origin[1]) / unit
    # a head whose levels are not in order (a broken region mask) keeps its own heights
    ordered = bool((own[1:] - own[:-1] > 0.02).all())
    table = torch.tensor(list(LEVELS.values()))
    return FaceCoordinates(origin, unit, own if ordered else table, table)


def _interpolated(values: Tensor, own: Tensor, table: Tensor) -> Tensor:
    """Piecewise linear through (own, table); beyond the ends with slope one."""
    at = torch.searchsorted(own.contiguous(), values.contiguous()).clamp(1, len(own) - 1)
    low, high = own[at - 1], own[at]
    share = ((values - low) / (high - low)).clamp(0.0, 1.0)
    between = table[at - 1] + share * (table[at] - table[at - 1])
    return between + (values - own[-1]).clamp(min=0.0) + (values - own[0]).clamp(max=0.0)


def above(value: Tensor, edge: float, soft: float = SOFT) -> Tensor:
    """0 below ``edge`` − soft, 1 above ``edge`` + soft, smooth between."""
    t = ((value - edge) / (2.0 * soft) + 0.5).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def below(value: Tensor, edge: float, soft: float = SOFT) -> Tensor:
    return 1.0 - above(value, edge, soft)


def _within(x: Tensor, y: Tensor, centre: tuple[float, float], axes: tuple[float, float], soft: float = 0.15) -> Tensor:
    """An ellipse seen from the front; ``soft`` in units of its radius."""
    radius = torch.hypot((x - centre[0]) / axes[0], (y - centre[1]) / axes[1])
    return below(radius, 1.0, soft)


def _front(z: Tensor) -> Tensor:
    return above(z, -0.75, 0.15)


def _cheek(side: float) -> Zone:
    def zone(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return _within(side * x, y, (0.72, -0.60), (0.40, 0.42), 0.25) * _front(z)

    return zone


def _both(left: Zone, right: Zone) -> Zone:
    return lambda x, y, z: torch.maximum(left(x, y, z), right(x, y, z))


def _lids(side: float) -> Zone:
    """Both lids and what lies between the upper one and the brow."""
    return lambda x, y, z: _within(side * x, y, (0.50, 0.05), (0.38, 0.23)) * above(z, -0.45, 0.1)


def _lashes(side: float) -> Zone:
    return lambda x, y, z: _within(side * x, y, (0.50, 0.0), (0.37, 0.17)) * above(z, -0.40, 0.1)


def _beard(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Jaw, chin, the lower cheeks in front of the ears, the throat below the chin."""
    edge = -1.0 + 0.75 * ((x.abs() - 0.45) / 0.6).clamp(
        0.0, 1.0
    )  # rises from the corners of the mouth to the sideburns
    t = ((edge - y) / (2.0 * SOFT) + 0.5).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t) * above(z, -1.0, 0.1) * above(y, -2.15, 0.1)


def _moustache(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Between nose and mouth, and down beside its corners; the cheek is the beard's."""
    edge = -1.10 - 0.35 * ((x.abs() - 0.25) / 0.10).clamp(0.0, 1.0)
    t = ((y - edge) / (2.0 * SOFT) + 0.5).clamp(0.0, 1.0)
    return below(x.abs(), 0.47) * t * t * (3.0 - 2.0 * t) * below(y, -0.72) * above(z, -0.1)


ZONES: dict[str, Zone] = {
    "forehead": lambda x, y, z: above(y, 0.45) * below(x.abs(), 1.15, 0.1) * _front(z),
    "l_cheek": _cheek(1.0),
    "r_cheek": _cheek(-1.0),
    "cheeks": _both(_cheek(1.0), _cheek(-1.0)),
    "chin": lambda x, y, z: _within(x, y, (0.0, -1.65), (0.50, 0.36)) * _front(z),
    "jaw": lambda x, y, z: below(y, -1.25) * above(z, -1.0, 0.1) * above(y, -2.1, 0.1),
    "eyelids": _both(_lids(1.0), _lids(-1.0)),
    "lashes": _both(_lashes(1.0), _lashes(-1.0)),
    "beard": lambda x, y, z: _beard(x, y, z) * (1.0 - _moustache(x, y, z)),
    "moustache": _moustache,
}
"""By name, what of the head at rest belongs to a piece: (x, y, z) each (N,) → (N,) in [0, 1]."""


def zone(name: str, coordinates: Tensor) -> Tensor:
    """(N,) in [0, 1]: how far points (N, 3) in zone coordinates belong to the piece ``name``."""
    x, y, z = coordinates.unbind(1)
    return ZONES[name](x, y, z)
