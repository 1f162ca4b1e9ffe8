"""The image editor's way: keyframes are painted, judged, lifted to the Gaussians and fitted; anchors first, the others from what they taught.

An editor that makes pictures anew every time (a diffusion model; ``iterative = True`` on its class) paints some of them again, round after
round, with less and less freedom, from what the avatar has become.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Editor, EditStep
from avatarkit.edit import plan as records
from avatarkit.edit.anchor import Anchor
from avatarkit.edit.config import EditConfig
from avatarkit.edit.fit import Edited, Fitting, Opponent, fit
from avatarkit.edit.gate import NO_CHANGE, Judged, agreed, judge, with_arrival
from avatarkit.edit.keyframes import Keyframe, choose_places
from avatarkit.edit.lifting import lift
from avatarkit.edit.plan import EditPlan, FinalRequest, KeyframeText
from avatarkit.edit.planning import final_texts
from avatarkit.edit.region import MARKS, Located, label_boxes, lifted, mask_box, region_mask
from avatarkit.edit.scene import SKULL, Place, Scene
from avatarkit.edit.visibility import spread_places
from avatarkit.errors import InputError, PluginError
from avatarkit.events import Finished, Run, Started
from avatarkit.gaussians.avatar import Avatar
from avatarkit.labels import LABEL_INDEX
from avatarkit.losses.perceptual import lpips_or_none, why_no_lpips

Refine = Callable[[Place, Tensor], Tensor]
"""(place, rendered mask (1, H, W)) → the refined mask."""
FOCUS = ("l_eye", "r_eye", "u_lip", "l_lip", "mouth")
UNEDITED = 8  # frames that are watched while fitting


class Journal(Protocol):
    """Who keeps pictures of what happened: every editor's view with its source and the gate's word."""

    def views(
        self, operation: int, attempt: int, stage: str, raw: Sequence[Tensor], judged: Sequence[Judged]
    ) -> None: ...


@dataclass(frozen=True)
class Painter:
    """What paints: the editor and its name, a discriminator or None, the refiner (for the second turn), settings.

    look: encodes a picture for a refiner that is shown keyframes, None where it is not; masks: gives what refines an operation's
    masks (``mapping_masks``): called with the scene, the kinds of the plan's earlier operations, the operation and its weights (N,).
    """

    editor: Editor
    editor_name: str
    config: EditConfig
    refiner: Any
    discriminator: Any = None
    journal: Journal | None = None
    look: Callable[[Tensor], bytes] | None = None
    masks: Callable[[Scene, tuple[str, ...], records.Operation, Tensor], Refine | None] | None = None


@dataclass
class Painted:
    """avatar: what came of it; rows: the gate's figures, by view; outputs: pictures that the editor returned; reason: why nothing came
    of it, or ""; latent: which correction would mend that."""

    avatar: Avatar
    rows: list[dict[str, object]] = field(default_factory=list)
    outputs: int = 0
    reason: str = ""
    latent: str = ""


@dataclass(frozen=True)
class Wish:
    """One operation for an editor: of which plan, where, in which attempt, and the correction that it makes.

    failed: the scene that the attempt before left, where it left any: its pictures are what a correction changes, while what is learnt
    begins with the avatar before the edit again; offset: of latent "reposition": where to, metres in the head's frame (to the subject's left, up, forward); colours_only: shapes stay,
    as they do where another look of the same shape is asked for: Gaussians that were cut at a border keep to their side of it.
    """

    plan: EditPlan
    index: int
    located: Located
    attempt: int = 0
    latent: str = ""
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    colours_only: bool = False
    failed: Scene | None = None

    @property
    def operation(self) -> records.Operation:
        return self.plan.operations[self.index]


@dataclass(frozen=True)
class Start:
    """What a fit begins with where that is not the avatar as it is: another table of Gaussians, with the region's weights (N,) for it."""

    scene: Scene
    weights: Tensor


Begin = Callable[[list[tuple[Place, Tensor]]], Start]
"""Keyframes' masks (1, H, W) → what the fit begins with."""


def paint(
    before: Scene, wish: Wish, painter: Painter, run: Run, room: int, solid: Scene | None = None,
    begin: Begin | None = None,
) -> Painted:  # fmt: skip
    """Carry out one operation by an image editor; ``room``: pictures that it may still return.

    before: the avatar as it is; solid: the same with what is yet to appear made opaque, from which masks are taken; begin: gives what
    the fit begins with, for the masks of the keyframes.
    Raises InputError where the region shows in no picture, PluginError where the editor returns something else than pictures.
    """
    config, located = painter.config, wish.located
    shapes = solid or before
    places = choose_places(shapes, located, min(config.keyframes, room))
    if not places:
        raise InputError(f"the {wish.operation.target.replace('_', ' ')} shows in none of the avatar's pictures")

    refine = None
    if painter.masks is not None:
        earlier = tuple(operation.kind for operation in wish.plan.operations[: wish.index])
        refine = painter.masks(shapes, earlier, wish.operation, located.weights)

    mask_at = masks_at(shapes, located.weights, refine)
    failed = wish.failed
    keyframes = [
        Keyframe(place, mask_at(place), before.picture(place), None if failed is None else failed.picture(place))
        for place in places
    ]
    texts = dict(zip([k.place.name for k in keyframes], _texts(shapes, wish, keyframes, painter, run), strict=True))
    start = Start(before, located.weights)
    if begin is not None:
        start = begin([(keyframe.place, keyframe.mask) for keyframe in keyframes])
    elif wish.latent == "reposition" and solid is None:  # where a thing arrives has to learn it
        wide = [(k.place, with_arrival(k.mask, shift_at(before, wish, k.place))) for k in keyframes]
        start = Start(before, torch.maximum(located.weights, lifted(before, wide)))
    anchors, others = keyframes[: config.anchors], keyframes[config.anchors :]
    if config.fit == "naive":
        anchors, others = keyframes, []
    work = _Work(before, start, wish, painter, run, mask_at, texts, room)
    work.edit(anchors, 0, "anchors" if others else "keyframes")
    if not work.accepted and others:  # an editor that fails at some views may have failed at these
        anchors, others = others[: config.anchors], others[config.anchors :]
        work.edit(anchors, 0, "anchors" if others else "keyframes")
    if not work.accepted:
        reason = work.reasons()
        return Painted(before.avatar, work.rows(), work.outputs, reason, "add" if reason == NO_CHANGE else "change")
    iterative = getattr(painter.editor, "iterative", False)
    work.fits = 1 + bool(others) + (len(config.noise) - 1 if iterative else 0)
    work.learn(grow=not others)
    if others:
        work.edit(others, 0, "others")
        work.learn(grow=True)
    if iterative:
        for number, noise in enumerate(config.noise[1:], 1):
            count = min(config.refreshed // max(1, len(config.noise) - 1), room - work.outputs)
            if count < 1 or run.stopping:
                break
            work.edit(work.worst(count), number, f"round{number}", noise)
            work.learn(grow=False)
    return Painted(work.scene.avatar, work.rows(), work.outputs)


def _texts(scene: Scene, wish: Wish, keyframes: list[Keyframe], painter: Painter, run: Run) -> tuple[KeyframeText, ...]:
    """The second turn (the paper's Figure 6): the refiner learns where the region lies in each keyframe, and words its instruction.

    An editor that goes by the operation alone (``reads_words = False``) is no reason to ask one.
    """
    read = getattr(painter.editor, "reads_words", True)
    told = []
    for keyframe in keyframes:
        azimuth, elevation = scene.direction(keyframe.place)
        image = painter.look(keyframe.given) if read and painter.look is not None else None
        told.append(
            records.Keyframe(
                keyframe.place.name,
                azimuth,
                elevation,
                mask_box(keyframe.mask),
                label_boxes(scene, keyframe.place) if read else (),
                image,
            )
        )
    return final_texts(painter.refiner if read else None, FinalRequest(wish.plan, wish.index, tuple(told)), run)


def masks_at(scene: Scene, weights: Tensor, refine: Refine | None) -> Callable[[Place], Tensor]:
    """What gives the mask (1, H, W) of the region with these weights (N,) at a place, refined where there is what refines it."""

    def mask_at(place: Place) -> Tensor:
        mask = region_mask(scene, weights, place)
        return mask if refine is None else refine(place, mask)

    return mask_at


class _Work:
    """The state of one operation: the scene as it learns, and every view that was judged."""

    def __init__(
        self, before: Scene, start: Start, wish: Wish, painter: Painter, run: Run, mask_at: Callable[[Place], Tensor],
        texts: dict[str, KeyframeText], room: int,
    ) -> None:  # fmt: skip
        self.before, self.wish, self.painter, self.run, self.texts = before, wish, painter, run, texts
        self.scene, self.config, self.learnt = start.scene, painter.config, False
        self.views: dict[str, Judged] = {}
        self.asked: dict[str, Keyframe] = {}
        self.room, self.outputs = room, 0
        self.seconds, self.fits = self.config.seconds, 1  # that are left for fitting, and for how many fits
        opponent = None if painter.discriminator is None else Opponent.of(painter.discriminator)
        operation = wish.operation
        colours_only = wish.colours_only or operation.kind == "restyle" or operation.target in MARKS
        perceptual = lpips_or_none(self.config.perceptual_net)
        if perceptual is None and not wish.attempt:
            run.notice(f"D-SSIM stands in for LPIPS: {why_no_lpips(self.config.perceptual_net)}")
        self.fitting = Fitting(
            start.weights, Anchor.of(start.scene.avatar.gaussians, start.weights, self.config), spread_places(before, UNEDITED), mask_at,
            colours_only, perceptual, opponent,
        )  # fmt: skip

    @property
    def accepted(self) -> list[Judged]:
        return [view for view in self.views.values() if view.accepted]

    def rows(self) -> list[dict[str, object]]:
        return [view.row() for view in self.views.values()]

    def reasons(self) -> str:
        """Why no view was accepted, the most frequent reason first."""
        said = [view.reason for view in self.views.values() if view.reason]
        return max(set(said), key=said.count) if said else "no view was accepted"

    def worst(self, count: int) -> list[Keyframe]:
        """Keyframes whose view is farthest from what the avatar shows there."""

        def gap(view: Judged) -> float:
            return float((self.scene.picture(view.keyframe.place) - view.view).abs().mean())

        names = sorted(self.views, key=lambda name: gap(self.views[name]), reverse=True)
        return [self.asked[name] for name in names[:count]]

    def edit(self, keyframes: list[Keyframe], number: int, stage: str, noise: float | None = None) -> None:
        """Have ``keyframes`` painted and judged; those that were judged before are judged anew.  stage: its name for people."""
        config, run = self.config, self.run
        began = time.monotonic()
        run.emit(Started(f"painting with {self.painter.editor_name}", len(keyframes), "view"))
        raw: list[Tensor] = []
        batches = _same_sizes(keyframes)
        if self.wish.latent == "reposition":  # every view has a shift of its own
            batches = [[keyframe] for keyframe in keyframes]
        for batch in batches:
            raw += list(self._painted(batch, number, config.noise[0] if noise is None else noise))
        ordered = [keyframe for batch in batches for keyframe in batch]
        self.outputs += len(raw)
        self.asked |= {keyframe.place.name: keyframe for keyframe in ordered}
        judged = [
            judge(keyframe, view, config, shift_at(self.before, self.wish, keyframe.place))
            for keyframe, view in zip(ordered, raw, strict=True)
        ]
        judged = self._kept(judged)
        if self.painter.journal is not None:
            self.painter.journal.views(self.wish.index, self.wish.attempt, stage, raw, judged)
        taken = sum(view.accepted for view in judged)
        run.emit(
            Finished(
                f"painting with {self.painter.editor_name}",
                time.monotonic() - began,
                {"accepted": taken, "of": len(judged)},
            )
        )

    def _kept(self, fresh: list[Judged]) -> list[Judged]:
        """What ``fresh`` became once all views were held against each other; one that is refused leaves an accepted one of its place."""
        standing = {name: view for name, view in self.views.items() if view.accepted}
        new = {view.keyframe.place.name: view for view in fresh}
        beaten = {name for name, view in new.items() if name in standing and not view.accepted}
        together = self.views | {name: view for name, view in new.items() if name not in beaten}
        self.views = dict(zip(together, agreed(self.before, list(together.values()), self.config), strict=True))
        judged = {name: view if name in beaten else self.views[name] for name, view in new.items()}
        for name, view in judged.items():
            if name in standing and name not in beaten and not view.accepted:
                self.views[name] = standing[name]
        return list(judged.values())

    def _painted(self, keyframes: list[Keyframe], number: int, noise: float) -> Tensor:
        views = torch.stack([keyframe.given for keyframe in keyframes])
        masks = torch.stack([keyframe.mask for keyframe in keyframes])
        places = [keyframe.place for keyframe in keyframes]
        references = torch.stack([self.scene.picture(place) for place in places]) if self.learnt else None
        words = tuple(self.texts[place.name] for place in places)
        shift = shift_at(self.before, self.wish, places[0])
        step = EditStep(self.wish.operation, words, number, noise, self.wish.latent, shift)  # type: ignore[arg-type]
        edited = self.painter.editor.edit(
            views, masks, step, references=references, cameras=together(places),
            correspondences=self.before.correspondences(places), seed=self.config.seed + 1000 * self.wish.attempt, run=self.run,
        )  # fmt: skip
        if not isinstance(edited, Tensor) or edited.shape != views.shape or not bool(edited.isfinite().all()):
            found = tuple(edited.shape) if isinstance(edited, Tensor) else type(edited).__name__
            raise PluginError(
                f"editor '{self.painter.editor_name}' returned {found}; expected pictures {tuple(views.shape)}"
            )
        return edited.detach().float().clamp(0.0, 1.0)

    def learn(self, grow: bool) -> None:
        """Lift the accepted views and fit to them."""
        began = time.monotonic()
        accepted = self.accepted
        if not accepted:
            return
        self.run.emit(Started("fitting", self.config.steps))
        if not self.learnt and self.config.fit == "guarded":
            shown = [replace(v.keyframe, source=self.scene.picture(v.keyframe.place)) for v in accepted]
            asked = list(zip(shown, (v.view for v in accepted), strict=True))
            self.scene = self.before.with_avatar(lift(self.scene, asked, self.fitting.weights))
        if self.painter.discriminator is not None:
            self.painter.discriminator.train()
        views = [Edited(view.keyframe, view.view, self._focus(view.keyframe.place)) for view in accepted]
        config = self.config
        if config.fit == "dataset_update":
            views = self._updated(views)
        seed = config.seed + 31 * self.wish.attempt + len(self.views)
        deadline = time.monotonic() + self.seconds / max(1, self.fits)
        avatar = fit(self.before, self.scene, views, self.fitting, config, self.run, seed, grow, deadline)
        self.seconds, self.fits = self.seconds - (time.monotonic() - began), self.fits - 1
        self.scene, self.learnt = self.before.with_avatar(avatar), True
        last = self.fitting.curve[-1] if self.fitting.curve else {}
        self.run.emit(Finished("fitting", time.monotonic() - began, {k: v for k, v in last.items() if k != "step"}))

    def _updated(self, views: list[Edited]) -> list[Edited]:
        """Iterative dataset update: the views of this round are painted again from what the avatar shows now."""
        keyframes = [self.asked[view.keyframe.place.name] for view in views]
        if not self.learnt or self.outputs + len(keyframes) > self.room:
            return views
        current = [replace(keyframe, failed=self.scene.picture(keyframe.place)) for keyframe in keyframes]
        painted = torch.cat([self._painted(batch, 0, self.config.noise[0]) for batch in _same_sizes(current)])
        self.outputs += len(painted)
        return [replace(view, view=picture) for view, picture in zip(views, painted, strict=True)]

    def _focus(self, place: Place) -> Tensor | None:
        """(1, H, W): eyes and mouth, for a discriminator."""
        if self.painter.discriminator is None:
            return None
        shares = torch.softmax(self.before.avatar.gaussians.label_logits, 1)
        chosen = shares[:, [LABEL_INDEX[name] for name in FOCUS]].sum(1)
        return self.before.field(chosen[:, None].contiguous(), place)[0].clamp(0.0, 1.0)


def shift_at(scene: Scene, wish: Wish, place: Place) -> tuple[float, float]:
    """Where a reposition moves its thing in a picture: the wish's offset as shares of the width (right) and height (down)."""
    if wish.latent != "reposition":
        return 0.0, 0.0
    joint, cameras = scene.pose(place.timestep).joints[0, SKULL], place.cameras
    rest = scene.rest.pose.joints[0, SKULL]
    start = joint[:3, :3] @ (rest[:3, :3].T @ (wish.located.centre - rest[:3, 3])) + joint[:3, 3]
    ends = torch.stack([start, start + joint[:3, :3] @ (rest[:3, :3].T @ torch.tensor(wish.offset))])
    seen = ends @ cameras.viewmats[0, :3, :3].T + cameras.viewmats[0, :3, 3]
    pixels = seen @ cameras.Ks[0].T
    x, y = ((pixels[1] / pixels[1, 2] - pixels[0] / pixels[0, 2])[:2]).tolist()
    return x / cameras.width, y / cameras.height


def _same_sizes(keyframes: list[Keyframe]) -> list[list[Keyframe]]:
    """Batches of one image size, in their order."""
    sizes: dict[tuple[int, int], list[Keyframe]] = {}
    for keyframe in keyframes:
        sizes.setdefault((keyframe.place.cameras.width, keyframe.place.cameras.height), []).append(keyframe)
    return list(sizes.values())


def together(places: list[Place]) -> Cameras:
    first = places[0].cameras
    return Cameras(
        torch.cat([place.cameras.viewmats for place in places]), torch.cat([place.cameras.Ks for place in places]), first.width, first.height
    )  # fmt: skip
