"""The frame cache: what goes in comes out, once; damage is noticed; a failure leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatarkit.capture.cache import CacheWriter, cache_key, cached, decode_picture, in_order, open_cache
from avatarkit.errors import EnvironmentProblem, FileFormatError
from avatarkit.events import Finished, Notice, collect
from avatarkit.types import ByteArray, Json

SIZES = [(5, 7), (8, 4), (1, 1)]


def pictures() -> list[tuple[ByteArray, ByteArray | None]]:
    rng = np.random.default_rng(0)
    return [
        (
            rng.integers(0, 256, (h, w, 3), dtype=np.uint8),
            None if i == 1 else rng.integers(0, 256, (h, w), dtype=np.uint8),
        )
        for i, (h, w) in enumerate(SIZES)
    ]


class Builder:
    """Counts how often it is called."""

    calls = 0

    def __call__(self, writer: CacheWriter) -> Json:
        self.calls += 1
        for image, mask in pictures():
            writer.add(image, mask)
        return {"times": [0.0, 0.5, 1.0]}


def test_frames_come_back_and_are_built_once(tmp_path: Path) -> None:
    build = Builder()
    run, events = collect()
    for _ in range(2):
        cache = cached("k", build, cache_dir=tmp_path, run=run)
        assert len(cache) == 3 and cache.meta == {"times": [0.0, 0.5, 1.0]} and not cache.masked
        for i, (image, mask) in enumerate(pictures()):
            np.testing.assert_array_equal(cache.image(i), image)
            assert cache.size(i) == SIZES[i]
            if mask is None:
                assert cache.mask(i) is None
            else:
                np.testing.assert_array_equal(cache.mask(i), mask)
    assert build.calls == 1
    finished = [event for event in events if isinstance(event, Finished)]
    assert len(finished) == 1 and finished[0].values["megabytes"] == cache.bytes / 1e6
    with pytest.raises(ValueError, match="read-only"):
        cache.image(0)[0] = 0


@pytest.mark.parametrize("damage", ["cut", "flip", "index", "no index", "older format", "no frames file"])
def test_damage_is_noticed_and_mended(tmp_path: Path, damage: str) -> None:
    build = Builder()
    folder = cached("k", build, cache_dir=tmp_path).folder
    frames, index = folder / "frames.u8", folder / "index.json"
    if damage == "cut":
        frames.write_bytes(frames.read_bytes()[:-1])
    elif damage == "flip":
        data = bytearray(frames.read_bytes())
        data[40] ^= 1
        frames.write_bytes(data)
    elif damage == "index":
        index.write_text(index.read_text()[:-9])
    elif damage == "no index":
        index.unlink()
    elif damage == "older format":
        index.write_text(json.dumps({**json.loads(index.read_text()), "format": "avatarkit-frames/0"}))
    else:
        frames.unlink()
    assert open_cache(folder) is None
    run, events = collect()
    mended = cached("k", build, cache_dir=tmp_path, run=run)
    np.testing.assert_array_equal(mended.image(0), pictures()[0][0])
    assert build.calls == 2
    assert [e.level for e in events if isinstance(e, Notice)] == ["warning"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail(writer: CacheWriter) -> Json:
        writer.add(*pictures()[0])
        raise FileFormatError("bad")

    with pytest.raises(FileFormatError, match="bad"):
        cached("k", fail, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1))
    with pytest.raises(EnvironmentProblem, match=r"the disk is full: the frames need 5.0 GB and 0.0 GB are free"):
        cached("k", Builder(), cache_dir=tmp_path, needed=5_000_000_000)
    monkeypatch.undo()

    def full(writer: CacheWriter) -> Json:
        raise OSError(28, "No space left on device")

    with pytest.raises(EnvironmentProblem, match="the disk is full") as caught:
        cached("k", full, cache_dir=tmp_path)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 3 and list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which only Linux has")
def test_a_full_disk_for_real(tmp_path: Path) -> None:
    def build(writer: CacheWriter) -> Json:
        writer._stream.close()
        writer._stream = open("/dev/full", "wb")  # noqa: SIM115
        writer.add(np.zeros((256, 256, 3), np.uint8))
        return {}

    with pytest.raises(EnvironmentProblem, match="the disk is full"):
        cached("k", build, cache_dir=tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(EnvironmentProblem, match="no permission"):
        cached("k", Builder(), cache_dir=tmp_path)
    tmp_path.chmod(0o700)


def test_the_key_follows_source_and_options(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"1")
    keys = [cache_key([file], {"size": 1}), cache_key([file], {"size": 2})]
    file.write_bytes(b"22")
    keys.append(cache_key([file], {"size": 1}))
    os.utime(file, ns=(1, 1))
    keys.append(cache_key([file], {"size": 1}))
    assert len(set(keys)) == 4 and cache_key([file], {"size": 1}) == keys[-1]


def test_a_stopped_run_stops_decoding(tmp_path: Path) -> None:
    run, _ = collect()
    run.stop()
    with pytest.raises(KeyboardInterrupt):
        cached("k", Builder(), cache_dir=tmp_path, run=run)
    assert list(tmp_path.iterdir()) == []


def test_decoding_is_in_order_and_bounded() -> None:
    lock, live, most = threading.Lock(), 0, 0

    def work(i: int) -> int:
        nonlocal live, most
        with lock:
            live += 1
            most = max(most, live)
        return i

    taken = []
    for value in in_order(work, range(200), threads=2):
        taken.append(value)
        with lock:
            live -= 1
    assert taken == list(range(200)) and most <= 5


def test_pictures_of_every_kind(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "g.png")
    image, alpha = decode_picture(tmp_path / "g.png")
    assert alpha is None and (image == grey[..., None]).all()
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "g16.png")
    assert (decode_picture(tmp_path / "g16.png")[0] == grey[..., None]).all()
    rgba = np.dstack([grey, grey, grey, 255 - grey])
    Image.fromarray(rgba, "RGBA").save(tmp_path / "rgba.png")
    image, alpha = decode_picture(tmp_path / "rgba.png")
    assert alpha is not None and (alpha == 255 - grey).all() and (image[..., 0] == grey).all()
    turned = Image.new("RGB", (6, 4))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert decode_picture(tmp_path / "turned.jpg")[0].shape == (6, 4, 3)
    (tmp_path / "no.png").write_text("hello")
    with pytest.raises(FileFormatError, match=r"no.png: not a picture"):
        decode_picture(tmp_path / "no.png")
