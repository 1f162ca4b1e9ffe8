"""Gather what the report shows: figures, pictures of the worst, a middling and the best frame, novel views, curves."""

from __future__ import annotations

import base64
import platform
from collections.abc import Sequence as Rows
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jinja2 import Environment, FileSystemLoader, select_autoescape
from PIL import Image

from avatarkit import __version__
from avatarkit.contracts import HeadModel, Rasterizer
from avatarkit.drive.camera_paths import camera_path
from avatarkit.drive.scene import head_middle, own_cameras
from avatarkit.evaluate.evaluation import Predict
from avatarkit.evaluate.regions import REGIONS
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.draw import picture
from avatarkit.paths import atomic_write_text
from avatarkit.pictures.sheet import contact_sheet, encode, error_picture, to_bytes
from avatarkit.recon.log import read_scalars
from avatarkit.report.curves import Curve, curve_svg
from avatarkit.track.sequence import Sequence
from avatarkit.types import ByteArray, PathArg

PREDICTOR_NAMES = {
    "mean_frame": "mean training frame",
    "nearest_in_time": "nearest training frame in time",
    "best_training_frame": "best still training frame",
    "oracle_training_frame": "best training frame for each frame",
}
SPLIT_TITLES = {"val": "Held out: val", "test": "Held out: test", "train": "Training frames"}
NOVEL = ("0,0", "-35,0", "35,0", "0,20", "0,-15")


def write_report(
    path: PathArg,
    avatar: Avatar,
    head: HeadModel,
    rasterizer: Rasterizer,
    results: Rows[dict[str, Any]],
    *,
    sequence: Sequence | None = None,
    predict: Predict | None = None,
    run_folder: Path | None = None,
    title: str = "avatar",
) -> None:
    """Write one HTML page.  ``results``: one dictionary of ``evaluate_split`` for each split; with ``sequence`` and ``predict``
    the page shows frames, with ``run_folder`` curves and tracking pictures."""
    meta = avatar.meta
    curves = read_scalars(run_folder / "events.jsonl") if run_folder else {}
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape(["html"]))
    page = environment.get_template("page.html").render(
        title=title,
        lead=_lead(avatar, sequence),
        tiles=_tiles(avatar, results),
        notes=_notes(results),
        splits=[_split(result, sequence, predict, avatar) for result in results if result["frames"]],
        views=[{"caption": "Rows: moments of its own motion. Columns: directions that no training camera need have.", "picture": _embed(novel_views(avatar, head, rasterizer))}],
        tracking=_tracking(run_folder),
        curves=_curves(curves),
        film=None,
        settings=yaml.safe_dump(_settings(meta), sort_keys=False),
    )  # fmt: skip
    atomic_write_text(path, page)


def _settings(meta: dict[str, Any]) -> dict[str, Any]:
    """What the page says of how the avatar was made: inputs by name, for a page is sent to others and folders are nobody's business."""
    shown = {name: value for name, value in meta.items() if name != "training"}
    if "training" in meta:  # its curve is drawn
        shown["training"] = {name: value for name, value in meta["training"].items() if name != "curve"}
    if "inputs" in meta:
        shown["inputs"] = [Path(name).name for name in meta["inputs"]]
    machine = {"avatarkit": __version__, "python": platform.python_version(), "torch": str(torch.__version__)}
    return shown | machine


def novel_views(avatar: Avatar, head: HeadModel, rasterizer: Rasterizer, height: int = 300) -> ByteArray:
    """A contact sheet: three moments of the avatar's motion from five directions."""
    steps = len(avatar.motion)
    rows = []
    for timestep in sorted({0, steps // 2, steps - 1}):
        with torch.no_grad():
            pose = avatar.posed(head, avatar.motion[timestep])
        target, row = head_middle(pose), []
        for spec in NOVEL:
            camera = camera_path(spec, 1, target, own_cameras(avatar), (height * 4 // 5, height))[0]
            row.append(to_bytes(picture(avatar, pose, head.faces, camera, rasterizer).permute(1, 2, 0).numpy()))
        rows.append(row)
    return contact_sheet(rows, columns=[f"{spec.replace(',', '°, ')}°" for spec in NOVEL])


def comparison(
    sequence: Sequence, predict: Predict, indices: list[int], background: np.ndarray, names: list[str]
) -> ByteArray:
    """Truth, render and error of some frames, a row each."""
    rows = []
    for index in indices:
        truth, drawn = sequence.capture.composited(index, background), predict(index)
        rows.append([to_bytes(truth), to_bytes(drawn), error_picture(truth, drawn)])
    return contact_sheet(rows, columns=["truth", "render", "error"], names=names, tile=min(320, rows[0][0].shape[0]))


def _split(
    result: dict[str, Any], sequence: Sequence | None, predict: Predict | None, avatar: Avatar
) -> dict[str, Any]:
    cell = lambda value, digits=2: "–" if value is None else f"{value:.{digits}f}"  # noqa: E731
    ours = [cell(result["psnr"]), cell(result["ssim"], 4), cell(result["lpips"], 4)]
    table = [
        {"name": "this avatar", "ours": True, "cells": ours + [cell(result["regions"][r]["psnr"]) for r in REGIONS]}
    ]
    for name, score in result["trivial"].items():
        cells = [cell(score["psnr"]), "", "", *(cell(score["regions"][r]["psnr"]) for r in REGIONS)]
        table.append({"name": PREDICTOR_NAMES[name], "ours": False, "cells": cells})
    entry: dict[str, Any] = {
        "title": f"{SPLIT_TITLES[result['split']]} ({result['frames']} frames)",
        "lpips_title": f"LPIPS ({result['lpips_net']})" if result["lpips_net"] else "LPIPS",
        "note": ""
        if result["lpips_net"]
        else "LPIPS was not measured: the weights of its backbone are not on this machine.",
        "table": table,
    }
    if sequence is not None and predict is not None:
        order = sorted(result["rows"], key=lambda row: row["psnr"])
        chosen = {"worst": order[0], "middling": order[len(order) // 2], "best": order[-1]}
        names = [f"{name} {row['psnr']:.1f} dB" for name, row in chosen.items()]
        sheet = comparison(
            sequence,
            predict,
            [row["frame"] for row in chosen.values()],
            avatar.background.numpy(),
            names,
        )
        entry["picture"] = _embed(sheet)
        entry["caption"] = (
            "; ".join(f"{name}: {row['source']}" for name, row in chosen.items()) + ". Error: dark red is 0.2 or more."
        )
    return entry


def _lead(avatar: Avatar, sequence: Sequence | None) -> str:
    if sequence is None:
        return f"{len(avatar.gaussians)} Gaussians on head model {avatar.head['name']}."
    capture = sequence.capture
    return (
        f"{len(avatar.gaussians)} Gaussians on head model {avatar.head['name']}, from {len(capture.indices('train'))} training frames of "
        f"{capture.name}: {len(capture.cameras)} camera{'s' if len(capture.cameras) > 1 else ''}, {capture.num_timesteps} timesteps."
    )


def _tiles(avatar: Avatar, results: Rows[dict[str, Any]]) -> list[tuple[str, str]]:
    tiles = [(f"dB on {result['split']}", f"{result['psnr']:.2f}") for result in results if result["psnr"] is not None]
    tiles += [
        (f"dB in the head, {r['split']}", f"{r['regions']['head']['psnr']:.2f}")
        for r in results
        if r["frames"] and r["regions"]["head"]["psnr"]
    ]
    tiles.append(("Gaussians", f"{len(avatar.gaussians):,}"))
    training = avatar.meta.get("training", {})
    if training:
        tiles.append(("steps", f"{training['steps']:,}"))
        tiles.append(("minutes of training", f"{training['seconds'] / 60:.1f}"))
    return tiles


def _notes(results: Rows[dict[str, Any]]) -> list[str]:
    """What a reader should not miss: a region in which a trivial predictor is as good."""
    notes = []
    for result in results:
        for region in REGIONS if result["frames"] else ():
            ours = result["regions"][region]["psnr"]
            for name in ("mean_frame", "best_training_frame"):
                theirs = result["trivial"][name]["regions"][region]["psnr"]
                if ours is not None and theirs is not None and ours <= theirs:
                    notes.append(
                        f"On {result['split']} the {PREDICTOR_NAMES[name]} is at least as good in the {region} region ({theirs:.2f} against {ours:.2f} dB)."
                    )
    return notes


def _tracking(folder: Path | None) -> list[dict[str, str]]:
    """The picture that a tracker left in the run's folder."""
    picture = folder / "tracking.png" if folder is not None else None
    if picture is None or not picture.is_file():
        return []
    caption = "The fitted head over the frames; green: detected landmarks, red: fitted ones."
    return [{"caption": caption, "picture": _embed(np.asarray(Image.open(picture).convert("RGB")))}]


def _curves(curves: dict[str, tuple[list[float], list[float]]]) -> list[str]:
    drawn = []
    decibels = {name: curves[name] for name in ("psnr", "val_psnr") if name in curves}
    if decibels:
        named = {"training frame": decibels.get("psnr"), "held out": decibels.get("val_psnr")}
        drawn.append(curve_svg({k: v for k, v in named.items() if v}, "step", "PSNR, dB"))
    losses: dict[str, Curve] = {
        name: curves[name]
        for name in ("l1", "dssim", "position", "scale")
        if name in curves and max(curves[name][1]) > 0
    }
    if losses:
        floor: dict[str, Curve] = {name: (x, [max(v, 1e-7) for v in y]) for name, (x, y) in losses.items()}
        drawn.append(curve_svg(floor, "step", "loss, unweighted", log=True))
    if "splats" in curves:
        drawn.append(curve_svg({"Gaussians": curves["splats"]}, "step", "Gaussians"))
    return drawn


def _embed(sheet: ByteArray) -> str:
    return _data(encode(sheet, "jpeg"), "jpeg")


def _data(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()
