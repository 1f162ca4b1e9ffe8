"""Tables of systems: protocols, pictures of other systems, means by camera and timestep, the worst frames."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatarkit.capture.capture import Capture, CaptureCamera, Frame
from avatarkit.capture.dataset import read_dataset
from avatarkit.errors import InputError
from avatarkit.evaluate.protocols import by_protocol, trained_on
from avatarkit.evaluate.table import means

Command = Callable[..., Any]


def a_capture(cameras: int, timesteps: int) -> Capture:
    frames = tuple(Frame(t, c, "train", f"images/{t}_{c}.png") for t in range(timesteps) for c in range(cameras))
    return Capture(
        "x", tuple(CaptureCamera(f"{c:02d}", 8, 8) for c in range(cameras)), frames, tuple(map(str, range(timesteps))),
        image=lambda index: np.full((8, 8, 3), index, np.uint8),
    )  # fmt: skip


@pytest.mark.parametrize(("cameras", "val"), [(16, 8), (9, 8), (4, 3), (1, None)])
def test_the_vhap_protocol(cameras: int, val: int | None) -> None:
    found = by_protocol(a_capture(cameras, 10), "vhap")
    for index, frame in enumerate(found.frames):
        expected = "test" if frame.timestep >= 7 else "val" if frame.camera == val else "train"
        assert frame.split == expected and found.image(index)[0, 0, 0] == index
    assert len(found.indices("test")) == 3 * cameras


def test_a_camera_that_moved_is_held_out_with_all_its_poses() -> None:
    capture = a_capture(9, 10)
    moved = (*capture.cameras, CaptureCamera("08/2", 8, 8))
    frames = tuple(replace(f, camera=9) if f.camera == 8 and f.timestep > 3 else f for f in capture.frames)
    found = by_protocol(replace(capture, cameras=moved, frames=frames), "vhap")
    assert {f.camera for f in found.frames if f.split == "val"} == {8, 9} and len(found.indices("val")) == 7
    alone = a_capture(1, 10)
    both = replace(alone, cameras=(*alone.cameras, CaptureCamera("00/2", 8, 8)))
    assert by_protocol(both, "vhap").indices("val") == [], "one camera that moves is one camera"


def test_an_image_that_a_union_lists_twice_counts_once() -> None:
    capture = a_capture(2, 4)
    doubled = replace(capture, frames=(*capture.frames, *(replace(f, split="val") for f in capture.frames[:4])))
    found = by_protocol(doubled, "vhap")
    assert len(found.frames) == 8 and {found.image(i)[0, 0, 0] for i in range(8)} == set(range(4, 12))


def test_the_gaussianavatars_protocol_wants_the_files(tiny_capture: Path, tmp_path: Path) -> None:
    capture = read_dataset(tiny_capture, cache_dir=tmp_path / "cache").capture
    assert by_protocol(capture, "gaussianavatars") is capture
    bare = Path(shutil.copytree(tiny_capture, tmp_path / "bare"))
    for split in ("val", "test"):
        (bare / f"transforms_{split}.json").unlink()
    with pytest.raises(InputError, match="neither transforms_val"):
        by_protocol(read_dataset(bare, cache_dir=tmp_path / "cache").capture, "gaussianavatars")


def test_frames_that_were_trained_on_are_counted() -> None:
    capture = a_capture(2, 4)
    assert trained_on(capture.frames[:3], capture, [0, 2, 5, 6]) == 2


def test_means_leave_out_what_was_not_measured() -> None:
    row = {"psnr": 30.0, "ssim": 0.9, "lpips": None, "regions": {"head": None}, "masked": None}
    other = {
        **row,
        "psnr": 20.0,
        "masked": {"psnr": 25.0, "ssim": 0.5, "lpips": None},
        "regions": {"head": {"psnr": 10.0}},
    }
    found = means([row, other])
    assert (found["psnr"], found["lpips"], found["frames"]) == (25.0, None, 2)
    assert found["masked"] == {"psnr": 25.0, "ssim": 0.5, "lpips": None} and found["regions"]["head"]["psnr"] == 10.0


def test_a_table_of_avatars(command: Command, reconstructed: Path, tiny_capture: Path, tmp_path: Path) -> None:
    """The same avatar under two names: equal rows, the figures of the plain evaluation, sheets of the worst beside the JSON."""
    shutil.copy(reconstructed, tmp_path / "other.avatar")
    out = tmp_path / "t1.json"
    said = command("eval", reconstructed, tmp_path / "other.avatar", tiny_capture, "--json", out, "--worst", 2)
    assert said.code == 0, said.err
    found = json.loads(out.read_text())
    assert set(found) == {"protocol", "lpips_net", "table", "results", "pictures"}
    assert set(found["table"]) == {"val", "test"} and set(found["table"]["val"]) == {"tiny", "other"}
    stored = json.loads((reconstructed.with_suffix(".run") / "metrics.json").read_text())
    for split in ("val", "test"):
        row = found["table"][split]["tiny"]
        assert row == found["table"][split]["other"]
        assert row["psnr"] == pytest.approx(next(r["psnr"] for r in stored if r["split"] == split), abs=1e-9)
        assert row["masked"]["psnr"] < row["psnr"], "a plain background is easy"
    test = next(r for r in found["results"] if r["split"] == "test" and r["system"] == "tiny")
    assert set(test["cameras"]) == {"00", "01", "02"} and set(test["timesteps"]) == {"00005"}
    for name, each in test["cameras"].items():
        rows = [row["psnr"] for row in test["rows"] if row["camera"] == name]
        assert each["psnr"] == pytest.approx(np.mean(rows)) and each["frames"] == len(rows)
    assert len(found["pictures"]) == 4 and all(Path(file).parent == tmp_path / "t1-worst" for file in found["pictures"])
    assert "novel view" in said.err and "self-reenactment" in said.err and "masked PSNR" in said.err


def test_a_protocol_resplits_and_says_what_was_trained_on(command: Command, reconstructed: Path) -> None:
    said = command("eval", reconstructed, "--protocol", "vhap", "--json", "-")
    assert said.code == 0, said.err
    found = said.json
    rows = {row["split"]: row["rows"] for row in found["results"]}
    assert {row["camera"] for row in rows["val"]} == {"02"} and {row["timestep"] for row in rows["test"]} == {5}
    assert "trained on 5 of the 5 frames of 'val'" in " ".join(said.err.split()) and found["pictures"] == []


def renders(capture: Path, folder: Path, error: int, name: Callable[[str], str]) -> Path:
    """Pictures of "another system": the truth, ``error`` levels brighter or darker, named by ``name``."""
    for split in ("val", "test"):
        for row in json.loads((capture / f"transforms_{split}.json").read_text())["frames"]:
            truth = np.asarray(Image.open(capture / row["file_path"]).convert("RGB"), np.int16)
            moved = np.where(truth < 128, truth + error, truth - error).astype(np.uint8)
            file = folder / name(f"{split}/{row['timestep_index']:05d}_{row['camera_index']:02d}")
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(moved).save(file)
    return folder


@pytest.mark.parametrize("name", ["{}.png", "deep/er/{}.png"])
def test_pictures_of_another_system(command: Command, tiny_capture: Path, tmp_path: Path, name: str) -> None:
    folder = renders(tiny_capture, tmp_path / "theirs", 5, lambda stem: name.format(Path(stem).name))
    said = command("eval", "--images", folder, tiny_capture, "--json", "-", "-q", "--head", "bust")
    assert said.code == 0, said.err
    for split in ("val", "test"):
        row = said.json["table"][split]["theirs"]
        assert row["psnr"] == pytest.approx(20 * np.log10(255 / 5), abs=0.05)
        assert row["masked"]["psnr"] == pytest.approx(20 * np.log10(255 / 5), abs=0.1)


def test_pictures_in_order_as_gaussianavatars_writes_them(command: Command, tiny_capture: Path, tmp_path: Path) -> None:
    counts: dict[str, int] = {}

    def numbered(stem: str) -> str:
        split = stem.split("/")[0]
        counts[split] = counts.get(split, -1) + 1
        return f"{split}/ours_600/renders/{counts[split]:05d}.png"

    folder = renders(tiny_capture, tmp_path / "theirs", 5, numbered)
    said = command("eval", "--images", folder, tiny_capture, "--json", "-")
    assert said.code == 0, said.err
    assert said.json["table"]["test"]["theirs"]["psnr"] == pytest.approx(20 * np.log10(255 / 5), abs=0.05)
    assert "are taken in order" in " ".join(said.err.split())


def test_missing_pictures_and_wrong_sizes_are_named(command: Command, tiny_capture: Path, tmp_path: Path) -> None:
    folder = renders(tiny_capture, tmp_path / "theirs", 0, lambda stem: f"{Path(stem).name}.png")
    (folder / "00005_01.png").unlink()
    said = command("eval", "--images", folder, tiny_capture, "-q")
    assert said.code == 2 and "1 of 3 frames of 'test' have no picture (00005_01.png)" in said.err
    Image.new("RGB", (40, 40)).save(folder / "00005_01.png")
    said = command("eval", "--images", folder, tiny_capture, "-q")
    assert said.code == 2 and "00005_01.png" in said.err and "40x40; expected 80x80" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("x.avatar", "--images", "y"), "with --images name only captures"),
        (("--protocol", "nersemble", "x.avatar"), "unknown protocol 'nersemble'"),
        ((".", "--split", "val"), "name an avatar"),
        (("a.avatar", "b.avatar", "c.avatar", ".", ".."), "3 avatars and 2 captures"),
    ],
)
def test_what_does_not_fit_is_said(command: Command, arguments: tuple[str, ...], words: str) -> None:
    said = command("eval", *arguments)
    assert said.code == 2 and words in said.err and len(said.err.strip().splitlines()) == 1
