"""Natural-looking motion of the subject: blinks, speech, smiles, raised brows, gaze, head turns.  Deterministic by seed.

Every kind of movement returns in each of three cycles with other timing and strength, so that the last 30 % of the
timesteps, which are held out, are similar to the rest and equal to none of it.
"""

from __future__ import annotations

import numpy as np

from avatarkit.errors import InputError
from avatarkit.synthetic.subject import SubjectParams, bust
from avatarkit.types import FloatArray

CYCLES = 3
RELAXED_LIDS = 0.18  # weight of the blink in an open eye: a face at rest does not stare
# (modes and weights at full strength, centre within a cycle, width, both in cycles)
_MOODS: tuple[tuple[dict[str, float], float, float], ...] = (
    ({"mouthSmileLeft": 0.75, "mouthSmileRight": 0.70, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5, "eyeSquintLeft": 0.25,
      "eyeSquintRight": 0.25, "mouthDimpleLeft": 0.2, "mouthDimpleRight": 0.2}, 0.20, 0.09),
    ({"browInnerUp": 0.8, "browOuterUpLeft": 0.75, "browOuterUpRight": 0.75, "eyeWideLeft": 0.45, "eyeWideRight": 0.45,
      "jawOpen": 0.30}, 0.48, 0.065),
    ({"browDownLeft": 0.7, "browDownRight": 0.7, "mouthFrownLeft": 0.45, "mouthFrownRight": 0.45, "mouthPressLeft": 0.3,
      "mouthPressRight": 0.3, "noseSneerLeft": 0.25, "noseSneerRight": 0.25}, 0.70, 0.06),
    ({"mouthPucker": 0.7, "mouthFunnel": 0.25}, 0.87, 0.045),
    ({"mouthSmileLeft": 0.6, "browOuterUpRight": 0.4, "mouthLeft": 0.2}, 0.99, 0.04),
)  # fmt: skip


def _waves(time: FloatArray, rng: np.random.Generator, rates: tuple[float, ...]) -> FloatArray:
    """A smooth wander in about [−1, 1]: sines at ``rates`` (per cycle) with random phases."""
    total = sum(np.sin(2 * np.pi * (rate * time + rng.random())) / (1 + 0.35 * k) for k, rate in enumerate(rates))
    return np.asarray(total) / sum(1 / (1 + 0.35 * k) for k in range(len(rates)))


def _bump(time: FloatArray, centre: float, width: float) -> FloatArray:
    return np.exp(-0.5 * ((time - centre) / width) ** 2)


def natural_motion(timesteps: int, *, seed: int = 0, strength: float = 1.0) -> list[SubjectParams]:
    """``timesteps`` moments of one performance.  strength scales expression and head movement.

    Ranges at strength 1: head turns ±0.28 rad, nods ±0.15, neck and root together; jaw to 0.16 rad beside ``jawOpen``;
    gaze ±0.30 rad; expression weights in [0, 1].  Raises InputError for fewer than one timestep.
    """
    if timesteps < 1:
        raise InputError(f"{timesteps} timesteps asked for; at least 1 is needed")
    names = bust().expr_names
    rng = np.random.default_rng([seed, 991])
    time = np.linspace(0.0, CYCLES, timesteps, endpoint=False) + 0.02
    weights = {name: np.zeros(timesteps) for name in names if name}

    def add(name: str, value: FloatArray) -> None:
        if name in weights:
            weights[name] = weights[name] + value

    for mood, centre, width in _MOODS:
        for cycle in range(-1, CYCLES + 1):
            at, size = cycle + centre + rng.uniform(-0.025, 0.025), rng.uniform(0.75, 1.1)
            for name, weight in mood.items():
                add(name, strength * size * weight * _bump(time, at, width))
    speaking = np.clip(0.55 + 0.7 * _waves(time, rng, (1.0, 2.3)), 0.0, 1.0)
    syllable = np.clip(_waves(time, rng, (11.0, 7.3, 4.1)), -0.4, 1.0) * 0.5 + 0.2
    opening = np.clip(speaking * syllable * 1.25, 0.0, 1.0)
    add("jawOpen", strength * 0.55 * opening)
    for name, rates, size in (
        ("mouthFunnel", (5.0, 9.1), 0.30), ("mouthPucker", (6.2, 3.3), 0.22), ("mouthUpperUpLeft", (8.0, 4.4), 0.25),
        ("mouthLowerDownLeft", (7.1, 5.2), 0.30), ("mouthStretchLeft", (4.2, 6.6), 0.22), ("mouthRollLower", (5.7,), 0.18),
        ("mouthShrugUpper", (3.9,), 0.15), ("mouthClose", (4.9,), 0.06), ("browInnerUp", (1.9, 3.1), 0.30),
        ("cheekPuff", (1.4,), 0.12),
    ):  # fmt: skip
        wave = strength * size * np.clip(_waves(time, rng, rates), 0.0, 1.0) * speaking
        add(name, wave)
        if name.endswith("Left"):
            add(name.replace("Left", "Right"), wave * rng.uniform(0.8, 1.1))
    blink = np.zeros(timesteps)
    for cycle in range(CYCLES):  # two blinks a cycle; each is seen in at least one frame of a sampled clip
        for centre in (0.10, 0.62):
            at = cycle + centre + rng.uniform(-0.03, 0.03)
            nearest = time[np.argmin(np.abs(time - at))]
            blink = np.maximum(blink, _bump(time, float(nearest), 0.016) * rng.uniform(0.85, 1.0))
    for side in ("Left", "Right"):
        add(f"eyeBlink{side}", np.maximum(blink, RELAXED_LIDS + 0.05 * _waves(time, rng, (1.7, 3.3))))
        for name in ("Wide", "Squint"):  # a closed lid is not also wide open
            key = f"eye{name}{side}"
            if key in weights:
                weights[key] = weights[key] * (1 - blink)

    yaw = strength * (0.16 * _waves(time, rng, (0.9, 2.1)) + 0.05 * _waves(time, rng, (3.7,)))
    pitch = strength * (0.07 * _waves(time, rng, (1.3, 2.9)) + 0.05 * _waves(time, rng, (5.1,)) * speaking)
    roll = strength * 0.06 * _waves(time, rng, (0.8, 1.9))
    turn = strength * np.stack(
        [0.03 * _waves(time, rng, (0.7, 1.6)), 0.07 * _waves(time, rng, (0.6, 1.1)), 0.02 * _waves(time, rng, (0.9,))],
        1,
    )
    shift = strength * 0.006 * np.stack([_waves(time, rng, (0.7, 1.7)) for _ in range(3)], 1)
    look_x = np.clip(
        0.20 * _waves(time, rng, (1.7, 3.9)) - 0.45 * yaw, -0.30, 0.30
    )  # eyes hold the viewer against the head
    look_y = np.clip(0.09 * _waves(time, rng, (1.3, 2.7)) - 0.35 * pitch, -0.16, 0.16)
    jaw = strength * np.stack([0.14 * opening, 0.02 * _waves(time, rng, (4.3,)) * opening, 0 * time], 1)

    return [
        SubjectParams(
            expr=np.array([np.clip(weights[name][k], 0.0, 1.0) if name else 0.0 for name in names]),
            rotation=turn[k], translation=shift[k], neck_pose=np.array([pitch[k], yaw[k], roll[k]]), jaw_pose=jaw[k],
            eyes_pose=np.array([look_y[k], look_x[k], 0.0, look_y[k], look_x[k], 0.0]),
        )
        for k in range(timesteps)
    ]  # fmt: skip


def posed(**weights: float) -> SubjectParams:
    """The relaxed pose with named expression weights: ``posed(mouthSmileLeft=1, mouthSmileRight=1)``; for pictures and tests."""
    names = bust().expr_names
    unknown = sorted(set(weights) - set(names))
    if unknown:
        raise InputError(f"'{unknown[0]}' is not an expression of the head model 'bust'")
    expr = np.array([weights.get(name, 0.0) for name in names])
    for side in ("Left", "Right"):
        at = names.index(f"eyeBlink{side}")
        expr[at] = max(expr[at], RELAXED_LIDS)
    return SubjectParams(expr, *(np.zeros(n) for n in (3, 3, 3, 3, 6)))
