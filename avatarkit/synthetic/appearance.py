"""How the synthetic subject looks: every part and every colour, in one frozen record.

An edit of the subject is another record: ``dataclasses.replace(appearance, hair_colour="#b5451f", glasses="round")`` drawn
again with the same parameters and camera is the truth of that edit.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from avatarkit.errors import InputError, nearest, unknown_name

CHOICES: dict[str, tuple[str, ...]] = {
    "hair_style": ("short", "bob", "long", "curly", "bun", "buzz", "bald"),
    "shirt": ("crew", "v_neck", "collar", "turtleneck", "none"),
    "glasses": ("none", "round", "square", "sunglasses"),
    "hat": ("none", "hat", "cap", "beanie", "headband"),
    "earrings": ("none", "stud", "hoop", "drop"),
    "earring_side": ("both", "left", "right"),
    "necklace": ("none", "chain", "pearls"),
    "beard": ("none", "stubble", "goatee", "short", "full"),
    "moustache": ("none", "moustache"),
}

RANGES: dict[str, tuple[float, float]] = {
    "identity_strength": (0.0, 2.0), "blush": (0.0, 1.0), "freckles": (0.0, 1.0), "pupil_size": (0.5, 1.6),
    "brow_thickness": (0.4, 1.8), "eyeshadow": (0.0, 1.0), "hair_highlights": (0.0, 1.0), "glasses_scale": (0.8, 1.25),
    "hat_scale": (0.95, 1.25), "earring_scale": (0.6, 2.0), "lens_opacity": (0.0, 1.0),
}  # fmt: skip


@dataclass(frozen=True)
class Appearance:
    """Everything that can be chosen.  Colours are sRGB, "#rrggbb"; numbers are bounded by ``RANGES``, names by ``CHOICES``.

    identity: seed of the head's shape (``bust``'s modes and the displacement that they cannot express);
    identity_strength: size of that displacement, 1 = about 3 mm; lens_opacity is used by sunglasses; earring_side is the
    subject's.
    """

    identity: int = 0
    identity_strength: float = 1.0
    skin: str = "#e6b394"
    lips: str = "#bf6060"
    blush: float = 0.45
    freckles: float = 0.25
    iris: str = "#4f7a8c"
    sclera: str = "#eeeae6"
    pupil_size: float = 1.0
    teeth: str = "#efe8da"
    tongue: str = "#b4575c"
    brows: str = "#4a3222"
    brow_thickness: float = 1.0
    lashes: str = "#21160f"
    eyeshadow: float = 0.0
    eyeshadow_colour: str = "#6b4a7a"
    hair_style: str = "bob"
    hair_colour: str = "#5b3a24"
    hair_highlights: float = 0.35
    highlight_colour: str = "#a06a3c"
    shirt: str = "crew"
    shirt_colour: str = "#3d6b7d"
    shirt_trim: str = "#2f5564"
    glasses: str = "none"
    glasses_colour: str = "#22201f"
    glasses_scale: float = 1.0
    lens_colour: str = "#16181c"
    lens_opacity: float = 0.86
    hat: str = "none"
    hat_colour: str = "#a33b35"
    hat_trim: str = "#6d2522"
    hat_scale: float = 1.0
    earrings: str = "none"
    earring_colour: str = "#d9b14a"
    earring_side: str = "both"
    earring_scale: float = 1.0
    necklace: str = "none"
    necklace_colour: str = "#d9b14a"
    beard: str = "none"
    moustache: str = "none"
    beard_colour: str = "#4a3222"

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise unknown_name(name.replace("_", " "), str(getattr(self, name)), allowed)
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not low <= value <= high:
                raise InputError(f"appearance '{name}' is {value!r}; expected a number from {low} to {high}")
        for name in COLOURS:
            if not re.fullmatch(r"#[0-9a-fA-F]{6}", str(getattr(self, name))):
                raise InputError(f"appearance '{name}' is {getattr(self, name)!r}; expected a colour such as '#5b3a24'")

    def to_json(self) -> str:
        """One JSON object, every field."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Appearance:
        """The inverse of ``to_json``; absent fields keep their defaults, unknown ones raise InputError."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"appearance is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise InputError("appearance is not a JSON object")
        known = {f.name for f in fields(cls)}
        for name in values:
            if name not in known:
                raise InputError(f"appearance has no field '{name}'{nearest(name, known)}")
        return cls(**values)


COLOURS: tuple[str, ...] = tuple(
    f.name for f in fields(Appearance) if isinstance(f.default, str) and f.default.startswith("#")
)


def rgb(colour: str) -> tuple[float, float, float]:
    """ "#rrggbb" → sRGB in [0, 1]."""
    return tuple(int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5))  # type: ignore[return-value]


def preset(name: str) -> Appearance:
    """One of the named subjects of ``PRESETS``."""
    if name not in PRESETS:
        raise unknown_name("subject", name, PRESETS)
    return Appearance(**PRESETS[name])


# Six people who look different, for galleries and tests.
PRESETS: dict[str, dict[str, Any]] = {
    "ada": {},
    "bruno": {
        "identity": 3, "skin": "#c68e68", "lips": "#a35a50", "freckles": 0.0, "blush": 0.25, "iris": "#5d4023",
        "brows": "#231811", "brow_thickness": 1.4, "hair_style": "short", "hair_colour": "#2a1c14", "highlight_colour": "#4a3222",
        "shirt": "collar", "shirt_colour": "#d8d4c8", "shirt_trim": "#c4bfb0", "beard": "short", "moustache": "moustache",
        "beard_colour": "#2a1c14",
    },
    "chidi": {
        "identity": 5, "skin": "#84533a", "lips": "#8f4742", "freckles": 0.0, "blush": 0.1, "iris": "#3a2414",
        "brows": "#140d0a", "brow_thickness": 1.2, "lashes": "#0e0906", "hair_style": "curly", "hair_colour": "#17100c",
        "highlight_colour": "#2e1f16", "shirt": "v_neck", "shirt_colour": "#d39a2f", "shirt_trim": "#b98222", "glasses": "round",
    },
    "dana": {
        "identity": 8, "skin": "#f0c6ab", "lips": "#c45d62", "freckles": 0.9, "blush": 0.6, "iris": "#5c8a55",
        "brows": "#8a4a22", "hair_style": "long", "hair_colour": "#a8481d", "highlight_colour": "#d98442",
        "shirt": "v_neck", "shirt_colour": "#35523f", "shirt_trim": "#2a4233", "earrings": "hoop", "necklace": "chain",
    },
    "emil": {
        "identity": 11, "skin": "#ddab8c", "lips": "#ad6a60", "freckles": 0.0, "blush": 0.35, "iris": "#6f7f8d",
        "brows": "#8d8780", "brow_thickness": 1.3, "hair_style": "buzz", "hair_colour": "#8d8780", "highlight_colour": "#b8b4ae",
        "shirt": "turtleneck", "shirt_colour": "#33343b", "shirt_trim": "#33343b", "beard": "full", "moustache": "moustache",
        "beard_colour": "#96908a", "hat": "beanie", "hat_colour": "#5a6b3f", "hat_trim": "#4c5b34",
    },
    "farah": {
        "identity": 14, "skin": "#d6a07c", "lips": "#a83f4e", "freckles": 0.0, "blush": 0.5, "iris": "#4a3018",
        "brows": "#1d130e", "hair_style": "bun", "hair_colour": "#1d1512", "highlight_colour": "#3a281f", "eyeshadow": 0.5,
        "shirt": "crew", "shirt_colour": "#8c3f5c", "shirt_trim": "#75334c", "earrings": "drop", "necklace": "pearls",
        "necklace_colour": "#f1e9dc",
    },
}  # fmt: skip
