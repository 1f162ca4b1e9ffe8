"""The semantic vocabulary: the 19 CelebAMask-HQ classes, in that data set's order.

``l_`` and ``r_`` are the *subject's* left and right.  A segmenter whose model uses another convention maps it.
"""

from __future__ import annotations

LABELS: tuple[str, ...] = (
    "background", "skin", "nose", "glasses", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear",
    "mouth", "u_lip", "l_lip", "hair", "hat", "earring", "necklace", "neck", "cloth",
)  # fmt: skip

NUM_LABELS = len(LABELS)
LABEL_INDEX: dict[str, int] = {name: index for index, name in enumerate(LABELS)}

# Flat colours for label pictures, (19, 3) uint8-range values in LABELS' order; background is black.
LABEL_COLOURS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 0), (236, 188, 160), (247, 141, 103), (60, 60, 70), (70, 140, 250), (40, 90, 200),
    (120, 80, 50), (90, 60, 40), (250, 200, 90), (220, 160, 60), (120, 20, 40), (225, 70, 95),
    (190, 45, 75), (150, 95, 200), (40, 160, 90), (255, 225, 60), (230, 230, 120), (205, 150, 125), (95, 125, 150),
)  # fmt: skip
