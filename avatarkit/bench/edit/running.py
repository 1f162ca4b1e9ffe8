"""Carry cases out and write down how each did: one line of JSON a case, so that a bench that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from avatarkit import __version__
from avatarkit.bench.edit.cases import Case
from avatarkit.bench.edit.probes import ON_AVATAR, score
from avatarkit.bench.edit.scores import Score
from avatarkit.bench.edit.solid import DRIFT, stillness
from avatarkit.bench.edit.subjects import SIDE, Sitter, sitter
from avatarkit.bench.edit.truth import Change, Shot, expression_added, held_out, shots
from avatarkit.contracts import EditMetric
from avatarkit.edit.asked import request_for
from avatarkit.edit.config import EditConfig
from avatarkit.edit.editing import Tools, edit_avatar
from avatarkit.edit.membership import pieces_shown
from avatarkit.edit.painting import Painter
from avatarkit.edit.plan import EditPlan
from avatarkit.edit.planning import make_plan
from avatarkit.errors import AvatarkitError
from avatarkit.evaluate.edit_metrics import edited_views, metric_rows
from avatarkit.events import Run
from avatarkit.gaussians.avatar import Avatar
from avatarkit.registry import registry

QUICK = EditConfig(size=SIDE, steps=240, seconds=3600.0, keyframes=10, refreshed=4)
"""Settings of every edit of the bench: small pictures and few steps, so that a fit takes at most 20 seconds on two idle cores.  Bounded by steps alone:
results do not depend on what else the machine does."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case.  error: why nothing was done, or ""."""

    case: Case
    avatar: Avatar
    plan: EditPlan | None
    seconds: float
    outputs: int
    error: str
    operations: list[dict[str, Any]]


class Ledger:
    """Results by name in a file of JSON lines; what is in it is not done again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        if not path.is_file():
            return
        text = path.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # the line that was being written when somebody pulled the plug
                continue
            if isinstance(row, dict) and isinstance(row.get("name"), str):
                self.rows[row["name"]] = row
        if text and not text.endswith("\n"):  # what is written next must not become part of that line
            with path.open("a", encoding="utf-8") as stream:
                stream.write("\n")

    def done(self, name: str, key: str) -> bool:
        """Whether the row ``name`` is there and was made from the same ``key``."""
        return name in self.rows and self.rows[name].get("key") == key

    def add(self, row: dict[str, Any]) -> None:
        self.rows[row["name"]] = row
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, allow_nan=False) + "\n")


def case_key(case: Case, config: EditConfig, version: str = __version__, metrics: Iterable[str] = ()) -> str:
    """What a result depends on, as a short hash: another wording, probe, setting or metric is measured anew."""
    told = json.dumps([asdict(case), asdict(config), version, *sorted(metrics)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


class Sitters:
    """The avatars, made on first use and kept."""

    def __init__(self, folder: Path, seed: int, report: Callable[[str], None]) -> None:
        self._folder, self._seed, self._report = folder, seed, report
        self._kept: dict[str, Sitter] = {}

    def __call__(self, name: str) -> Sitter:
        if name not in self._kept:
            self._kept[name] = sitter(self._folder, name, seed=self._seed, report=self._report)
        return self._kept[name]


def carried_out(case: Case, who: Sitter, config: EditConfig, painter: Painter | None = None) -> Outcome:
    """Plan a case's prompt by the rules and edit; an edit that was refused leaves the avatar as it is."""
    run = Run(seed=config.seed)
    began = time.monotonic()
    plan = None
    try:
        pieces = pieces_shown(who.scene)
        plan = make_plan(request_for(who.avatar, case.prompt, pieces=pieces), run)
        tools = Tools(who.scene.head, who.scene.rasterizer, config, painter or default_painter(config))
        edited, done = edit_avatar(who.avatar, plan, tools, run)
        rows = [one.row() for one in done]
        return Outcome(case, edited, plan, time.monotonic() - began, sum(one.outputs for one in done), "", rows)
    except AvatarkitError as error:
        return Outcome(case, who.avatar, plan, time.monotonic() - began, 0, str(error), [])


def default_painter(config: EditConfig, editor: Any = None, discriminator: Any = None) -> Painter:
    """``paint``, or another editor, with the rules as refiner."""
    name = "paint" if editor is None else type(editor).__name__
    editor = registry().create("editor", "paint") if editor is None else editor
    return Painter(editor, name, config, registry().create("refiner", "rules"), discriminator)


def run_cases(
    cases: Iterable[Case], sitters: Sitters, ledger: Ledger, config: EditConfig = QUICK, *,
    report: Callable[[str], None] = lambda _: None, painter: Callable[[Case, Sitter, EditConfig], Painter] | None = None,
    metrics: Mapping[str, EditMetric] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Do what the ledger does not have; returns the rows of all ``cases``.

    metrics: learned judges beside the probes, by names that tell one model from another.
    """
    rows = []
    judges = metrics or {}
    for case in cases:
        key = case_key(case, config, metrics=judges)
        if not ledger.done(case.name, key):
            report(f"{case.name}: {case.prompt}")
            who = sitters(case.subject)
            chosen = None if painter is None else painter(case, who, config)
            outcome = carried_out(case, who, config, chosen)
            row = judged(case, who, outcome)
            if judges and outcome.plan is not None and not outcome.error:
                row["metrics"] = [
                    told for name, judge in judges.items() for told in _learned(name, judge, who, outcome)
                ]
            ledger.add({**row, "key": key})
        rows.append(ledger.rows[case.name])
    return rows


def judged(case: Case, who: Sitter, outcome: Outcome) -> dict[str, Any]:
    """The row of a case: its score, or the error that it ended with."""
    row: dict[str, Any] = {
        "name": case.name, "prompt": case.prompt, "subject": case.subject, "kind": case.kind, "seconds": round(outcome.seconds, 2),
        "outputs": outcome.outputs,
    }  # fmt: skip
    if outcome.error:
        return row | {"success": False, "why": outcome.error, "values": {}}
    pictures = [] if case.probe in ON_AVATAR else case_shots(case, who, outcome.avatar)
    found = score(case, who, pictures, outcome.avatar)
    if case.probe == "place":
        found = _held(found, stillness(who, outcome.avatar))
    return row | {
        "success": found.success,
        "why": found.why,
        "values": {k: round(v, 4) for k, v in found.values.items()},
    }


def _learned(name: str, metric: EditMetric, who: Sitter, outcome: Outcome) -> list[dict[str, Any]]:
    """What a learned metric says of the held-out pictures of an edit."""
    assert outcome.plan is not None
    places = [who.scene.place(*cell) for cell in held_out()]
    after = who.scene.with_avatar(outcome.avatar)
    before, changed = (torch.stack([scene.picture(place) for place in places]) for scene in (who.scene, after))
    azimuths = [who.scene.direction(place)[0] for place in places]
    edit = edited_views(before, changed, outcome.plan.operations, azimuths=azimuths, prompt=outcome.case.prompt)
    return [
        {
            **row,
            "value": round(row["value"], 5),
            "views": [None if v is None else round(float(v), 5) for v in row["views"]],
        }
        for row in metric_rows(name, metric, edit, Run())
    ]


def _held(found: Score, still: dict[str, float]) -> Score:
    """A score that also asks that what was added stays where it is on the head."""
    values = {**found.values, **still}
    drift = still.get("drift", 0.0)
    if found.success and drift > DRIFT:
        return Score(False, values, f"it drifts by {100 * drift:.1f} % of the head's width")
    return replace(found, values=values)


def case_shots(case: Case, who: Sitter, edited: Avatar) -> list[Shot]:
    """Held-out pictures of a case's truth and of the edited avatar."""
    weights = case.args.get("weights")
    motion: Change | None = expression_added(weights) if weights else None
    return shots(who, edited, case.change, motion=motion, half=case.args.get("half", 0.0))


def with_settings(config: EditConfig, **settings: Any) -> EditConfig:
    return replace(config, **settings)
