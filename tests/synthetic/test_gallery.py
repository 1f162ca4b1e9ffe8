"""The contact sheet's own parts."""

from __future__ import annotations

import numpy as np

from avatarkit.labels import LABEL_COLOURS, LABEL_INDEX
from avatarkit.synthetic.gallery import label_picture


def test_label_picture_has_the_vocabularys_colours() -> None:
    labels = np.array([[0, LABEL_INDEX["hair"]], [LABEL_INDEX["hat"], LABEL_INDEX["cloth"]]], np.uint8)
    picture = label_picture(labels)
    for name, spot in (("hair", (0, 1)), ("hat", (1, 0)), ("cloth", (1, 1))):
        assert tuple(picture[spot]) == LABEL_COLOURS[LABEL_INDEX[name]]
