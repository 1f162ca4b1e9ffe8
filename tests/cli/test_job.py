"""The whole job through the command line: recon, eval, render, report, info on a tiny capture of the subject."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from avatarkit.gaussians.avatar_file import load_avatar, save_avatar
from avatarkit.labels import LABEL_COLOURS, LABEL_INDEX

Command = Callable[..., Any]
REGIONS = {"head", "mouth", "eyes"}


def test_recon_leaves_an_avatar_a_run_folder_and_a_summary(reconstructed: Path) -> None:
    folder = reconstructed.with_suffix(".run")
    summary = json.loads((reconstructed.parent / "summary.json").read_text())
    assert set(summary) == {"avatar", "run", "steps", "seconds", "splats", "metrics", "report"}
    assert summary["avatar"] == str(reconstructed) and summary["run"] == str(folder) and summary["steps"] == 150
    for name in ("config.yaml", "events.jsonl", "metrics.json", "report.html"):
        assert (folder / name).stat().st_size > 0, name
    assert [file.name for file in (folder / "checkpoints").iterdir()] == ["step-00000150.safetensors"]
    assert summary["metrics"]["val"]["frames"] == 5 and summary["metrics"]["test"]["frames"] == 3
    assert not list(reconstructed.parent.glob("**/*.part*")), "no temporary files are left"


def test_it_beats_a_still_picture_where_nothing_was_shown_to_it(reconstructed: Path) -> None:
    test = next(
        r for r in json.loads((reconstructed.with_suffix(".run") / "metrics.json").read_text()) if r["split"] == "test"
    )
    assert test["psnr"] > test["trivial"]["mean_frame"]["psnr"] + 2.0
    assert test["regions"]["head"]["psnr"] > test["trivial"]["mean_frame"]["regions"]["head"]["psnr"] + 2.0


def test_the_log_tells_the_course(reconstructed: Path) -> None:
    from avatarkit.recon.log import read_scalars

    rows = [json.loads(line) for line in (reconstructed.with_suffix(".run") / "events.jsonl").read_text().splitlines()]
    assert {row["event"] for row in rows} >= {"Begin", "Started", "Scalars", "Finished"}
    curves = read_scalars(reconstructed.with_suffix(".run") / "events.jsonl")
    steps, psnr = curves["psnr"]
    assert steps == sorted(set(steps)) and psnr[-1] > psnr[0] + 3.0
    assert len(curves["val_psnr"][0]) == 10


@pytest.mark.parametrize("split", ["val", "test"])
def test_eval_json_has_the_agreed_keys(command: Command, reconstructed: Path, tiny_capture: Path, split: str) -> None:
    said = command(
        "eval", reconstructed, *([tiny_capture] if split == "val" else []), "--split", split, "--json", "-", "-q"
    )
    assert said.code == 0, said.err
    result = said.json
    keys = {"split", "frames", "psnr", "ssim", "lpips", "lpips_net", "regions", "trivial", "rows"}
    assert set(result) == keys | {"masked", "cameras", "timesteps", "pictures"}
    assert result["masked"]["psnr"] < result["psnr"] and result["pictures"] == [], "a plain background is easy"
    for groups in (result["cameras"], result["timesteps"]):
        assert sum(each["frames"] for each in groups.values()) == result["frames"]
    assert result["split"] == split and result["frames"] == len(result["rows"]) == {"val": 5, "test": 3}[split]
    assert set(result["regions"]) == REGIONS and all(set(region) == {"psnr"} for region in result["regions"].values())
    assert set(result["trivial"]) >= {"mean_frame", "nearest_in_time", "best_training_frame"}
    for score in result["trivial"].values():
        assert set(score) == {"psnr", "regions"} and set(score["regions"]) == REGIONS
    assert (result["lpips"] is None) == (result["lpips_net"] is None)
    assert result["psnr"] == pytest.approx(np.mean([row["psnr"] for row in result["rows"]]))
    stored = json.loads((reconstructed.with_suffix(".run") / "metrics.json").read_text())
    assert result["psnr"] == next(r["psnr"] for r in stored if r["split"] == split), (
        "the same figures as after training"
    )


def test_eval_shows_the_worst_frames_of_one_avatar(command: Command, reconstructed: Path, tmp_path: Path) -> None:
    said = command("eval", reconstructed, "--json", "-", "--worst", 2, "--pictures", tmp_path / "worst")
    assert said.code == 0, said.err
    (file,) = (Path(name) for name in said.json["pictures"])
    assert file.parent == tmp_path / "worst" and file.is_file() and "worst frames: " in said.err
    with Image.open(file) as two:
        height = two.height
    command("eval", reconstructed, "--worst", 1, "--pictures", tmp_path / "one", "-q")
    with Image.open(next((tmp_path / "one").iterdir())) as one:
        assert one.height < 0.7 * height


def test_eval_for_people_names_the_missing_weights_or_shows_lpips(command: Command, reconstructed: Path) -> None:
    said = command("eval", reconstructed)
    assert said.code == 0 and said.out == "" and "this avatar" in said.err and "LPIPS" in said.err


def test_info_as_json(command: Command, reconstructed: Path) -> None:
    data = command("info", reconstructed, "--json", "-").json
    assert data["timesteps"] == 6 and data["cameras"] == ["00", "01", "02"] and data["head"]["name"] == "bust"
    assert data["frames"] == {"train": 10, "val": 5, "test": 3} and data["bytes"] == reconstructed.stat().st_size
    assert "Gaussians" not in command("info", reconstructed).out


def frames_of(path: Path) -> tuple[int, int, int]:
    import av

    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return (len(pictures), *pictures[0].shape[:2])


def test_a_film_of_its_own_motion(command: Command, reconstructed: Path, tmp_path: Path) -> None:
    said = command("render", reconstructed, "-o", tmp_path / "own.mp4", "--fps", 10)
    assert said.code == 0, said.err
    assert frames_of(tmp_path / "own.mp4") == (6, 80, 80)


def test_a_picture_looks_like_the_person(
    command: Command, reconstructed: Path, tiny_capture: Path, tmp_path: Path
) -> None:
    said = command("render", reconstructed, "-o", tmp_path / "one.png", "--frame", 1, "--camera", "capture:00", "-q")
    assert said.code == 0, said.err
    drawn = np.asarray(Image.open(tmp_path / "one.png").convert("RGB"), np.float64)
    truth = np.asarray(Image.open(tiny_capture / "images" / "00001_00.png").convert("RGB"), np.float64)
    assert 10 * np.log10(255**2 / ((drawn - truth) ** 2).mean()) > 20.0


def test_labels_stay_on_their_features_under_another_motion(
    command: Command, reconstructed: Path, tiny_capture: Path, tmp_path: Path
) -> None:
    """Driven by its own motion turned round, so that the true label maps of each moment are known: palette colours where they should be."""
    avatar = load_avatar(reconstructed)
    last = len(avatar.motion) - 1
    turned_round = avatar.motion[torch.arange(last, -1, -1)]
    save_avatar(replace(avatar, motion=turned_round), tmp_path / "other.avatar")
    palette = torch.tensor(LABEL_COLOURS).numpy()
    right = dict[str, list[bool]]()
    for moment in (0, 2, last):
        file = tmp_path / f"{moment}.png"
        options = ("--labels", "--frame", moment, "--camera", "capture:00", "--fps", 25, "-q")
        said = command("render", reconstructed, "-o", file, "--motion", tmp_path / "other.avatar", *options)
        assert said.code == 0, said.err
        drawn = np.asarray(Image.open(file).convert("RGB"), np.int64)
        found = np.abs(drawn[:, :, None] - palette).sum(-1).argmin(-1)
        truth = np.asarray(Image.open(tiny_capture / "labels" / f"{last - moment:05d}_00.png"))
        for name in ("background", "hair", "skin", "neck", "cloth"):
            where = truth == LABEL_INDEX[name]
            right.setdefault(name, []).extend((found == truth)[where].tolist())
    shares = {name: float(np.mean(hits)) for name, hits in right.items() if hits}
    assert len(shares) == 5 and min(shares.values()) > 0.6, shares


def test_a_contact_sheet_and_labels(command: Command, reconstructed: Path, tmp_path: Path) -> None:
    options = ("--sheet", 4, "--camera", "front", "--size", "64x96", "--background", "navy", "-q")
    assert command("render", reconstructed, "-o", tmp_path / "sheet.png", *options).code == 0
    width, height = Image.open(tmp_path / "sheet.png").size
    assert width >= 4 * 64 and height >= 96
    assert command("render", reconstructed, "-o", tmp_path / "labels.png", "--labels", "-q").code == 0
    assert Image.open(tmp_path / "labels.png").size == (80, 80)


def test_motion_from_an_avatar_a_data_set_and_a_run(
    command: Command, reconstructed: Path, tiny_capture: Path, tmp_path: Path
) -> None:
    for name, source in {"avatar": reconstructed, "set": tiny_capture}.items():
        said = command("render", reconstructed, "-o", tmp_path / f"{name}.mp4", "--motion", source, "-q")
        assert said.code == 0, said.err
        assert frames_of(tmp_path / f"{name}.mp4")[0] == 6


def test_an_expression_track_opens_the_mouth(command: Command, reconstructed: Path, tmp_path: Path) -> None:
    track = tmp_path / "track.npz"
    weights = np.array([[0.0], [1.0]], np.float32)
    np.savez(track, weights=weights, names=np.array(["jawOpen"]), time=np.array([0.0, 0.1]))
    pictures = []
    for frame in (0, 1):
        out = tmp_path / f"{frame}.png"
        said = command("render", reconstructed, "-o", out, "--motion", track, "--fps", 10, "--frame", frame, "-q")
        assert said.code == 0, said.err
        pictures.append(np.asarray(Image.open(out).convert("RGB"), np.float64))
    change = np.abs(pictures[1] - pictures[0]).mean(-1)
    rows = np.arange(80)
    assert change.max() > 20 and (change.sum(1) * rows).sum() / change.sum() > 40, "what moves is in the lower half"


def test_a_report_of_its_own(command: Command, reconstructed: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert command("report", reconstructed, "-o", page, "-q").code == 0
    text = page.read_text()
    assert text.lstrip().startswith("<!doctype html") or text.lstrip().startswith("<!DOCTYPE html")
    assert "Held out: val" in text and "Held out: test" in text and "data:image/jpeg;base64," in text
    assert set(re.findall(r'(?:src|href)="(#|[a-z]+:|.)', text)) <= {"data:", "#"}
    assert "<script" not in text and "@import" not in text and "url(http" not in text, "self-contained"


def test_a_report_without_the_capture_says_so(command: Command, reconstructed: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from avatarkit.gaussians.avatar_file import load_avatar, save_avatar

    lonely = tmp_path / "lonely.avatar"
    save_avatar(replace(load_avatar(reconstructed), source=str(tmp_path / "gone")), lonely)
    said = command("report", lonely)
    assert said.code == 0 and "the capture that it was made from is not here" in said.err
    assert (tmp_path / "lonely.html").is_file()
    said = command("eval", lonely)
    assert (
        said.code == 2
        and "the capture it was made from is not at" in said.err
        and "name it: avatarkit eval" in said.err
    )


def test_an_avatar_moves_to_another_machine(command: Command, reconstructed: Path, tmp_path: Path) -> None:
    shutil.copy(reconstructed, tmp_path / "moved.avatar")
    assert command("render", tmp_path / "moved.avatar", "-o", tmp_path / "a.png", "-q").code == 0
