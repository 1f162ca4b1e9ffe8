"""The whole of ``avatarkit recon``: input → sequence → training → avatar, metrics and report in a run folder."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from avatarkit import __version__
from avatarkit.capture.video import MAX_FRAMES
from avatarkit.config import dump_config, from_mapping, read_settings
from avatarkit.contracts import HeadModel, Rasterizer, Segmenter
from avatarkit.errors import FileFormatError, InputError
from avatarkit.evaluate.evaluation import avatar_predictor, evaluate_split
from avatarkit.events import Finished, Progress, Run, Started
from avatarkit.gaussians.avatar import Avatar, AvatarCamera
from avatarkit.gaussians.avatar_file import save_avatar
from avatarkit.gaussians.camera_gains import own_gains
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.frames import with_frames
from avatarkit.interrupts import interruptible
from avatarkit.paths import atomic_write_text, explained, require_file_place
from avatarkit.recon import checkpoint
from avatarkit.recon.aside import aside_views
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.contribution import contributing
from avatarkit.recon.labelling import label_gaussians
from avatarkit.recon.log import EventLog, TensorBoard, tensorboard_sink
from avatarkit.recon.loop import reconstruct, several_sides
from avatarkit.recon.prepare import TRACKED, head_source, prepare_sequence, read_known, source_of
from avatarkit.recon.ranks import ALONE, Ranks
from avatarkit.recon.step import TrainState
from avatarkit.registry import registry
from avatarkit.render.hosted import hosted
from avatarkit.report.build import write_report
from avatarkit.track.sequence import Sequence

PARTS = "parts.json"
REMEMBERED = ("head", "segmenter")
"""Of a job, what its run folder keeps for --resume beside the config."""


@dataclass(frozen=True)
class Job:
    """What was asked for.  ``output`` is the avatar's file; the run folder stands beside it.  size, max_frames: of what a video gives."""

    inputs: list[Path]
    output: Path
    config: ReconConfig
    head: str | None = None
    tracker: str | None = None
    rasterizer: str | None = None
    segmenter: str | None = None
    size: int = 512
    resume: bool = False
    report: bool = True
    max_frames: int = MAX_FRAMES

    @property
    def folder(self) -> Path:
        return self.output.with_suffix(".run")


def run_job(job: Job, run: Run, ranks: Ranks = ALONE) -> dict[str, Any]:
    """Do it; returns the summary that ``--json`` prints.  ``run.folder`` is the job's folder.

    Of several processes (``ranks``) the first one does, and the others ``train_along``.
    """
    require_file_place(job.output)
    job = resumed_parts(job)
    rasterizer = hosted(registry().create("rasterizer", job.rasterizer or registry().default("rasterizer")))
    config = resumed_config(job) if job.resume else job.config
    require_shares(config, ranks)
    segmenter = _segmenter(job) if config.label_views > 0 else None
    with explained(job.folder):
        job.folder.mkdir(parents=True, exist_ok=True)
        log = EventLog(job.folder / "events.jsonl")
    board = tensorboard_sink(job.folder / "tensorboard")
    sinks: list[EventLog | TensorBoard] = [log] if board is None else [log, board]
    for sink in sinks:
        run.add_sink(sink)
    try:
        tracked = job.folder / TRACKED
        ours = Path(source_of(job.inputs, run)["sequence"]) == tracked.resolve()  # and not that of an earlier run
        if job.resume and ours and (tracked / "transforms_train.json").is_file():
            sequence, head = read_known(tracked, job.head, run)
        else:
            sequence, head = prepare_sequence(
                job.inputs, run, head=job.head, tracker=job.tracker, size=job.size, max_frames=job.max_frames
            )
        if not ranks.alone:
            if ours:  # all train on what was written down
                sequence, head = read_known(tracked, job.head, run)
            ranks.from_first({"config": dataclasses.asdict(config), "sequence": source_of(job.inputs, run)["sequence"]})
        head = with_frames(head, config.frames)
        dump_config(config, job.folder / "config.yaml")
        atomic_write_text(job.folder / PARTS, _json({name: getattr(job, name) for name in REMEMBERED}))
        if not job.resume:  # from here on a new run stands in the place of an earlier one
            checkpoint.forget(run)
            for sink in sinks:
                sink.begin()
        with interruptible(run):
            state = reconstruct(
                sequence, head, config, run, rasterizer, resume=job.resume, segmenter=segmenter, ranks=ranks
            )
        ranks.leave()
        if not run.stopping:
            state.gaussians = shown(state)
        if config.trim > 0 and not run.stopping:
            seen = config.seen_from(several_sides(sequence))
            beside = aside_views(sequence, head, seen, weigh=state.head.weigh) if seen.aside > 0 else None
            state.gaussians = contributing(
                state.gaussians, sequence, head, state.head.pose, rasterizer, config, run, beside
            )
        if segmenter is not None and not run.stopping:
            # labelling takes a while: who interrupts it keeps the head, and --resume goes on here
            save_avatar(make_avatar(state, sequence, head, job, config, run), job.output)
            gaussians = state.gaussians.detach()
            gaussians.label_logits = label_gaussians(
                gaussians, sequence, head, state.head.pose, segmenter, rasterizer, config, run
            )
            state.gaussians = gaussians
        avatar = make_avatar(state, sequence, head, job, config, run)
        save_avatar(avatar, job.output)
        summary = {
            "avatar": str(job.output),
            "run": str(job.folder),
            "steps": state.step,
            "seconds": state.seconds,
            "splats": len(avatar.gaussians),
        }
        if run.stopping:
            run.notice(f"stopped at step {state.step} of {state.total}; continue with --resume", "warning")
            return summary
        results = evaluate_all(avatar, sequence, head, rasterizer, run)
        atomic_write_text(job.folder / "metrics.json", _json(results))
        summary["metrics"] = {
            r["split"]: {k: r[k] for k in ("frames", "psnr", "ssim", "lpips", "regions")} for r in results
        }
        if job.report:
            predict = avatar_predictor(avatar, sequence, avatar.motion, head, rasterizer, own_gains(avatar))
            page = job.folder / "report.html"
            write_report(
                page, avatar, head, rasterizer, results,
                sequence=sequence, predict=predict, run_folder=job.folder, title=job.output.stem,
            )  # fmt: skip
            summary["report"] = str(page)
        return summary
    finally:
        for sink in sinks:
            run.remove_sink(sink)
            sink.close()


def train_along(job: Job, run: Run, ranks: Ranks) -> None:
    """What every process but the first does: read what that one has prepared, train with it, write nothing."""
    job = resumed_parts(job)
    rasterizer = registry().create("rasterizer", job.rasterizer or registry().default("rasterizer"))
    told: dict[str, Any] = ranks.from_first({})
    config = from_mapping(ReconConfig, told["config"], "the first process's config")
    segmenter = _segmenter(job) if config.label_views > 0 else None
    sequence, head = read_known(Path(told["sequence"]), job.head, run)
    with interruptible(run):
        reconstruct(sequence, with_frames(head, config.frames), config, run, rasterizer, segmenter=segmenter, ranks=ranks)  # fmt: skip
    ranks.leave()


def require_shares(config: ReconConfig, ranks: Ranks) -> None:
    """Raises InputError where a process would have no view of a step."""
    if config.batch < ranks.size:
        raise InputError(
            f"batch is {config.batch}: {ranks.size} processes need as many views a step at least; use fewer processes"
        )


def _segmenter(job: Job) -> Segmenter:
    made = registry().create("segmenter", job.segmenter or registry().default("segmenter"))
    assert isinstance(made, Segmenter)
    return made


def shown(state: TrainState) -> Gaussians:
    """The Gaussians that some step saw: what lies outside every picture, shoulders below the frame say, has learnt nothing."""
    gaussians = state.gaussians.detach()
    seen = state.adam.steps > 0
    return gaussians.select(seen) if bool(seen.any()) else gaussians


def make_avatar(
    state: TrainState, sequence: Sequence, head: HeadModel, job: Job, config: ReconConfig, run: Run
) -> Avatar:
    """The avatar of a finished (or stopped) training."""
    capture, source = sequence.capture, source_of(job.inputs, run)
    return Avatar(
        gaussians=state.gaussians.detach(),
        head=head_source(job.head, head),
        motion=state.head.params.detach(),
        timestep_names=capture.timestep_names,
        frames=capture.frames,
        cameras=tuple(AvatarCamera(camera.name, camera.width, camera.height) for camera in capture.cameras),
        viewmats=sequence.viewmats,
        Ks=sequence.Ks,
        background=torch.tensor(config.background),
        source=source["sequence"],
        pose_weights=state.head.weigh,
        meta={
            "name": capture.name,
            "inputs": source["inputs"],
            "config": dataclasses.asdict(config),
            "antialiased": config.antialiased,
            "camera_gains": {
                capture.cameras[camera].name: gain.round(5).tolist() for camera, gain in state.gains.items()
            },
            "segmenter": (job.segmenter or registry().default("segmenter")) if config.label_views > 0 else "",
            "training": {
                "steps": state.step,
                "total": state.total,
                "seconds": round(state.seconds, 2),
                "curve": state.curve,
            },
            "version": __version__,
        },
    )


def evaluate_all(
    avatar: Avatar, sequence: Sequence, head: HeadModel, rasterizer: Rasterizer, run: Run
) -> list[dict[str, Any]]:
    """``evaluate_split`` on val and test, with progress."""
    predict = avatar_predictor(avatar, sequence, avatar.motion, head, rasterizer, own_gains(avatar))
    background = avatar.background.numpy()
    results = []
    for split in ("val", "test"):
        frames = sequence.capture.indices(split)  # type: ignore[arg-type]
        if not frames:
            continue
        began = time.monotonic()
        run.emit(Started(f"evaluating {split}", len(frames), "frame"))
        tick = lambda done, total, split=split: run.emit(Progress(f"evaluating {split}", done, total))  # noqa: E731
        result = evaluate_split(predict, sequence, head, split, background, on_frame=tick)
        run.emit(
            Finished(f"evaluating {split}", time.monotonic() - began, {"psnr": result["psnr"], "ssim": result["ssim"]})
        )
        results.append(result)
    return results


def resumed_config(job: Job) -> ReconConfig:
    """The config that the interrupted run wrote down.  Raises InputError where there is nothing to resume."""
    path = job.folder / "config.yaml"
    if not path.is_file():
        raise InputError(f"{job.folder}: nothing to resume there; start without --resume")
    stored = from_mapping(ReconConfig, read_settings(path), str(path))
    return replace(stored, checkpoint_every=job.config.checkpoint_every)


def resumed_parts(job: Job) -> Job:
    """``job``, with the head model and the segmenter that the interrupted run was given, where it is resumed without naming others."""
    path = job.folder / PARTS
    if not job.resume or not path.is_file():
        return job
    with explained(path):
        text = path.read_text(encoding="utf-8")
    try:
        stored = json.loads(text)
        kept = {name: stored[name] for name in REMEMBERED}
        sane = all(value is None or isinstance(value, str) for value in kept.values())
    except (ValueError, TypeError, KeyError):
        sane = False
    if not sane:
        raise FileFormatError(f"{path}: damaged; name --head and --segmenter again, and remove it")
    return replace(job, **{name: getattr(job, name) or value for name, value in kept.items()})


def _json(data: Any) -> str:
    return json.dumps(data, indent=1, allow_nan=False) + "\n"
