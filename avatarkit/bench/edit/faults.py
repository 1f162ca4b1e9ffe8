"""An editor that errs on purpose, against four ways to fit what it returns.

The oracle's pictures are spoiled as image editors spoil theirs: colour that spills over the region's edge, shifted or zoomed pictures, tints
that differ from view to view, the wrong side, views in which nothing happened, one view that is nonsense; in three grades.  Scored on held-out
pictures against the subject drawn again with the edit: error inside, change outside, success where both are small.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, max_pool2d

from avatarkit import __version__
from avatarkit.bench.edit.masks import EDGE, OUTSIDE_DELTA, OUTSIDE_SHARE
from avatarkit.bench.edit.oracle import BY_PICTURES, COLOURS, Oracle, Partial, by_pictures, cell
from avatarkit.bench.edit.probes import COLOUR_DELTA, TRULY
from avatarkit.bench.edit.running import Ledger, Sitters, default_painter
from avatarkit.bench.edit.subjects import Sitter
from avatarkit.bench.edit.truth import held_out
from avatarkit.cameras import Cameras
from avatarkit.contracts import Correspondences, EditStep
from avatarkit.edit.asked import request_for
from avatarkit.edit.config import EditConfig
from avatarkit.edit.cutting import cut
from avatarkit.edit.painting import Wish, paint
from avatarkit.edit.planning import make_plan
from avatarkit.edit.region import locate
from avatarkit.edit.scene import Scene
from avatarkit.edit.verify import verify
from avatarkit.errors import AvatarkitError, InputError
from avatarkit.events import Run
from avatarkit.losses.colour_difference import ciede2000, lab

if TYPE_CHECKING:
    from rich.table import Table

GRADES = (1, 2, 3)
SPILL = (4, 10, 24)  # pixels beyond the mask that take on some of the edit
SPILT = 0.7  # of the edit, there
SHIFT = (1.0, 3.0, 8.0)  # pixels
ZOOM = (0.01, 0.03, 0.08)
JITTER = (0.04, 0.10, 0.20)  # of a channel's gain, and half of it as an offset
SHARE = (0.15, 0.3, 0.5)
"""Of the views: those that show the wrong side, or nothing."""
FAULTS = ("none", "spill", "shift", "zoom", "jitter", "wrong side", "no-op", "bad view")
BAD = 1  # the place in the first batch of the view that is nonsense


@dataclass(frozen=True)
class Way:
    """A way to fit.  verified: with all that an edit does around its fit: Gaussians are cut at the region's border, and a result that fails
    the edit's own checks is taken back."""

    name: str
    config: EditConfig
    verified: bool = False


def ways(config: EditConfig) -> tuple[Way, ...]:
    """Ours and the three others, on the same keyframes and number of steps (naive takes all of them at once, the others in two halves).

    naive: every parameter on all edited views, as they are.  dataset update: the same, with views painted again from what the avatar has
    become (Instruct-NeRF2NeRF).  static labels: only the Gaussians of the region, by the labels that they have, on the views as they are
    (GaussianEditor's semantic tracing): no gate, no mapping net.
    """
    return (
        Way("ours", replace(config, fit="guarded"), verified=True),
        Way("naive", replace(config, fit="naive", gate=False, mapping=False, steps=2 * config.steps)),
        Way("dataset update", replace(config, fit="dataset_update", gate=False, mapping=False)),
        Way("static labels", replace(config, fit="guarded", gate=False, mapping=False, weight_gs=0.0)),
    )


@dataclass(frozen=True)
class Task:
    """A prompt, what is true after it, and what an editor paints that takes one side for the other."""

    name: str
    subject: str
    prompt: str
    change: dict[str, Any]
    partial: Partial
    wrong: Partial


def tasks() -> tuple[Task, ...]:
    """Three prompts with a side: a large region, one of some hundred pixels, one that is a line."""
    blue, green, red = (COLOURS[name] for name in ("blue", "green", "red"))
    return (
        Task("hair", "plain", "make the left half of the hair blue", {"hair_colour": blue, "highlight_colour": blue},
             Partial(("hair",), 1.0), Partial(("hair",), -1.0)),
        Task("eye", "bearded", "make his left eye green", {"iris": green}, Partial(("l_eye",)), Partial(("r_eye",))),
        Task("eyebrow", "plain", "make the left eyebrow red", {"brows": red}, Partial(("l_brow",)), Partial(("r_brow",))),
    )  # fmt: skip


class Faulty:
    """An editor plugin: the oracle, with a fault of a grade."""

    def __init__(self, oracle: Oracle, wrong: Oracle, fault: str, grade: int, seed: int = 0) -> None:
        """grade: of ``GRADES``; wrong: the oracle that paints the wrong side."""
        self.oracle, self.wrong, self.fault, self.grade, self.seed = oracle, wrong, fault, grade - 1, seed
        self._bad = ""

    def edit(
        self, views: Tensor, masks: Tensor, step: EditStep, *, references: Tensor | None, cameras: Cameras,
        correspondences: Correspondences | None, seed: int, run: Run,
    ) -> Tensor:  # fmt: skip
        """(B, 3, H, W): true pictures, spoiled; the same view is spoiled in the same way whenever it is asked for."""
        names = [text.keyframe for text in step.texts]
        if not self._bad:
            self._bad = names[min(BAD, len(names) - 1)]
        return torch.stack([self._spoiled(*one) for one in zip(names, views, masks, strict=True)])

    def _spoiled(self, name: str, view: Tensor, mask: Tensor) -> Tensor:
        random = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        picture = self.oracle.picture(*cell(name))
        if self.fault == "spill":
            return spilt(picture, view, mask, SPILL[self.grade])
        if self.fault == "shift":
            angle = random.uniform(0.0, 2.0 * np.pi)
            return resampled(picture, 1.0, SHIFT[self.grade] * np.cos(angle), SHIFT[self.grade] * np.sin(angle))
        if self.fault == "zoom":
            return resampled(picture, 1.0 + ZOOM[self.grade] * random.choice([-1.0, 1.0]), 0.0, 0.0)
        if self.fault == "jitter":
            return tinted(picture, JITTER[self.grade], random)
        if self.fault == "wrong side" and random.random() < SHARE[self.grade]:
            return self.wrong.picture(*cell(name))
        if self.fault == "no-op" and random.random() < SHARE[self.grade]:
            return view
        if self.fault == "bad view" and name == self._bad:
            return nonsense(picture, mask, self.grade, random)
        return picture


def spilt(picture: Tensor, view: Tensor, mask: Tensor, reach: int) -> Tensor:
    """``picture`` (3, H, W) with some of the edit's mean colour around ``mask`` (1, H, W)."""
    core = mask > 0.5
    if not bool(core.any()):
        return picture
    near = (max_pool2d(core.float()[None], 2 * reach + 1, 1, reach)[0] > 0.5) & ~core
    colour = picture[:, core[0]].mean(1)[:, None, None]
    return torch.where(near, picture + SPILT * (colour - picture), picture)


def resampled(picture: Tensor, zoom: float, x: float, y: float) -> Tensor:
    """``picture`` (3, H, W) enlarged by ``zoom`` about its middle and moved by (x, y) pixels; edges continue."""
    height, width = picture.shape[1:]
    rows, columns = torch.meshgrid(*((2.0 * torch.arange(n) + 1.0 - n) / n for n in (height, width)), indexing="ij")
    at = torch.stack([(columns - 2.0 * x / width) / zoom, (rows - 2.0 * y / height) / zoom], -1)
    moved = grid_sample(picture[None], at[None].float(), mode="bicubic", padding_mode="border", align_corners=False)
    return moved[0].clamp(0.0, 1.0)


def tinted(picture: Tensor, much: float, random: np.random.Generator) -> Tensor:
    """``picture`` with another gain and offset for each channel."""
    gain = torch.from_numpy(1.0 + much * random.uniform(-1.0, 1.0, 3)).float()[:, None, None]
    offset = torch.from_numpy(0.5 * much * random.uniform(-1.0, 1.0, 3)).float()[:, None, None]
    return (gain * picture + offset).clamp(0.0, 1.0)


def nonsense(picture: Tensor, mask: Tensor, grade: int, random: np.random.Generator) -> Tensor:
    """A view unlike all others: another colour in the region, channels that changed places all over, noise."""
    if grade == 0:
        return torch.where(mask > 0.5, picture.roll(1, 0), picture)
    if grade == 1:
        return picture.roll(1, 0)
    return torch.from_numpy(random.random(tuple(picture.shape))).float()


@dataclass(frozen=True)
class Found:
    """error: median CIEDE2000 to the truth inside; outside: mean share of the picture that changed where the truth did not."""

    error: float
    outside: float

    @property
    def success(self) -> bool:
        return self.error <= COLOUR_DELTA and self.outside <= OUTSIDE_SHARE


def measured(before: Scene, after: Scene, task: Task, oracle: Oracle) -> Found:
    """Held-out pictures of the avatar against the oracle's."""
    errors, outsides = [], []
    untouched = Oracle(oracle.who, {})
    for step, camera in held_out():
        truth, was = (o.picture(step, camera).permute(1, 2, 0) for o in (oracle, untouched))
        place = before.place(step, camera)
        first, second = (s.picture(place).permute(1, 2, 0) for s in (before, after))
        truly = ciede2000(lab(was), lab(truth))
        inside = truly > TRULY
        if bool(inside.any()):
            errors.append(ciede2000(lab(second[inside]), lab(truth[inside])))
        near = max_pool2d((truly > OUTSIDE_DELTA).float()[None], 4 * EDGE + 1, 1, 2 * EDGE)[0] > 0.5
        outsides.append(float(((ciede2000(lab(first), lab(second)) > OUTSIDE_DELTA) & ~near).float().mean()))
    if not errors:
        raise InputError(f"'{task.prompt}' shows in no held-out picture of the truth")
    error = float(torch.cat(errors).median())
    return Found(error, sum(outsides) / len(outsides))


def fitted(task: Task, who: Sitter, way: Way, editor: Any) -> tuple[Scene, dict[str, Any]]:
    """One edit by one way: the scene after it, and what is to be said of it."""
    run = Run(seed=way.config.seed)
    plan = make_plan(request_for(who.avatar, task.prompt), run)
    operation = plan.operations[0]
    try:
        scene = cut(who.scene, operation) if way.verified else who.scene
        located = locate(scene, operation)
        wish = Wish(plan, 0, located, colours_only=scene is not who.scene)
        made = paint(scene, wish, default_painter(way.config, editor), run, way.config.outputs)
    except AvatarkitError as error:
        return who.scene, {"reason": str(error), "outputs": 0, "accepted": 0}
    said = {"reason": made.reason, "outputs": made.outputs, "accepted": sum(bool(row["accepted"]) for row in made.rows)}
    after = who.scene.with_avatar(made.avatar)
    if way.verified and not made.reason:
        verdict = verify(scene, after, operation, located)
        if not verdict.accepted:
            return who.scene, said | {"reason": f"taken back: {verdict.reason}"}
    return after, said


def run(
    sitters: Sitters, ledger: Ledger, *, config: EditConfig = BY_PICTURES, faults: Sequence[str] = FAULTS,
    grades: Sequence[int] = GRADES, chosen: Sequence[str] = (), seeds: Sequence[int] = (0,),
    report: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """A row for every (fault, grade, prompt, way, seed): {"name", "fault", "grade", "prompt", "way", "success", "error", "outside", …}.

    chosen: names of tasks, all where empty.  What the ledger has is not done again.
    """
    rows = []
    for seed in seeds:
        for fault in faults:
            for grade in grades if fault != "none" else (1,):
                for task in tasks():
                    if chosen and task.name not in chosen:
                        continue
                    for way in ways(config):
                        rows.append(_row(sitters, ledger, task, way, fault, grade, seed, report))
    return rows


def _row(
    sitters: Sitters, ledger: Ledger, task: Task, way: Way, fault: str, grade: int, seed: int, report: Callable[[str], None]
) -> dict[str, Any]:  # fmt: skip
    name = f"fault-{fault}-{grade}-{task.name}-{way.name}-{seed}".replace(" ", "-")
    key = _key(task, way, fault, grade)
    if not ledger.done(name, key):
        report(name)
        who = sitters(task.subject)
        oracle, wrong = (Oracle(who, task.change, partial) for partial in (task.partial, task.wrong))
        chosen = replace(way, config=replace(way.config, seed=seed))
        after, said = fitted(task, who, chosen, Faulty(oracle, wrong, fault, grade, seed))
        found = measured(who.scene, after, task, oracle)
        ledger.add({
            "name": name, "key": key, "fault": fault, "grade": grade, "prompt": task.prompt, "way": way.name, "seed": seed,
            "success": found.success, "error": round(found.error, 2), "outside": round(found.outside, 5), **said,
        })  # fmt: skip
    return ledger.rows[name]


def _key(task: Task, way: Way, fault: str, grade: int) -> str:
    """What a row depends on, as a short hash."""
    told = json.dumps([asdict(task), asdict(way), fault, grade, __version__], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def part(sitters: Sitters, ledger: Ledger, config: EditConfig, report: Callable[[str], None]) -> list[dict[str, Any]]:
    """For ``parts.PARTS``: means by fault, grade and way."""
    return summary(run(sitters, ledger, config=by_pictures(config), seeds=(config.seed,), report=report))


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over prompts and seeds: a row for every (fault, grade, way)."""
    keys = dict.fromkeys((row["fault"], row["grade"], row["way"]) for row in rows)
    result = []
    for fault, grade, way in keys:
        own = [row for row in rows if (row["fault"], row["grade"], row["way"]) == (fault, grade, way)]
        result.append({
            "fault": fault, "grade": grade, "way": way, "n": len(own), "success": sum(row["success"] for row in own) / len(own),
            "error": float(np.mean([row["error"] for row in own])), "outside": float(np.mean([row["outside"] for row in own])),
        })  # fmt: skip
    return result


def table(means: Sequence[dict[str, Any]]) -> Table:
    """Success / error inside / change outside of what ``summary`` gives, by fault and grade, one column a way."""
    from rich import box
    from rich.table import Table

    shown = Table(
        title="success / error inside / % changed outside",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    named = list(dict.fromkeys(row["way"] for row in means))
    for column in ("fault", "grade", *named):
        shown.add_column(column)
    for fault, grade in dict.fromkeys((row["fault"], row["grade"]) for row in means):
        cells = []
        for way in named:
            own = [r for r in means if (r["fault"], r["grade"], r["way"]) == (fault, grade, way)]
            cells.append(
                f"{100 * own[0]['success']:.0f} % / {own[0]['error']:.1f} / {100 * own[0]['outside']:.2f}"
                if own
                else "-"
            )
        shown.add_row(fault, str(grade), *cells)
    return shown
