"""The edit, in one place: for each operation of a plan locate its region, act, verify, correct or take back; then write history.

Read ``edit_avatar`` from top to bottom; everything that it calls is a plain function beside it or in this package.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from avatarkit.contracts import HeadModel, Rasterizer
from avatarkit.edit.config import EditConfig
from avatarkit.edit.cutting import cut
from avatarkit.edit.history import changed, with_entry
from avatarkit.edit.operators.add import add_accessory, opaque_seeds, seed_accessory, with_group, without_idle_seeds
from avatarkit.edit.operators.delete import delete
from avatarkit.edit.operators.expression import express
from avatarkit.edit.operators.identity import recipe
from avatarkit.edit.operators.recolour import recolour
from avatarkit.edit.operators.warp import head_width, move_part, scale_part
from avatarkit.edit.painting import Begin, Painter, Start, Wish, paint
from avatarkit.edit.plan import EditPlan, Operation, operation_json
from avatarkit.edit.region import MARKS, Located, direction, lifted, locate
from avatarkit.edit.scene import Place, Scene
from avatarkit.edit.verify import NOTHING, Verdict, verify
from avatarkit.errors import AvatarkitError, InputError
from avatarkit.events import Finished, Run, Started
from avatarkit.gaussians.avatar import Avatar

Operator = Callable[[Scene, Operation, Located], Avatar]
OPERATORS: dict[str, Operator] = {
    "recolour": recolour, "delete": delete, "move": move_part, "shape": scale_part, "expression": express, "add": add_accessory,
}  # fmt: skip
DECALS = (*MARKS, "object")
"""What ``add`` cannot make of Gaussians by itself."""
CLEAR = 0.01  # metres beyond its anchor to which a thing in the wrong place is sent


@dataclass(frozen=True)
class Tools:
    """With what an edit is carried out.  painter: None where no image editor is wanted."""

    head: HeadModel
    rasterizer: Rasterizer
    config: EditConfig
    painter: Painter | None = None
    mask: Tensor | None = None
    """(N,) weights of a region that a person painted: it stands for every operation's own."""


@dataclass
class Done:
    """What became of one operation.  how: "operator" or the editor's name; views: the gate's rows; outputs: pictures of the editor;
    latent: the correction that the gate asks for."""

    operation: Operation
    how: str = ""
    accepted: bool = False
    reason: str = ""
    attempts: int = 0
    seconds: float = 0.0
    outputs: int = 0
    measures: dict[str, float] = field(default_factory=dict)
    views: list[dict[str, object]] = field(default_factory=list)
    latent: str = ""

    def row(self) -> dict[str, Any]:
        """For the history and for ``--json``."""
        measured = {name: round(value, 5) for name, value in self.measures.items()}
        return {
            "operation": operation_json(self.operation), "how": self.how, "accepted": self.accepted, "reason": self.reason,
            "attempts": self.attempts, "seconds": round(self.seconds, 2), "outputs": self.outputs, "measures": measured, "views": self.views,
        }  # fmt: skip


def edit_avatar(avatar: Avatar, plan: EditPlan, tools: Tools, run: Run) -> tuple[Avatar, list[Done]]:
    """Carry a plan out.  An operation that does not do what was asked is corrected, at last taken back; the others stand.

    Returns the avatar with one more entry in its history, and what became of each operation.  Raises InputError where nothing of the
    plan could be done: "nothing changed" is no success.
    """
    scene = Scene(avatar, tools.head, tools.rasterizer, tools.config.size)
    results: list[Done] = []
    for index, operation in enumerate(plan.operations):
        lacking = [k for k in operation.depends_on if not results[k].accepted]
        if run.stopping:
            results.append(Done(operation, reason="stopped"))
        elif lacking:
            results.append(Done(operation, reason=f"operation {lacking[0]}, on which it depends, was not done"))
            run.notice(f"{_named(index, operation)} was left out: {results[-1].reason}", "warning")
        else:
            run.emit(Started(_named(index, operation)))
            scene, done = _carried_out(scene, plan, index, tools, run)
            results.append(done)
            if done.accepted:
                run.emit(Finished(_named(index, operation), done.seconds, _shown(done)))
            else:
                run.notice(f"{_named(index, operation)} was taken back: {done.reason}", "warning")
    if run.stopping and not any(done.accepted for done in results):
        raise KeyboardInterrupt
    if not any(done.accepted for done in results) or not changed(avatar, scene.avatar):
        reasons = dict.fromkeys(done.reason for done in results if done.reason not in ("", NOTHING))
        raise InputError(f"{NOTHING}: {'; '.join(reasons)}" if reasons else NOTHING)
    entry = {
        "prompt": plan.prompt, "refiner": plan.refiner, "operations": [done.row() for done in results], "seed": tools.config.seed,
        "editor": tools.painter.editor_name if tools.painter is not None else "",
    }  # fmt: skip
    return with_entry(avatar, scene.avatar, entry), results


def _named(index: int, operation: Operation) -> str:
    return f"operation {index}: {operation.kind} {operation.target.replace('_', ' ')}"


def _shown(done: Done) -> dict[str, float]:
    return {name: value for name, value in done.measures.items() if name in ("inside", "outside")}


def _carried_out(scene: Scene, plan: EditPlan, index: int, tools: Tools, run: Run) -> tuple[Scene, Done]:
    """One operation: act, verify, correct at most ``corrections`` times, accept or take back."""
    operation = plan.operations[index]
    began, done = time.monotonic(), Done(operation)
    untouched = result = scene
    try:
        if tools.mask is None:
            scene = cut(scene, operation)
        located = _region(scene, operation, tools)
        step, latent, offset = operation, "", (0.0, 0.0, 0.0)
        failed: Scene | None = None
        for attempt in range(1 + tools.config.corrections):
            done.attempts = attempt + 1
            wish = Wish(
                replace(plan, operations=(*plan.operations[:index], step, *plan.operations[index + 1 :])),
                index,
                located,
                attempt,
                latent,
                offset,
                colours_only=scene is not untouched,
                failed=failed,
            )
            after = _acted(scene, wish, tools, run, done)
            if run.stopping:  # what is half fitted is no edit
                done.reason = "stopped"
                break
            if done.reason:
                verdict = Verdict(False, done.reason, done.latent)
            else:
                verdict, failed = verify(scene, after, operation, located), after
                done.measures = verdict.measures
            if verdict.accepted:
                result, done.accepted = after, True
                break
            done.reason = verdict.reason
            correction = _corrected(step, verdict, done, tools)
            if correction is None or attempt == tools.config.corrections:
                break
            run.notice(f"operation {index}: {verdict.reason}; trying again ({verdict.latent})")
            step, latent, done.reason = correction, verdict.latent, ""
            offset = _offset(scene, operation, verdict)
    except AvatarkitError as error:
        if len(plan.operations) == 1:
            raise
        done.reason = str(error)
    except KeyboardInterrupt:  # what an editor gives up with; the operations before stand
        if not run.stopping:
            raise
        done.reason = "stopped"
    done.seconds = time.monotonic() - began
    return (result, done) if done.accepted else (untouched, done)


def _region(scene: Scene, operation: Operation, tools: Tools) -> Located:
    if tools.mask is None:
        return locate(scene, operation)
    weights = tools.mask
    if len(weights) != len(scene.avatar.gaussians):
        raise InputError(
            "a painted region can be used for a plan of one operation only, or before any that adds or takes Gaussians"
        )
    return Located(weights, scene.rest.means[weights > 0.5].mean(0))


def _acted(scene: Scene, wish: Wish, tools: Tools, run: Run, done: Done) -> Scene:
    """The scene after the operation, by an operator where one can, else by the image editor."""
    operation = wish.operation
    if operation.kind == "identity":
        return _identity(scene, wish, tools, run, done)
    if by_operator(operation, tools.config, None if tools.painter is None else tools.painter.editor):
        done.how = "operator"
        return scene.with_avatar(OPERATORS[operation.kind](scene, operation, wish.located))
    if operation.kind == "add" and operation.target not in MARKS:
        return _learnt_object(scene, wish, tools, run, done)
    if operation.kind == "delete":
        return _learnt_absence(scene, wish, tools, run, done)
    painted = _painted(scene, wish, tools, run, done)
    if operation.kind == "add" and not done.reason:
        return painted.with_avatar(_marked(scene, painted, wish))
    return painted


def by_operator(operation: Operation, config: EditConfig, editor: Any) -> bool:
    """Whether an operator carries out an operation; else ``editor`` has to, None where there is none."""
    return (
        operation.kind in OPERATORS
        and (config.operators or not _paintable(operation, editor))
        and (operation.target not in DECALS or operation.kind == "delete")
    )


def _paintable(operation: Operation, editor: Any) -> bool:
    """Whether the editor at hand says that it can do an operation; one that does not say is asked to."""
    if editor is None:
        return False
    can = getattr(editor, "can_paint", None)
    return True if can is None else bool(can(operation))


def _painted(
    scene: Scene, wish: Wish, tools: Tools, run: Run, done: Done, solid: Scene | None = None, begin: Begin | None = None
) -> Scene:
    if tools.painter is None:
        raise InputError(
            f"'{wish.operation.kind} {wish.operation.target}' needs an image editor; choose one with --editor"
        )
    done.how = tools.painter.editor_name
    painted = paint(scene, wish, tools.painter, run, tools.config.outputs - done.outputs, solid, begin)
    done.outputs += painted.outputs
    done.views += painted.rows
    done.reason, done.latent = painted.reason, painted.latent
    return scene.with_avatar(painted.avatar)


def _marked(scene: Scene, painted: Scene, wish: Wish) -> Avatar:
    """What was painted on the skin becomes a named group: the Gaussians of the region whose colour changed."""
    from avatarkit.edit.membership import colours
    from avatarkit.losses.colour_difference import ciede2000, lab

    avatar = painted.avatar
    rows = _ancestors(scene, avatar)
    before = colours(scene.avatar)[rows.clamp(min=0)]
    changed_colour = ciede2000(lab(before), lab(colours(avatar))) > 4.0
    core = wish.located.weights[rows.clamp(min=0)] > 0.5
    chosen = (rows >= 0) & core & changed_colour & (avatar.gaussians.groups == 0)
    empty = with_group(avatar, avatar.gaussians.select(torch.zeros(0, dtype=torch.long)), wish.operation.target)
    number = max(empty.meta["groups"].values())
    groups = torch.where(chosen, torch.full_like(avatar.gaussians.groups, number), avatar.gaussians.groups)
    return replace(empty, gaussians=replace(avatar.gaussians, groups=groups))


def _ancestors(scene: Scene, avatar: Avatar) -> Tensor:
    """(N,) rows of ``scene``'s table from which those of ``avatar`` came by splitting; −1 for new ones."""
    old = {int(i): k for k, i in enumerate(scene.avatar.gaussians.ids)}
    pairs = zip(avatar.gaussians.ids, avatar.gaussians.parents, strict=True)
    return torch.tensor([old.get(int(i), old.get(int(parent), -1)) for i, parent in pairs])


def _learnt_absence(scene: Scene, wish: Wish, tools: Tools, run: Run, done: Done) -> Scene:
    """What is taken away goes with its Gaussians, as the operator does it; what showed behind it is learnt from the editor's pictures."""
    bare = scene.with_avatar(delete(scene, wish.operation, wish.located))

    def begin(masks: list[tuple[Place, Tensor]]) -> Start:
        return Start(bare, lifted(bare, masks))

    return _painted(scene, wish, tools, run, done, begin=begin)


def _learnt_object(scene: Scene, wish: Wish, tools: Tools, run: Run, done: Done) -> Scene:
    """A new thing learns from the editor's pictures what it looks like: what the library has begins in its shape, half there; anything else as
    a cloud of faint Gaussians."""
    seeded = scene.with_avatar(seed_accessory(scene, wish.operation, wish.located))
    number = max(seeded.avatar.meta["groups"].values())
    new = seeded.avatar.gaussians.groups == number
    solid = seeded.with_avatar(opaque_seeds(seeded.avatar, new))
    located = Located(new.float(), seeded.rest.means[new].mean(0))
    painted = _painted(seeded, replace(wish, located=located), tools, run, done, solid)
    return painted.with_avatar(without_idle_seeds(painted.avatar, number))


def _identity(scene: Scene, wish: Wish, tools: Tools, run: Run, done: Done) -> Scene:
    """Shape, and colours where no editor paints them, by a recipe; the rest by the editor."""
    operation = wish.operation
    paints = _paintable(operation, None if tools.painter is None else tools.painter.editor)
    steps = recipe(operation, paints)
    if not steps and not paints:
        raise InputError(
            f"nothing is known of '{operation.attributes.name}'; an image editor that makes pictures from words can try (--editor ip2p)"
        )
    changed_scene, how = scene, []
    for step in steps:
        try:
            located = locate(changed_scene, step)
        except InputError as error:  # a bald head has no hair to turn grey
            run.notice(f"{operation.attributes.name}: {error}; left out")
            continue
        changed_scene = changed_scene.with_avatar(OPERATORS[step.kind](changed_scene, step, located))
        how = ["operator"]
    if paints:
        located = Located(locate(changed_scene, operation).weights, wish.located.centre)
        painted = _painted(changed_scene, replace(wish, located=located), tools, run, done)
        if not done.reason or not how:
            changed_scene = painted
            how.append(done.how)
        else:
            run.notice(
                f"{operation.attributes.name}: nothing was painted ({done.reason}); its shape was changed", "warning"
            )
            done.reason = ""
    done.how = " and ".join(how)
    return changed_scene


def _corrected(step: Operation, verdict: Verdict, done: Done, tools: Tools) -> Operation | None:
    """The operation for the next attempt, or None where trying again would give the same."""
    if done.how == "operator":
        if step.kind == "recolour" and verdict.latent == "change" and "delta" in verdict.measures:
            stronger = step.attributes.saturation + 0.4
            return replace(step, attributes=replace(step.attributes, saturation=min(1.0, stronger)))
        return None
    editor = None if tools.painter is None else tools.painter.editor
    if not getattr(editor, "varies", True):  # it would paint the same again
        return None
    return step if done.outputs < tools.config.outputs else None


def _offset(scene: Scene, operation: Operation, verdict: Verdict) -> tuple[float, float, float]:
    """How far a thing that stands in the wrong place has to go, metres in the head's frame."""
    if verdict.latent != "reposition":
        return 0.0, 0.0, 0.0
    way = [0.0, 0.0, 0.0]
    if operation.kind == "move":
        share = 1.0 - verdict.measures.get("followed", 0.0)
        way = (share * operation.strength * head_width(scene) * torch.tensor(operation.attributes.offset)).tolist()
    elif operation.region is not None:
        axis, sign = direction(operation.region)
        way[axis] = sign * (CLEAR - verdict.measures.get("relation", 0.0))
    return way[0], way[1], way[2]
