"""What ``avatarkit eval`` does: avatars and captures in, figures out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from avatarkit.capture.capture import Capture, Frame
from avatarkit.capture.dataset import read_dataset
from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError
from avatarkit.evaluate.averages import by_camera_and_timestep
from avatarkit.evaluate.evaluation import Predict, avatar_predictor, evaluate_split, regions_of
from avatarkit.evaluate.protocols import SPLITS, by_protocol, trained_on
from avatarkit.evaluate.regions import Mask
from avatarkit.evaluate.renders import renders_predictor
from avatarkit.evaluate.table import WorstFrames, pooled, score_split
from avatarkit.events import Finished, Progress, Run, Started
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.avatar_file import load_avatar
from avatarkit.gaussians.camera_gains import own_gains
from avatarkit.gaussians.head_of import head_of
from avatarkit.head.parameters import HeadParams
from avatarkit.registry import registry
from avatarkit.render.hosted import hosted
from avatarkit.track.sequence import Sequence
from avatarkit.track.sequence_files import load_sequence
from avatarkit.types import Float32Array

Pair = tuple[Path | None, Path | None]
WHITE = np.ones(3, np.float32)


@dataclass(frozen=True)
class Request:
    """What was asked for.  pairs: avatar (None for ``images``) and capture (None for the avatar's own)."""

    pairs: list[Pair]
    images: Path | None = None
    split: str | None = None
    protocol: str | None = None
    head: str | None = None
    rasterizer: str | None = None
    lpips_net: str = "alex"
    worst: int = 6
    pictures: Path | None = None


def paired(paths: list[Path], images: Path | None) -> list[Pair]:
    """Files are avatars, folders captures.  Raises InputError where their numbers do not fit."""
    captures: list[Path | None] = [path for path in paths if path.is_dir()]
    avatars = [path for path in paths if not path.is_dir()]
    if images is not None:
        if avatars:
            raise InputError(f"{avatars[0]}: with --images name only captures")
        if len(captures) != 1:
            raise InputError(f"--images scores one capture; {len(captures)} are named")
        return [(None, captures[0])]
    if not avatars:
        raise InputError("name an avatar, or pictures of another system with --images DIR")
    if not captures:
        captures = [None] * len(avatars)
    if len(captures) == 1:
        captures = captures * len(avatars)
    if len(captures) != len(avatars):
        raise InputError(
            f"{len(avatars)} avatars and {len(captures)} captures; name one capture for all, or one for each"
        )
    return list(zip(avatars, captures, strict=True))


@dataclass(frozen=True)
class _Loaded:
    """An avatar on its capture: what draws frame i, and what it is compared with."""

    avatar: Avatar
    sequence: Sequence
    head: HeadModel
    params: HeadParams
    own: bool  # the capture is the one that it was made from, as far as can be told, and ``params`` are the avatar's
    where: Path

    def predict(self, rasterizer: Any) -> Predict:
        gains = own_gains(self.avatar) if self.own else {}
        return avatar_predictor(self.avatar, self.sequence, self.params, self.head, rasterizer, gains)


def _load(avatar: Path, capture: Path | None, head: str | None, run: Run) -> _Loaded:
    """An imported avatar names no capture; where it has as many timesteps, its own parameters, which its training tuned, are used."""
    subject = load_avatar(avatar)
    model = head_of(subject.head, head)
    source = Path(subject.source) if subject.source else None
    where = capture or source
    if where is None or not where.is_dir():
        raise InputError(
            f"{avatar}: the capture it was made from is not at {where}; name it: avatarkit eval {avatar} CAPTURE"
        )
    sequence = load_sequence(where, model)
    alike = len(subject.motion) == len(sequence.params)
    own = alike and source is not None and where.resolve() == source.resolve()
    if subject.meta.get("imported"):
        own = alike
        ours = "its own head parameters, of as many timesteps, are" if own else "the capture's head parameters are"
        run.notice(f"{avatar}: {ours} used, not the {'capture' if own else 'avatar'}'s")
    return _Loaded(subject, sequence, model, subject.motion if own else sequence.params, own, where)


def one_avatar(request: Request, run: Run) -> dict[str, Any]:
    """``evaluate_split`` of a single avatar on one split of its capture, with what ``table_of`` says of a system beside it."""
    ((avatar, capture),) = request.pairs
    assert avatar is not None
    split = request.split or "test"
    loaded = _load(avatar, capture, request.head, run)
    frames = loaded.sequence.capture.indices(split)  # type: ignore[arg-type]
    if not frames:
        raise InputError(f"{loaded.where}: it has no frames in split '{split}'")
    stage = f"evaluating {split}"
    run.emit(Started(stage, len(frames), "frame"))
    began = time.monotonic()
    worst = WorstFrames(request.worst if request.pictures is not None else 0)
    result = evaluate_split(
        loaded.predict(_rasterizer(request)), loaded.sequence, loaded.head, split, loaded.avatar.background.numpy(),
        lpips_net=request.lpips_net, masked=True, keep=worst.add,
        on_frame=lambda done, total: run.emit(Progress(stage, done, total)),
    )  # fmt: skip
    run.emit(Finished(stage, time.monotonic() - began))
    shown = loaded.sequence.capture
    pictures = _pictured(request, worst, avatar.stem, shown.name, split)
    return result | by_camera_and_timestep(result["rows"], shown.timestep_names) | {"pictures": pictures}


def table_of(request: Request, run: Run) -> dict[str, Any]:
    """Table 1: {"protocol", "table": {split: {system: figures}}, "results": [one for each system, capture and split], "pictures"}.

    Systems are named after their files.  Raises InputError where there is nothing to score.
    """
    splits = [request.split] if request.split else list(SPLITS)
    names = _names(request)
    results: list[dict[str, Any]] = []
    pictures: list[str] = []
    rasterizer = None if request.images is not None else _rasterizer(request)
    for name, (avatar, capture) in zip(names, request.pairs, strict=True):
        if avatar is None:
            assert request.images is not None and capture is not None
            shown, regions = _capture_alone(request, capture, run)
            trained: tuple[Frame, ...] = ()
            background = WHITE
        else:
            loaded = _load(avatar, capture, request.head, run)
            shown = by_protocol(loaded.sequence.capture, request.protocol)
            loaded = replace(loaded, sequence=replace(loaded.sequence, capture=shown))
            regions, background = regions_of(loaded.sequence, loaded.head), loaded.avatar.background.numpy()
            predict = loaded.predict(rasterizer)
            trained = loaded.avatar.frames if loaded.own else ()
        for split in splits:
            frames = shown.indices(split)  # type: ignore[arg-type]
            if not frames:
                continue
            if avatar is None:
                assert request.images is not None
                predict = renders_predictor(request.images, shown, frames, split, background, run)
            if split != "train" and (count := trained_on(trained, shown, frames)):
                run.notice(
                    f"{name}: trained on {count} of the {len(frames)} frames of '{split}': its figures there flatter",
                    "warning",
                )
            result, worst = _scored(request, run, name, predict, shown, split, background, regions)
            results.append({"system": name, "capture": str(shown.source or shown.name), "split": split, **result})
            pictures += _pictured(request, worst, name, shown.name, split)
    if not results:
        raise InputError(f"no frames are in {' or '.join(map(repr, splits))} of any capture; try --protocol vhap")
    table: dict[str, Any] = {
        split: {
            name: pooled([r for r in results if (r["system"], r["split"]) == (name, split)])
            for name in dict.fromkeys(names)
        }
        for split in splits
    }
    nets = {r["lpips_net"] for r in results}
    return {
        "protocol": request.protocol, "lpips_net": nets.pop() if len(nets) == 1 else None, "table": table,
        "results": results, "pictures": pictures,
    }  # fmt: skip


def _scored(
    request: Request, run: Run, name: str, predict: Predict, capture: Capture, split: str, background: Float32Array,
    regions: Callable[[int], dict[str, Mask]],
) -> tuple[dict[str, Any], WorstFrames]:  # fmt: skip
    stage = f"evaluating {name}, {split}"
    run.emit(Started(stage, len(capture.indices(split)), "frame"))  # type: ignore[arg-type]
    began, worst = time.monotonic(), WorstFrames(request.worst if request.pictures is not None else 0)
    result = score_split(
        predict, capture, split, background, regions, lpips_net=request.lpips_net, keep=worst.add,
        on_frame=lambda done, total: run.emit(Progress(stage, done, total)),
    )  # fmt: skip
    run.emit(Finished(stage, time.monotonic() - began, {"psnr": result["psnr"], "ssim": result["ssim"]}))
    return result, worst


def _pictured(request: Request, worst: WorstFrames, name: str, capture: str, split: str) -> list[str]:
    """The sheet of the worst frames, if pictures were asked for and there are frames."""
    if request.pictures is None:
        return []
    file = request.pictures / f"{_plain(name)}-{_plain(capture)}-{split}.png"
    return [str(file)] if worst.write(file) else []


def _capture_alone(request: Request, capture: Path, run: Run) -> tuple[Capture, Callable[[int], dict[str, Mask]]]:
    """A capture for pictures of others, with regions where a head model here fits its parameters."""
    from avatarkit.recon.prepare import read_known

    try:
        sequence, head = read_known(capture, request.head, run)
    except InputError:
        if request.head is not None:
            raise
        shown = by_protocol(read_dataset(capture, run=run).capture, request.protocol)
        run.notice(f"{capture}: no head model here fits it, so that mouth, eyes and head are not scored apart")
        return shown, lambda index: {}
    shown = by_protocol(sequence.capture, request.protocol)
    return shown, regions_of(replace(sequence, capture=shown), head)


def _rasterizer(request: Request) -> Any:
    return hosted(registry().create("rasterizer", request.rasterizer or registry().default("rasterizer")))


def _names(request: Request) -> list[str]:
    """Of files, as short as they may be: avatars of several captures that have one name are one system."""
    if request.images is not None:
        return [request.images.resolve().name]
    stems = [avatar.stem for avatar, _ in request.pairs if avatar is not None]
    captures = [capture for _, capture in request.pairs if capture is not None]
    several = len(set(captures)) == len(captures) != 1
    if len(set(stems)) == len(stems) or several:
        return stems
    return [str(avatar.with_suffix("")) for avatar, _ in request.pairs if avatar is not None]


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[-60:].strip(".") or "frames"
