"""The video reader against clips that the tests encode: every frame carries its number as a grey level."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatarkit.capture import video as video_module
from avatarkit.capture.crop import Located
from avatarkit.capture.splits import held_out
from avatarkit.capture.video import read_video
from avatarkit.errors import FileFormatError, InputError
from avatarkit.events import Notice, collect
from avatarkit.types import ByteArray


def level(number: int) -> int:
    return 20 + 4 * (number % 50)


def write_clip(
    path: Path,
    frames: int = 40,
    size: tuple[int, int] = (96, 64),
    times: Sequence[int] | None = None,
    images: Sequence[ByteArray] | None = None,
    options: dict[str, str] | None = None,
    codec: str = "mpeg4",
    aspect: Fraction | None = None,
) -> Path:
    """Frames in units of a tenth of a second, or at ``times`` (milliseconds)."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "mpeg4":
            stream.codec_context.bit_rate = 4_000_000
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for i in range(frames):
            image = np.full((size[1], size[0], 3), level(i), np.uint8) if images is None else images[i]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = 100 * i if times is None else times[i]
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turned(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write the display matrix [a b; c d] into an mp4's track header, as phones do (ISO/IEC 14496-12, section 8.3.2)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    assert data[at] == 0, "version 0"
    place = at + 40
    a, b, c, d = (value * 65536 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def test_every_frame_in_order_with_its_time(tmp_path: Path) -> None:
    capture = read_video(write_clip(tmp_path / "a.mp4"), size=64, cache_dir=tmp_path / "c")
    assert (len(capture), capture.num_timesteps, len(capture.cameras)) == (40, 40, 1)
    for i, frame in enumerate(capture.frames):
        assert capture.image(i).shape == (64, 64, 3)
        assert abs(int(capture.image(i)[32, 32, 1]) - level(i)) <= 3
        assert frame.time == pytest.approx(0.1 * i, abs=1e-3)
        assert frame.timestep == i and frame.source == f"a.mp4, frame {i}"
    assert capture.cameras[0].K is None and not capture.masked and capture.mask(0) is None


def test_a_video_holds_out_every_tenth_and_the_last_15_percent(tmp_path: Path) -> None:
    capture = read_video(write_clip(tmp_path / "a.mp4"), size=64, cache_dir=tmp_path / "c")
    assert [f.timestep for f in capture.frames if f.split == "test"] == list(range(34, 40))
    assert [f.timestep for f in capture.frames if f.split == "val"] == [9, 19, 29]
    for count in range(1, 400):
        splits = held_out(count)
        assert splits[0] == "train" and len(splits) == count
        if count >= 20:
            assert abs(splits.count("test") - 0.15 * count) <= 1 and splits[-1] == "test"
            assert abs(splits.count("val") - 0.085 * count) <= 1


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [((1, 0, 0, 1), (0, 0)), ((0, 1, -1, 0), (0, -1)), ((-1, 0, 0, -1), (-1, -1)), ((0, -1, 1, 0), (-1, 0))],
    ids=["0", "90 clockwise", "180", "90 counter-clockwise"],
)
def test_rotation_flags(tmp_path: Path, matrix: tuple[int, int, int, int], corner: tuple[int, int]) -> None:
    """A bright left upper corner in the coded picture goes where the display matrix puts it."""
    image = np.full((64, 96, 3), 30, np.uint8)
    image[:16, :16] = 230
    clip = write_clip(tmp_path / "a.mp4", 10, images=[image] * 10)
    turned(clip, matrix)
    capture = read_video(clip, size=None, cache_dir=tmp_path / "c")
    shown = capture.image(3)
    upright = matrix[0] != 0
    assert shown.shape == ((64, 96, 3) if upright else (96, 64, 3))
    corners = {c: int(shown[c][0]) for c in ((0, 0), (0, -1), (-1, 0), (-1, -1))}
    assert max(corners, key=lambda c: corners[c]) == corner and corners[corner] > 180


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times = np.cumsum([0] + [20, 20, 180, 40] * 5).tolist()
    clip = write_clip(tmp_path / "a.mp4", len(times), times=times)
    capture = read_video(clip, size=64, cache_dir=tmp_path / "c")
    np.testing.assert_allclose([f.time for f in capture.frames], np.array(times) / 1000, atol=2e-3)


def test_non_square_pixels(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", 10, aspect=Fraction(2, 1))
    assert read_video(clip, size=None, cache_dir=tmp_path / "c").image(0).shape == (64, 192, 3)


def test_chosen_frames(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    for options, expected in (
        ({"max_frames": 5}, [0, 10, 20, 29, 39]),
        ({"every": 15}, [0, 15, 30]),
        ({"every": 2, "max_frames": 3}, [0, 20, 38]),
    ):
        capture = read_video(clip, size=64, cache_dir=tmp_path / "c", **options)  # type: ignore[arg-type]
        numbers = [int(f.source.split()[-1]) for f in capture.frames]
        assert np.abs(np.array(numbers) - expected).max() <= 1
        for i, number in enumerate(numbers):
            assert abs(int(capture.image(i)[32, 32, 1]) - level(number)) <= 3
    with pytest.raises(InputError, match="max_frames is 0"):
        read_video(clip, max_frames=0)


def test_several_clips_of_one_person(tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / "a.mp4", 20), write_clip(tmp_path / "b.mp4", 10, size=(128, 96))]
    capture = read_video(clips, size=512, cache_dir=tmp_path / "c")
    assert [camera.name for camera in capture.cameras] == ["a", "b"]
    assert {(camera.width, camera.height) for camera in capture.cameras} == {(64, 64)}, "one size for both"
    assert capture.num_timesteps == 30 and [f.camera for f in capture.frames] == [0] * 20 + [1] * 10
    assert capture.frames[20].time == 0.0 and capture.frames[20].source == "b.mp4, frame 0"
    assert sum(f.split == "test" for f in capture.frames if f.camera == 1) == 1
    assert capture.cameras[1].crop is not None and capture.cameras[1].crop.scale == 1.5
    shorter = read_video(clips, size=64, max_frames=15, cache_dir=tmp_path / "c")
    assert [sum(f.camera == c for f in shorter.frames) for c in (0, 1)] == [10, 5]


def test_frames_that_are_left_out_are_said(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 20)
    for options, said in (
        (
            {"max_frames": 5},
            [
                "a.mp4: 5 of its 20 frames are taken, spread evenly; take more with --max-frames, or cut the clip to take more of less"
            ],
        ),
        ({"max_frames": 20}, []),
        ({"every": 4}, []),  # who asks for it knows
    ):
        for _ in range(2):  # decoded, and from the cache
            run, events = collect()
            read_video(clip, size=64, cache_dir=tmp_path / "c", run=run, **options)  # type: ignore[arg-type]
            assert [e.text for e in events if isinstance(e, Notice)] == said


class Finder:
    """Finds a bright square; knows how often it was asked."""

    name = "bright"
    asked = 0

    def __call__(self, images: Sequence[ByteArray]) -> list[tuple[float, float, float, float] | None]:
        self.asked += 1
        boxes: list[tuple[float, float, float, float] | None] = []
        for image in images:
            rows, columns = np.nonzero(image[..., 0] > 150)
            boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None)
        return boxes


def test_one_crop_holds_the_head_in_every_frame(tmp_path: Path) -> None:
    images = []
    for i in range(12):
        image = np.full((720, 1280, 3), 40, np.uint8)
        if i != 5:
            image[200:280, 700 + 4 * i : 760 + 4 * i] = 220
        images.append(image)
    clip = write_clip(tmp_path / "a.mp4", 12, size=(1280, 720), images=images)
    finder = Finder()
    capture = read_video(clip, size=128, locate=finder, cache_dir=tmp_path / "c")
    crop = capture.cameras[0].crop
    assert crop is not None and crop.source == (1280, 720) and crop.width == crop.height
    assert 200 < crop.width < 300 and crop.y < 200 - 0.5 * 80 and crop.y + crop.height > 280 + 0.7 * 80
    assert crop.x < 700 - 30 and crop.x + crop.width > 760 + 44 + 30
    for i in (0, 11):  # the crop's own mapping takes the square to where it is
        rows, columns = np.nonzero(capture.image(i)[..., 0] > 130)
        left, top = crop.x + columns.min() * crop.scale, crop.y + rows.min() * crop.scale
        assert abs(left - (700 + 4 * i)) < 2 * crop.scale and abs(top - 200) < 2 * crop.scale
    read_video(clip, size=128, locate=finder, cache_dir=tmp_path / "c")
    assert finder.asked == 1, "a cached crop needs no detector"


def test_a_crowd_at_the_crop_is_an_error_or_a_warning(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 40)
    shown = lambda crowded: lambda images: Located([None] * len(images), crowded)  # noqa: E731
    with pytest.raises(InputError, match=r"a.mp4: 2 of .* several people.*; cut the clip to one person.*--anyway"):
        read_video(clip, size=64, locate=shown(2), cache_dir=tmp_path)
    run, events = collect()
    run.anyway = True
    read_video(clip, size=64, locate=shown(2), cache_dir=tmp_path / "c", run=run)
    assert sum(isinstance(e, Notice) and "several people" in e.text for e in events) == 1
    read_video(clip, size=64, locate=shown(1), cache_dir=tmp_path / "d")  # one of 32 is a passer-by


def test_no_face_takes_the_centre_and_says_so(tmp_path: Path) -> None:
    run, events = collect()
    capture = read_video(
        write_clip(tmp_path / "a.mp4", 10), size=64, locate=lambda i: [None] * len(i), cache_dir=tmp_path, run=run
    )
    crop = capture.cameras[0].crop
    assert crop is not None and (crop.x, crop.y, crop.width) == (16, 0, 64)
    assert any(isinstance(e, Notice) and "no face in 10 frames" in e.text for e in events)


def test_long_clips_are_probed_by_seeking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "a.mp4", 120)
    monkeypatch.setattr(video_module, "PROBE_AHEAD", 3)
    seen = video_module._sample(video_module.probe(clip), 6)
    levels = [int(image[32, 32, 1]) for image in seen]
    assert len(seen) == 6 and len(set(levels)) >= 5


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    """Only what is kept is converted: 300 frames of a larger picture, 10 kept."""
    clip = write_clip(tmp_path / "a.mp4", 300, size=(640, 480))
    capture = read_video(clip, size=128, max_frames=10, cache_dir=tmp_path / "c")
    assert len(capture) == 10 and capture.image(0).shape == (128, 128, 3)
    assert sum(f.stat().st_size for f in (tmp_path / "c").rglob("frames.u8")) == 10 * 128 * 128 * 3


def test_a_4k_film_of_a_phone_is_cropped_to_the_head(tmp_path: Path) -> None:
    """2160x3840 after its rotation flag: the detector sees it small, the crop has the pixels of the film."""
    image = np.full((2160, 3840, 3), 40, np.uint8)
    # stripes a pixel wide; turned to the right they are at x 860 to 1460, y 900 to 1500
    image[700:1300, 900:1500:2] = 220
    clip = write_clip(tmp_path / "a.mp4", 6, size=(3840, 2160), images=[image] * 6)
    turned(clip, (0, 1, -1, 0))
    shown: list[tuple[int, ...]] = []

    def locate(images: Sequence[ByteArray]) -> list[tuple[float, float, float, float]]:
        shown.extend(image.shape for image in images)
        boxes = []
        for image in images:
            rows, columns = np.nonzero(image[..., 0] > 90)
            boxes.append((columns.min(), rows.min(), columns.max() + 1.0, rows.max() + 1.0))
        return boxes

    capture = read_video(clip, size=512, locate=locate, cache_dir=tmp_path / "c")
    assert set(shown) == {(960, 540, 3)}
    crop = capture.cameras[0].crop
    assert crop is not None and crop.source == (2160, 3840) and capture.image(0).shape == (512, 512, 3)
    assert crop.width > 1100 and crop.scale == pytest.approx(crop.width / 512)
    rows, columns = np.nonzero(capture.image(3)[..., 0] > 90)
    edges = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) * crop.scale
    np.testing.assert_allclose(edges + [crop.x, crop.y] * 2, [860, 900, 1460, 1500], atol=1.5 * crop.scale)


def test_a_truncated_video_is_an_error_or_a_warning(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 64, 96, 3), dtype=np.uint8)
    clip = write_clip(tmp_path / "a.mp4", 40, images=list(noise), options={"movflags": "faststart"})
    data = clip.read_bytes()
    clip.write_bytes(data[: int(len(data) * 0.6)])
    for _ in range(2):  # the second time from the cache, and still said
        with pytest.raises(
            InputError, match=r"a.mp4: damaged or cut short.* of 40 frames can be read; copy .*--anyway"
        ):
            read_video(clip, size=64, cache_dir=tmp_path / "c")
        run, events = collect()
        run.anyway = True
        capture = read_video(clip, size=64, cache_dir=tmp_path / "c", run=run)
        assert 15 <= len(capture) < 30
        notices = [e for e in events if isinstance(e, Notice)]
        assert len(notices) == 1 and notices[0].level == "warning"
        assert f"{len(capture)} of 40 frames can be read" in notices[0].text


def test_a_video_that_lost_its_index(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 40)
    clip.write_bytes(clip.read_bytes()[:2000])
    with pytest.raises(FileFormatError, match=r"a.mp4: not a video that can be read") as caught:
        read_video(clip, cache_dir=tmp_path / "c")
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_too_little_of_a_video(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 64, 96, 3), dtype=np.uint8)
    clip = write_clip(tmp_path / "a.mp4", 40, images=list(noise), options={"movflags": "faststart"})
    data = clip.read_bytes()
    clip.write_bytes(data[: data.index(b"mdat") + int(0.06 * len(data))])
    with pytest.raises(FileFormatError, match=r"a.mp4: (only \d of 40 frames can be read|no frame of the video)"):
        read_video(clip, cache_dir=tmp_path / "c")
    assert not [p for p in (tmp_path / "c").iterdir() if not p.name.startswith(".")]


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(FileFormatError, match=r"empty.mp4: the file is empty"):
        read_video(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("hello " * 100)
    with pytest.raises(FileFormatError, match=r"text.mp4: not a video that can be read"):
        read_video(tmp_path / "text.mp4")
    with pytest.raises(InputError, match=r"none.mp4: no such file"):
        read_video(tmp_path / "none.mp4")
    with pytest.raises(InputError, match="no video was given"):
        read_video([])
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(FileFormatError, match=r"sound.mp4: it has no video stream"):
        read_video(tmp_path / "sound.mp4")
