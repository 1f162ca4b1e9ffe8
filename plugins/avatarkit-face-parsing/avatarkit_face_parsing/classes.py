"""A model's class names → avatarkit's 19 labels.

CelebAMask-HQ (Lee et al., CVPR 2020) names a person's eyes, brows and ears ``l_`` and ``r_`` by the side of the *picture*: FaRL
(Zheng et al., CVPR 2022) reads its ``l_ear``, ``l_brow``, ``l_eye`` masks as the right ear, brow and eye.  avatarkit's are the
subject's, so such a model's sides are exchanged (``FaceParsingConfig.sides``).
"""

from __future__ import annotations

from collections.abc import Mapping

from avatarkit.errors import FileFormatError
from avatarkit.labels import LABEL_INDEX, LABELS

# Other names of the same classes: CelebAMask-HQ's own and those seen in models trained on it.
OTHER_NAMES = {
    "bg": "background", "face": "skin", "eye_g": "glasses", "eyeglass": "glasses", "eyeglasses": "glasses",
    "left_eye": "l_eye", "right_eye": "r_eye", "left_brow": "l_brow", "right_brow": "r_brow", "left_eyebrow": "l_brow",
    "right_eyebrow": "r_brow", "left_ear": "l_ear", "right_ear": "r_ear", "inner_mouth": "mouth", "upper_lip": "u_lip",
    "lower_lip": "l_lip", "ear_r": "earring", "earrings": "earring", "neck_l": "necklace", "clothes": "cloth",
    "clothing": "cloth",
}  # fmt: skip
SIDED = tuple((LABEL_INDEX[f"l_{part}"], LABEL_INDEX[f"r_{part}"]) for part in ("eye", "brow", "ear"))


def exchanged() -> list[int]:
    """The 19 labels' order with the sides of eyes, brows and ears exchanged (``l_lip`` is the lower lip and stays)."""
    order = list(range(len(LABELS)))
    for left, right in SIDED:
        order[left], order[right] = right, left
    return order


def label_of_channels(id2label: Mapping[int, str] | None, model: str) -> list[int]:
    """For each output channel of ``model`` its label.  Raises FileFormatError where names are missing or unknown."""
    names = [str(id2label[channel]) for channel in sorted(id2label)] if id2label else []
    if not names or all(name.upper().startswith("LABEL_") for name in names):
        raise FileFormatError(
            f"{model}: its config.json names no classes (id2label); expected CelebAMask-HQ's: background, skin, nose, …"
        )
    found = []
    for name in names:
        plain = name.lower().removesuffix(".png").strip().replace(" ", "_").replace("-", "_")
        plain = OTHER_NAMES.get(plain, plain)
        if plain not in LABEL_INDEX:
            raise FileFormatError(
                f"{model}: its class '{name}' is none of a face parser's; known: {', '.join(LABELS)} and CelebAMask-HQ's names"
            )
        found.append(LABEL_INDEX[plain])
    if LABEL_INDEX["background"] not in found:
        raise FileFormatError(f"{model}: none of its classes is the background; expected CelebAMask-HQ's classes")
    return found
