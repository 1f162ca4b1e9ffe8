"""The whole of ``avatarkit edit``: a prompt or a plan → an edited avatar, with its pictures and log in a folder beside it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from avatarkit.config import dump_config
from avatarkit.drive.filming import film
from avatarkit.edit.asked import labels_shown, request_for
from avatarkit.edit.config import EditConfig
from avatarkit.edit.editing import Tools, by_operator, edit_avatar
from avatarkit.edit.history import undone
from avatarkit.edit.mapping_masks import MappingMasks, learnable
from avatarkit.edit.membership import pieces_shown
from avatarkit.edit.painting import Painter, Refine, masks_at
from avatarkit.edit.pictures import PictureJournal, before_and_after, region_sheet
from avatarkit.edit.plan import EditPlan, Operation, plan_json
from avatarkit.edit.planning import RULES, SecondTurn, load_plan, make_plan
from avatarkit.edit.region import lifted, locate
from avatarkit.edit.scene import Place, Scene
from avatarkit.edit.visibility import spread_places
from avatarkit.errors import FileFormatError, InputError
from avatarkit.events import Picture, Run
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.avatar_file import load_avatar, save_avatar
from avatarkit.gaussians.head_of import head_of
from avatarkit.hookspecs import Role
from avatarkit.paths import atomic_write_text, explained, require_file_place
from avatarkit.pictures.sheet import encode, to_bytes, write_picture
from avatarkit.recon.log import EventLog
from avatarkit.registry import registry
from avatarkit.render.hosted import hosted

LOOK_SIZE = 512  # pixels of a side of the picture that a language model sees
NO_DISCRIMINATOR = "none"
PAINT = "paint"
PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class EditJob:
    """What was asked for.  prompt or plan_file; output: the edited avatar's file, its folder stands beside it.

    mask: a picture of a region, white inside, as seen at ``mask_view`` (timestep, camera).
    """

    avatar: Path
    output: Path | None
    config: EditConfig
    prompt: str = ""
    plan_file: Path | None = None
    editor: str = PAINT
    editor_options: Mapping[str, Any] = field(default_factory=dict)
    llm: str = RULES
    llm_options: Mapping[str, Any] = field(default_factory=dict)
    llm_fallback: bool = False
    discriminator: str = NO_DISCRIMINATOR
    discriminator_options: Mapping[str, Any] = field(default_factory=dict)
    look: bool = True
    rasterizer: str | None = None
    head: str | None = None
    mask: Path | None = None
    mask_view: tuple[int, int] = (0, 0)

    @property
    def folder(self) -> Path | None:
        return None if self.output is None else self.output.with_suffix(".edit")


def networked(job: EditJob) -> bool:
    """Whether any part that the job names may send data off the machine; it says itself, before it does, what and where to."""
    named: list[tuple[Role, str]] = [("refiner", job.llm), ("editor", job.editor)]
    if job.config.mapping and job.config.segmenter:
        named.append(("segmenter", job.config.segmenter))
    return any(registry().get(role, name).network for role, name in named)


def plan_of(job: EditJob, avatar: Avatar, run: Run) -> EditPlan:
    """The plan that the job's prompt or file makes for ``avatar``."""
    if job.plan_file is not None:
        return load_plan(job.plan_file, request_for(avatar, ""))
    pieces = pieces_shown(scene_of(job, avatar)) if labels_shown(avatar.gaussians) is not None else ()
    return make_plan(
        request_for(avatar, job.prompt, pieces=pieces), run, refiner=job.llm, options=job.llm_options, fallback=job.llm_fallback,
        look=(lambda: pictures_of(job, avatar)) if job.look else None,
    )  # fmt: skip


def say_doubts(plan: EditPlan, run: Run) -> None:
    """What the plan guessed or left out, before it is carried out."""
    for line in plan.ambiguities:
        run.notice(f"unsure: {line}", "warning")


def pictures_of(job: EditJob, avatar: Avatar) -> tuple[bytes, ...]:
    """What a refiner sees before it plans: the avatar from the front, as a PNG file."""
    scene = scene_of(job, avatar)
    frames = film(
        avatar, scene.head, scene.rasterizer, avatar.motion[[0]], Run(), camera="front", size=(LOOK_SIZE, LOOK_SIZE)
    )
    return tuple(encode(frame) for frame in frames)


def scene_of(job: EditJob, avatar: Avatar) -> Scene:
    """The avatar with its head model and the rasterizer that was asked for."""
    rasterizer = hosted(registry().create("rasterizer", job.rasterizer or registry().default("rasterizer")))
    return Scene(avatar, head_of(avatar.head, job.head), rasterizer, job.config.size)


def run_edit(job: EditJob, run: Run) -> dict[str, Any]:
    """Plan, edit, save, and draw what happened; returns the summary that ``--json`` prints."""
    assert job.output is not None and job.folder is not None
    _check_output(job)
    avatar = load_avatar(job.avatar)
    scene = scene_of(job, avatar)
    mask = _mask(job, scene)
    plan = plan_of(job, avatar, run)  # last of what can fail: a model may be asked, and paid
    with explained(job.folder):
        job.folder.mkdir(parents=True, exist_ok=True)
        log = EventLog(job.folder / "events.jsonl")
    log.begin()
    run.add_sink(log)
    try:
        atomic_write_text(job.folder / "plan.json", json.dumps(plan_json(plan), indent=1) + "\n")
        dump_config(job.config, job.folder / "config.yaml")
        journal = PictureJournal(job.folder)
        tools = Tools(scene.head, scene.rasterizer, job.config, _painter(job, journal, avatar, run), mask)
        say_doubts(plan, run)
        edited, done = edit_avatar(avatar, plan, tools, run)
        save_avatar(edited, job.output)
        sheet = job.folder / "before-after.jpg"
        write_picture(sheet, before_and_after(scene, scene.with_avatar(edited)))
        run.emit(Picture("before and after", sheet))
        summary = {
            "avatar": str(job.output), "folder": str(job.folder), "plan": plan_json(plan), "operations": [one.row() for one in done],
            "pictures": [str(path) for path in (sheet, *journal.written)],
        }  # fmt: skip
        atomic_write_text(job.folder / "result.json", json.dumps(summary, indent=1) + "\n")
        return summary
    finally:
        run.remove_sink(log)
        log.close()


def undo_edit(job: EditJob) -> dict[str, Any]:
    """Take the last edit back and save; returns the summary."""
    assert job.output is not None
    _check_output(job)
    avatar = load_avatar(job.avatar)
    before = undone(avatar)
    save_avatar(before, job.output)
    return {"avatar": str(job.output), "undone": avatar.history[-1].get("prompt", ""), "edits": len(before.history)}


def _check_output(job: EditJob) -> None:
    """Raise for an output that cannot be written, and for names that nothing has, before anything is done."""
    assert job.output is not None
    require_file_place(job.output)
    registry().get("editor", job.editor)
    registry().get("refiner", job.llm)
    if job.discriminator != NO_DISCRIMINATOR:
        registry().get("discriminator", job.discriminator)
    elif job.discriminator_options:
        raise InputError("--discriminator-set: there is no discriminator to set; name one with --discriminator")


def show_regions(job: EditJob, path: Path, run: Run) -> dict[str, Any]:
    """Draw where each operation of the plan would act, and change nothing.

    For an operation that an image editor would paint those are its masks, refined by a mapping net where one is used; it is trained
    if there is none yet, and kept for the edit.
    """
    if path.suffix.lower() not in PICTURES:
        raise InputError(f"--show-region {path}: the suffix must be one of {', '.join(PICTURES)}")
    avatar = load_avatar(job.avatar)
    plan = plan_of(job, avatar, run)
    say_doubts(plan, run)
    scene = scene_of(job, avatar)
    mask, masks = _mask(job, scene), _MasksOnDemand(job, avatar, run)
    regions, notes = [], []
    for index, operation in enumerate(plan.operations):
        name = f"{index} {operation.kind} {operation.target.replace('_', ' ')}"
        try:
            weights = locate(scene, operation).weights if mask is None else mask
        except InputError as error:  # what an earlier operation adds is not there yet
            notes.append(f"{name}: {error}")
            continue
        kinds = tuple(earlier.kind for earlier in plan.operations[:index])
        regions.append((name, masks_at(scene, weights, masks.refine(scene, kinds, operation, weights))))
    if not regions:
        raise InputError("; ".join(notes))
    write_picture(path, region_sheet(scene, regions, _apart(scene, 4)))
    return {"picture": str(path), "plan": plan_json(plan), "notes": notes}


@dataclass
class _MasksOnDemand:
    """What refines masks of operations that are painted: made for the first of them, since it may have to say something."""

    job: EditJob
    avatar: Avatar
    run: Run

    def refine(self, scene: Scene, kinds: tuple[str, ...], operation: Operation, weights: Tensor) -> Refine | None:
        config = self.job.config
        if self.job.mask is not None or not config.mapping or not learnable(operation):
            return None
        if by_operator(operation, config, None if config.operators else self._editor):
            return None
        masks = self._masks
        return None if masks is None else masks(scene, kinds, operation, weights)

    @functools.cached_property
    def _editor(self) -> Any:
        return registry().create("editor", self.job.editor, self.job.editor_options)

    @functools.cached_property
    def _masks(self) -> MappingMasks | None:
        return _mapping_masks(self.job, self.avatar, self.run)


def _apart(scene: Scene, count: int) -> list[Place]:
    """Places from the avatar's right to its left."""
    places = sorted(spread_places(scene, 4 * count), key=lambda place: scene.direction(place)[0])
    return [places[i] for i in np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))]


def _painter(job: EditJob, journal: PictureJournal, avatar: Avatar, run: Run) -> Painter:
    editor = registry().create("editor", job.editor, job.editor_options)
    discriminator = None
    if job.discriminator != NO_DISCRIMINATOR:
        discriminator = registry().create("discriminator", job.discriminator, job.discriminator_options)
    refiner = SecondTurn(job.llm, job.llm_options, job.llm_fallback)
    shown = job.look and registry().get("refiner", job.llm).network
    masks = _mapping_masks(job, avatar, run)
    return Painter(editor, job.editor, job.config, refiner, discriminator, journal, _png if shown else None, masks)


def _mapping_masks(job: EditJob, avatar: Avatar, run: Run) -> MappingMasks | None:
    """What refines masks by the segmenter of stage 1.

    What an avatar's file names is data: it never chooses code, weights or a server.  Any segmenter but the default one has to be named
    by the user.
    """
    if not job.config.mapping or job.mask is not None:
        return None
    default = registry().default("segmenter")
    stored = str(avatar.meta.get("segmenter") or default)
    if not job.config.segmenter and stored != default:
        run.notice(
            f"no mapping net is trained, masks are rendered labels: the labels come from the segmenter {stored[:60]!r}; "
            "name it with --set segmenter=NAME to have it asked again"
        )
        return None
    name = job.config.segmenter or default
    if registry().get("segmenter", name).network:
        run.notice(f"the segmenter '{name}' sends pictures of the capture off this machine", "warning")
    return MappingMasks(
        lambda: registry().create("segmenter", name), name, job.config.mapping_seconds, job.config.seed, run
    )


def _png(picture: Tensor) -> bytes:
    return encode(to_bytes(np.asarray(picture.permute(1, 2, 0))))


def _mask(job: EditJob, scene: Scene) -> Tensor | None:
    """A painted region, lifted to the Gaussians; None where there is none."""
    if job.mask is None:
        return None
    timestep, camera = job.mask_view
    if not (0 <= timestep < len(scene.avatar.motion) and 0 <= camera < len(scene.avatar.cameras)):
        raise InputError(
            f"--mask-view {timestep}:{camera}: the avatar has {len(scene.avatar.motion)} timesteps and {len(scene.avatar.cameras)} cameras"
        )
    place = scene.place(timestep, camera)
    width, height = place.cameras.width, place.cameras.height
    with explained(job.mask):
        try:
            with Image.open(job.mask) as picture:
                grey = np.asarray(picture.convert("L").resize((width, height), Image.Resampling.BILINEAR), np.float32)
        except (Image.UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise FileFormatError(f"{job.mask}: not a picture ({error})") from error
    mask = torch.from_numpy(grey / 255.0)[None]
    if float(mask.max()) < 0.5:
        raise InputError(f"{job.mask}: nothing in it is white; a region is white on black")
    return lifted(scene, [(place, mask)])
