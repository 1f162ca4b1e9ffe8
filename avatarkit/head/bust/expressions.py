"""Expression modes with ARKit's 52 names: displacements (mm) at weight 1.

``Left`` is the subject's left (+x).  A paired mode is written for the left and mirrored.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from avatarkit.head.bust import eyes, lips
from avatarkit.head.bust.assembly import Rest
from avatarkit.head.bust.rigging import JAW, Fields, bell, smoothstep
from avatarkit.head.bust.skin import CREASE_RING, CREASE_TURN, LID_RINGS, eye_chain, lid_points, margin_height

Array = NDArray[np.float64]

JAW_OPEN_ANGLE = 0.36  # radians at jawOpen = 1
CORNER = (lips.MOUTH.corner_x, lips.MOUTH.corner_y, lips.MOUTH.corner_z)


class ExpressionBuilder:
    """Makes the modes for one resting head."""

    def __init__(self, rest: Rest, fields: Fields) -> None:
        self.rest, self.fields, self.points = rest, fields, rest.points
        mouth = rest.grids["mouth"]
        self.red = np.zeros(
            len(self.points)
        )  # 0 at the border of the red and outside, 1 where the lips touch and inside
        for ids in (mouth, rest.mirror[mouth]):
            for ring, share in enumerate((0, 0, 0, 0, 0.2, 0.45, 0.72, 0.9, 1, 1, 1, 1)):
                self.red[ids[ring]] = share
        self.lips = self._lip_mask()

    def _lip_mask(self, reach: float = 15.0) -> Array:
        """1 on the red and its lining behind the teeth's front, falling off over ``reach`` mm of skin."""
        p = self.points
        away = np.hypot(np.maximum(np.abs(p[:, 0]) - 22.0, 0) / 1.2, np.maximum(np.abs(p[:, 1] + 45.5) - 8.0, 0))
        mask = (1 - smoothstep(0.0, reach, away)) * smoothstep(42.0, 60.0, p[:, 2]) * self.fields.soft
        depth = np.zeros(len(p))
        mouth = self.rest.grids["mouth"]
        for ids in (mouth, self.rest.mirror[mouth]):
            for ring in range(12, mouth.shape[0]):
                depth[ids[ring]] = min(1.0, (ring - 11) / 4)
        return mask * (1 - depth)

    # --- pieces ------------------------------------------------------------------------------------------------------

    def push(
        self, centre: tuple[float, float, float], widths: tuple[float, float, float], by: tuple[float, float, float]
    ) -> Array:
        """(V, 3) soft tissue around ``centre`` moved by ``by``; the lids hold still."""
        weight = bell(self.points, centre, widths) * self.fields.soft * self.fields.lid_hold
        return weight[:, None] * np.array(by)

    def corner(self, by: tuple[float, float, float], width: float = 14.0) -> Array:
        """The left corner of the mouth, with the cheek around it."""
        weight = bell(self.points, CORNER, (width, width * 0.95, 26.0)) * self.fields.soft
        weight *= smoothstep(-12.0, 10.0, self.points[:, 0])
        return weight[:, None] * np.array(by)

    def lip(self, upper: float, lower: float, by: tuple[float, float, float]) -> Array:
        """Both halves of the lips; ``upper`` and ``lower`` weigh them."""
        share = self.fields.upper * upper + (1 - self.fields.upper) * lower
        return (self.lips * share)[:, None] * np.array(by)

    def jaw_turned(self, angle: float, forward: float = 0.0) -> Array:
        """Everything that follows the jaw, turned about its hinge."""
        return (self.fields.jaw * self.fields.head)[:, None] * self._turned(angle, forward)

    def _turned(self, angle: float, forward: float) -> Array:
        arm = self.points - np.array(JAW)
        c, s = np.cos(angle), np.sin(angle)
        turned = np.stack([arm[:, 0], c * arm[:, 1] - s * arm[:, 2], s * arm[:, 1] + c * arm[:, 2] + forward], -1)
        return turned - arm

    def lids(self, height: Array, stretch: bool = True) -> Array:
        """The left eye's lids with margins at ``height`` (32,): mm above the corners' line, rest is ``margin_height``."""
        eye = eyes.EYE
        s, upper = eye_chain()
        corner = 1 - np.abs(s) ** 6
        rest_height = margin_height(eye)
        out = np.zeros_like(self.points)
        grid = self.rest.grids["eye"]
        ring_radius = np.sqrt(np.maximum(eye.lid**2 - np.where(s < 0, s * eye.inner, s * eye.outer) ** 2, 16.0))
        sign = np.where(upper, 1.0, -1.0)
        moved = sign * (
            np.arcsin(np.clip(height / ring_radius, -1, 1)) - np.arcsin(np.clip(rest_height / ring_radius, -1, 1))
        )
        for ring, (turn, _, _) in enumerate(LID_RINGS):
            rest_turn = np.radians(turn) * corner
            if ring < 4:
                # the lid's skin is stretched between margin and crease
                new_turn = rest_turn - (moved * 0.8 * turn / CREASE_TURN if stretch else 0.0)
            else:
                new_turn = rest_turn - moved * (0.25, 0.8, 1.0)[ring - 4]
            before = lid_points(eye, ring, rest_height, rest_turn)
            out[grid[CREASE_RING + 1 + ring]] = lid_points(eye, ring, height, new_turn) - before
        change = (height - rest_height)[:, None] * np.array([0, 1, 0])
        out[grid[CREASE_RING]] = 0.22 * change
        out[grid[CREASE_RING - 1]] = 0.10 * change
        out[grid[CREASE_RING - 2]] = 0.04 * change
        return out

    def lid_move(
        self, upper_mm: float = 0.0, lower_mm: float = 0.0, upper_close: float = 0.0, lower_close: float = 0.0
    ) -> Array:
        """Lids raised by millimetres or closed by a share."""
        s, upper = eye_chain()
        eye = eyes.EYE
        arc = 1 - s**2
        top = eyes.lid_line(eye, s, True, upper_close) + upper_mm * arc
        bottom = eyes.lid_line(eye, s, False, lower_close) + lower_mm * arc
        return self.lids(np.where(upper, top, bottom))

    def gaze(self, pitch: float, yaw: float) -> Array:
        """The left ball turned by degrees; pitch up, yaw to the subject's left."""
        out = np.zeros_like(self.points)
        ball = self.rest.parts["eyeball"] & (self.rest.side > 0)
        arm = self.points[ball] - np.array(eyes.EYE.centre)
        a, b = np.radians(-pitch), np.radians(yaw)
        turn_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        turn_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        out[ball] = arm @ (turn_y @ turn_x).T - arm
        return out

    def mirrored(self, mode: Array) -> Array:
        return mode[self.rest.mirror] * np.array([-1.0, 1.0, 1.0])

    # --- modes of the left half ---------------------------------------------------------------------------------------

    def left_modes(self) -> dict[str, Callable[[], Array]]:
        half = self.fields.left[:, None]
        return {
            "browDown": lambda: self.push((20, 49, 68), (20, 11, 25), (-1.8, -5.0, 0.8)),
            "browOuterUp": lambda: self.push((44, 51, 56), (17, 14, 25), (0.6, 5.5, 0.4)),
            "cheekSquint": lambda: self.push((38, 7, 58), (17, 12, 22), (0.5, 3.6, 1.6)) + self.lid_move(lower_mm=0.8),
            "eyeBlink": lambda: self.lid_move(upper_close=1.0, lower_close=1.0) + self.push((30, 46, 62), (18, 9, 20), (0, -0.8, 0)),
            "eyeLookDown": lambda: self.gaze(-26, 0) + self.lid_move(upper_close=0.42, lower_mm=-1.0),
            "eyeLookIn": lambda: self.gaze(0, -28),
            "eyeLookOut": lambda: self.gaze(0, 28),
            "eyeLookUp": lambda: self.gaze(22, 0) + self.lid_move(upper_mm=1.5, lower_mm=0.5),
            "eyeSquint": lambda: self.lid_move(upper_close=0.22, lower_close=0.55) + self.push((36, 14, 58), (17, 9, 20), (0, 2.0, 0.8)),
            "eyeWide": lambda: self.lid_move(upper_mm=2.2, lower_mm=-0.7) + self.push((32, 50, 64), (20, 10, 20), (0, 1.5, 0)),
            "mouthDimple": lambda: self.corner((3.0, 0.6, -4.5), 10.0),
            "mouthFrown": lambda: self.corner((0.6, -6.0, -1.0), 12.0) + self.push((18, -60, 66), (12, 8, 20), (0, -1.5, 0)),
            "mouthLowerDown": lambda: half * self.lip(0.0, 1.0, (0.3, -5.5, 0.6)) * 1.0,
            "mouthPress": lambda: half * self._press(),
            "mouthSmile": lambda: self.corner((5.5, 0.5, -5.0), 15.0) + self.corner((0, 7.0, 0), 12.5) + self.push((36, -12, 58), (16, 15, 24), (1.5, 3.5, 1.6)),
            "mouthStretch": lambda: self.corner((7.0, -2.5, -5.5), 15.0),
            "mouthUpperUp": lambda: half * self.lip(1.0, 0.0, (0.2, 4.6, 0.6)) + self.push((16, -14, 70), (9, 12, 18), (0, 1.6, 0)),
            "noseSneer": lambda: self.push((13, -6, 72), (8, 11, 22), (0.8, 3.4, 0.4))
            + self.push((14, -30, 70), (9, 8, 20), (0, 2.0, 0.3)) * self.fields.upper[:, None]
            + self.push((9, 30, 64), (8, 9, 16), (0, -1.2, 0.4)),
        }  # fmt: skip

    def _press(self) -> Array:
        """The red gets thin: its borders move towards the line, which stays."""
        thin = self.lips * (1 - self.red)
        sign = 1 - 2 * self.fields.upper
        out = np.zeros_like(self.points)
        out[:, 1] = 2.0 * sign * thin
        out[:, 2] = -1.6 * self.lips
        return out

    # --- modes of the whole face ------------------------------------------------------------------------------------------

    def central_modes(self) -> dict[str, Callable[[], Array]]:
        jaw = (self.fields.jaw * self.fields.head)[:, None]
        return {
            "browInnerUp": lambda: self._both(self.push((11, 50, 69), (12, 13, 22), (0.8, 5.5, 0.6))),
            "cheekPuff": lambda: self._both(self.push((42, -36, 50), (15, 17, 20), (7.0, 0, 4.5))) + self.lip(0.6, 0.6, (0, 0, 2.0)),
            "jawForward": lambda: jaw * np.array([0, 0, 6.0]),
            "jawLeft": lambda: jaw * np.array([7.0, 0, 0]),
            "jawOpen": lambda: self.jaw_turned(JAW_OPEN_ANGLE, 2.0),
            "jawRight": lambda: jaw * np.array([-7.0, 0, 0]),
            "mouthClose": self._close,
            "mouthFunnel": self._funnel,
            "mouthLeft": lambda: self._sideways(7.0),
            "mouthPucker": self._pucker,
            "mouthRight": lambda: self._sideways(-7.0),
            "mouthRollLower": lambda: self._roll(False),
            "mouthRollUpper": lambda: self._roll(True),
            "mouthShrugLower": lambda: self.lip(0.35, 1.0, (0, 3.6, 1.6)) + self.push((0, -68, 72), (18, 10, 22), (0, 3.4, 0.8)),
            "mouthShrugUpper": lambda: self.lip(1.0, 0.25, (0, 3.0, 1.8)),
            "tongueOut": self._tongue,
        }  # fmt: skip

    def _both(self, left: Array) -> Array:
        return left + self.mirrored(left)

    def _close(self) -> Array:
        """Undoes jawOpen's gap between the lips while the jaw stays open: both lips meet two fifths of the way down.

        The chin's skin is drawn up over 26 mm, or it would fold; the nose holds still.
        """
        wide = self._lip_mask(26.0) * (1 - smoothstep(-36.0, -22.0, self.points[:, 1]))
        share = 0.4 - self.fields.jaw * self.fields.head
        return (wide * share)[:, None] * self._turned(JAW_OPEN_ANGLE, 2.0)

    def _funnel(self) -> Array:
        out = self._both(self.corner((-6.5, 0, 1.5), 12.0)) + self.lip(1, 1, (0, 0, 5.0))
        away = np.clip(1 - np.abs(self.points[:, 0]) / 20.0, 0, 1) ** 0.5
        sign = 2 * self.fields.upper - 1
        out[:, 1] += self.lips * away * sign * np.where(sign > 0, 4.0, 5.5)
        out[:, 2] += self.lips * (1 - self.red) * 1.5
        return out

    def _pucker(self) -> Array:
        p = self.points
        squeeze = self.lips * np.clip(np.abs(p[:, 0]) / 20.0, 0, 1.2)
        out = np.zeros_like(p)
        out[:, 0] = -np.sign(p[:, 0]) * squeeze * 7.2
        out[:, 2] = self.lips * (6.5 - 2.0 * np.clip(np.abs(p[:, 0]) / 24, 0, 1)) + squeeze * 3.0
        sign = 2 * self.fields.upper - 1
        out[:, 1] = sign * self.lips * (1 - self.red) * 1.2
        return out

    def _sideways(self, by: float) -> Array:
        weight = bell(self.points, (0, -46, 74), (32, 17, 30)) * self.fields.soft
        return weight[:, None] * np.array([by, 0, 0])

    def _roll(self, upper: bool) -> Array:
        """One lip turns in over the teeth."""
        share = self.fields.upper if upper else 1 - self.fields.upper
        weight = self.lips * share * np.clip(1.25 - np.abs(self.points[:, 0]) / 24, 0, 1)
        sign = -1.0 if upper else 1.0
        out = np.zeros_like(self.points)
        out[:, 1] = sign * weight * (1 - self.red) * 3.4
        out[:, 2] = -weight * (0.8 + 2.6 * self.red)
        return out

    def _tongue(self) -> Array:
        tongue = self.rest.parts["tongue"]
        share = np.where(tongue, smoothstep(16.0, 58.0, self.points[:, 2]), 0.0)
        return share[:, None] * np.array([0, -2.0, 34.0]) + (share**3)[:, None] * np.array([0, -6.0, 0])


def expression_modes(rest: Rest, fields: Fields) -> tuple[tuple[str, ...], Array]:
    """Names, sorted, and displacements (E, V, 3) in millimetres."""
    builder = ExpressionBuilder(rest, fields)
    modes = {name: make() for name, make in builder.central_modes().items()}
    for name, make in builder.left_modes().items():
        left = make()
        right = builder.mirrored(left)
        modes[f"{name}Left"], modes[f"{name}Right"] = left, right
    names = tuple(sorted(modes))
    return names, np.stack([modes[name] for name in names])
