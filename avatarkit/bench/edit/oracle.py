"""The image editor's way measured alone: an editor that cannot be wrong.

The oracle returns the edited subject's own picture at that camera and time, so what an edit then lacks is the fault of masks, gate,
lifting or fit.  ``faults`` makes it wrong on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarkit.bench.edit.cases import Case, attribute_cases, spatial_cases
from avatarkit.bench.edit.running import QUICK, Ledger, Sitters, default_painter, run_cases
from avatarkit.bench.edit.subjects import Sitter
from avatarkit.bench.edit.summary import rate
from avatarkit.bench.edit.truth import landmarks
from avatarkit.cameras import Cameras
from avatarkit.contracts import Correspondences, EditStep
from avatarkit.edit.config import EditConfig
from avatarkit.edit.painting import Painter
from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit.labels import LABEL_INDEX
from avatarkit.synthetic.mesh_renderer import View
from avatarkit.synthetic.subject import subject

BY_PICTURES = replace(QUICK, operators=False, seconds=3600.0)
"""Settings of these edits: everything goes to the editor, and steps are counted instead of seconds."""
COLOURS = {"black": "#000000", "green": "#008000", "red": "#ff0000", "blue": "#0000ff", "gold": "#d4a63a"}


@dataclass(frozen=True)
class Partial:
    """Which part of the subject's edit is meant.  only: true classes after the edit, all where empty; side: 1 the head's left, −1 its right,
    0 both."""

    only: tuple[str, ...] = ()
    side: float = 0.0


class Oracle:
    """An editor plugin that knows the subject: a keyframe's name says when and from where it is asked."""

    def __init__(self, who: Sitter, change: dict[str, Any], partial: Partial = Partial()) -> None:
        self.who, self.look, self.partial = who, replace(who.look, **change), partial
        self._kept: dict[tuple[int, int], Tensor] = {}

    def edit(
        self, views: Tensor, masks: Tensor, step: EditStep, *, references: Tensor | None, cameras: Cameras,
        correspondences: Correspondences | None, seed: int, run: Run,
    ) -> Tensor:  # fmt: skip
        """(B, 3, H, W) true pictures of the edited subject."""
        return torch.stack([self.picture(*cell(text.keyframe)) for text in step.texts])

    def picture(self, timestep: int, camera: int) -> Tensor:
        """(3, H, W) of the edited subject."""
        if (timestep, camera) not in self._kept:
            self._kept[timestep, camera] = self._drawn(timestep, camera)
        return self._kept[timestep, camera]

    def _drawn(self, timestep: int, camera: int) -> Tensor:
        after = self._view(self.look, timestep, camera)
        picture = _picture(after)
        if not self.partial.only and not self.partial.side:
            return picture
        before = self._view(self.who.look, timestep, camera)
        part = np.ones(after.labels.shape, bool)
        if self.partial.only:
            numbers = [LABEL_INDEX[name] for name in self.partial.only]
            part = np.isin(after.labels, numbers) | np.isin(before.labels, numbers)
        meant = torch.from_numpy(part)
        if self.partial.side:
            meant &= self._on_side(after, timestep, camera) | (torch.from_numpy(after.labels) == 0)
        return torch.where(meant[None], picture, _picture(before))

    def _view(self, look: Any, timestep: int, camera: int) -> View:
        return subject(look).view(self.who.poses[timestep], self.who.cameras[camera], samples=2)

    def _on_side(self, view: View, timestep: int, camera: int) -> Tensor:
        """(H, W) bool: what lies on the asked side of the head's middle plane."""
        found = landmarks(self.who, self.who.poses[timestep])
        lens = self.who.cameras[camera]
        K, world = (torch.as_tensor(np.asarray(value), dtype=torch.float32) for value in (lens.K, lens.viewmat))
        depth = torch.from_numpy(view.depth)
        rows, columns = torch.meshgrid(*(torch.arange(n) + 0.5 for n in depth.shape), indexing="ij")
        local = torch.stack([(columns - K[0, 2]) / K[0, 0] * depth, (rows - K[1, 2]) / K[1, 1] * depth, depth], -1)
        points = (local - world[:3, 3]) @ world[:3, :3]
        return (points - found["centre"]) @ found["left"] * self.partial.side > 0


def cell(name: str) -> tuple[int, int]:
    """Timestep and camera of a place's name, "t12 c3".  Raises InputError for another name."""
    try:
        step, camera = name.split(" ")
        assert step[0] == "t" and camera[0] == "c"
        return int(step[1:]), int(camera[1:])
    except (ValueError, AssertionError, IndexError):
        raise InputError(f"'{name}' names no place; expected a name such as 't12 c3'") from None


def _picture(view: View) -> Tensor:
    return torch.from_numpy(view.rgb.astype(np.float32) / 255.0).permute(2, 0, 1).contiguous()


@dataclass(frozen=True)
class OracleCase:
    """A case, and which part of its subject's change is meant by it."""

    case: Case
    partial: Partial = field(default_factory=Partial)


def oracle_cases() -> list[OracleCase]:
    """20 of the attribute cases, and 20 spatial ones whose truth can be drawn."""
    return [*_attribute(), *_spatial()]


def _attribute() -> list[OracleCase]:
    """Every part at least once, things taken away among them."""
    every = {case.prompt: case for case in attribute_cases()}
    prompts = (
        "copper red hair", "make her hair blue", "I want orange hair", "pink hair", "red lips", "make the lips purple", "green eyes",
        "give him blue eyes", "green skin", "make her skin #7fa8d6", "make the eyebrows red", "a red shirt", "orange clothes",
        "his shirt should be navy", "make the glasses red", "make the cap green", "make the necklace red", "make his beard and moustache orange",
        "remove the glasses", "take off the cap",
    )  # fmt: skip
    return [OracleCase(replace(every[prompt], name=f"oracle-attribute-{i:02d}")) for i, prompt in enumerate(prompts)]


def _spatial() -> list[OracleCase]:
    """Sides of what is there in both frames, and new things of which the truth has the colours of the prompt."""
    every = {case.prompt: case for case in spatial_cases()}
    black, green, red, gold = (COLOURS[name] for name in ("black", "green", "red", "gold"))
    sided = [
        prompt.format(side=side) for side in ("left", "right") for prompt in (
            "make the {side} half of the hair blue", "the {side} side of her hair should be green",
            "make the hair on the {side} side of the picture pink", "make the {side} eyebrow red", "make his {side} eye green",
            "make the {side} earring blue", "put a hoop earring on his {side} ear",
        )
    ]  # fmt: skip
    added: dict[str, dict[str, Any]] = {
        "add round black glasses": {"glasses_colour": black}, "a green beanie": {"hat_colour": green, "hat_trim": green},
        "add a red headband": {"hat_colour": red, "hat_trim": red}, "add a gold chain necklace": {"necklace_colour": gold},
        "give her a moustache": {}, "add a brown beard": {},
    }  # fmt: skip
    cases = []
    for i, prompt in enumerate((*sided, *added)):
        case = every[prompt]
        case = replace(case, name=f"oracle-spatial-{i:02d}", change={**case.change, **added.get(prompt, {})})
        half = case.args.get("half", 0.0)
        cases.append(OracleCase(case, Partial(case.labels if half else (), half)))
    return cases


def oracle_painter(chosen: OracleCase, who: Sitter, config: EditConfig, discriminator: Any = None) -> Painter:
    """The oracle at work on a case."""
    return default_painter(config, Oracle(who, chosen.case.change, chosen.partial), discriminator)


def run(
    sitters: Sitters, ledger: Ledger, *, config: EditConfig = BY_PICTURES, only: tuple[str, ...] = (),
    report: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """The rows of all oracle cases, or of those named in ``only``; what the ledger has is not done again."""
    chosen = [one for one in oracle_cases() if not only or one.case.name in only]
    by_name = {one.case.name: one for one in chosen}
    return run_cases(
        [one.case for one in chosen], sitters, ledger, config, report=report,
        painter=lambda case, who, settings: oracle_painter(by_name[case.name], who, settings),
    )  # fmt: skip


def by_pictures(config: EditConfig) -> EditConfig:
    """``config`` with everything left to the editor, and steps counted instead of seconds."""
    return replace(config, operators=BY_PICTURES.operators, seconds=BY_PICTURES.seconds)


def part(sitters: Sitters, ledger: Ledger, config: EditConfig, report: Callable[[str], None]) -> dict[str, Any]:
    """For ``parts.PARTS``: {"attribute", "spatial": rates, "prompts": rows}."""
    rows = run(sitters, ledger, config=by_pictures(config), report=report)
    kinds = {kind: rate(row for row in rows if row["kind"] == kind) for kind in ("attribute", "spatial")}
    return {**kinds, "prompts": rows}
