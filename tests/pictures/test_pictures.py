"""Films and sheets: what was written is what was given."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from avatarkit.errors import InputError
from avatarkit.pictures.film import write_film
from avatarkit.pictures.sheet import contact_sheet, error_picture, to_bytes, write_picture


def frames(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    made = []
    for i in range(count):
        picture = np.full((height, width, 3), 200, np.uint8)
        picture[:, : 8 + 4 * i] = (180, 40, 60)
        made.append(picture)
    return made


def test_a_film_has_every_frame_at_its_rate_and_looks_the_same(tmp_path: Path) -> None:
    given = frames(9)
    assert write_film(tmp_path / "f.mp4", given, 12.5) == 9
    with av.open(str(tmp_path / "f.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == pytest.approx(12.5, rel=0.01)
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(read) == 9
    for a, b in zip(read, given, strict=True):
        assert np.abs(a.astype(int) - b).mean() < 6


def test_odd_sizes_are_cut_and_nothing_is_an_error(tmp_path: Path) -> None:
    write_film(tmp_path / "odd.mp4", frames(2, 47, 63), 10)
    with av.open(str(tmp_path / "odd.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (62, 46)
    with pytest.raises(InputError, match="no frames"):
        write_film(tmp_path / "none.mp4", [], 10)
    assert not (tmp_path / "none.mp4").exists()


def test_a_sheet_holds_its_tiles_in_order() -> None:
    red, green, blue = (np.zeros((10, 12, 3), np.uint8) + np.uint8(c) for c in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
    sheet = contact_sheet([[red, green], [blue]])
    assert sheet.shape == (6 + 2 * 16, 6 + 2 * 18, 3)
    assert (sheet[6:16, 6:18] == (255, 0, 0)).all()
    assert (sheet[6:16, 24:36] == (0, 255, 0)).all()
    assert (sheet[22:32, 6:18] == (0, 0, 255)).all()
    captioned = contact_sheet([[red, green]], columns=["a", "b"], names=["row"], tile=20)
    assert captioned.shape[0] > 20
    assert (captioned == (255, 0, 0)).all(-1).sum() == 20 * 24


def test_a_caption_longer_than_its_column_takes_more_lines() -> None:
    tiles = [[np.full((60, 80, 3), 200, np.uint8)] * 2]
    one, long = (
        contact_sheet(tiles, ["t0 c1", text], tile=60) for text in ("t0 c2", "t0 c2: it disagrees with others")
    )
    assert long.shape[1] == one.shape[1] and long.shape[0] > one.shape[0]
    above = long[: long.shape[0] - 60 - 6]
    ink = (above < 128).all(-1)
    assert ink[:, 92:].any(1).sum() > 2 * ink[:, :86].any(1).sum() > 0, "more lines over the second column only"
    assert not ink[:, 86:92].any(), "and nothing between"


def test_errors_are_white_where_equal_and_dark_where_not() -> None:
    a = np.zeros((2, 2, 3), np.float32)
    b = a.copy()
    b[0, 0] = 1.0
    shown = error_picture(a, b)
    assert (shown[1, 1] == 255).all()
    assert shown[0, 0].tolist() == to_bytes(np.array([[[0.55, 0.0, 0.1]]]))[0, 0].tolist()


def test_pictures_are_written_by_suffix(tmp_path: Path) -> None:
    picture = frames(1)[0]
    write_picture(tmp_path / "p.png", picture)
    write_picture(tmp_path / "p.jpg", picture)
    assert (np.asarray(Image.open(tmp_path / "p.png")) == picture).all()
    assert Image.open(tmp_path / "p.jpg").format == "JPEG"
