"""A mapping net for the region of an operation, trained when that part is first painted by an image editor, and kept.

It learns from stage 1's label maps: the segmenter's, of the capture's training frames.  Without the capture there is nothing to learn from, and
rendered labels are used.  Only what label maps know can be learnt: whole classes and groups of them, while the head has the shape that the
capture shows.

Trained nets are kept under ``AVATARKIT_HOME/mapping`` by a hash of everything that they depend on: a later edit of the same part of the same
avatar, recoloured since perhaps, finds its net; one of another shape does not.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from avatarkit.capture.dataset import read_dataset
from avatarkit.contracts import Segmenter, View
from avatarkit.edit.mapping_net import SIDE, Mapping, MappingNet, train_mapping
from avatarkit.edit.painting import Refine
from avatarkit.edit.pieces import ZONES
from avatarkit.edit.plan import Operation
from avatarkit.edit.region import MARKS, SKIN
from avatarkit.edit.scene import Place, Scene
from avatarkit.edit.vocabulary import GROUPS
from avatarkit.errors import AvatarkitError, FileFormatError, InputError
from avatarkit.events import Finished, Progress, Run, Started
from avatarkit.gaussians.tensor_file import load_tensors, save_tensors
from avatarkit.head.parameters import HeadParams
from avatarkit.labels import LABEL_INDEX, LABELS
from avatarkit.paths import home
from avatarkit.recon.schedule import spread

FORMAT = "avatarkit-mapping/2"
VIEWS = 48
"""Training frames whose maps are learnt from and judged by."""
LEAST_VIEWS = 6
SHARE = 0.4
"""Of the time, at most, that the segmenter may take."""
LEARNABLE = ("recolour", "restyle", "delete")
"""Kinds whose region is their target as the capture shows it."""
RESHAPING = ("move", "shape", "identity", "expression", "delete", "add")
"""Kinds after which the capture's label maps are no longer those of the avatar; marks on the skin are."""
COLOURS = ("sh",)


class MappingMasks:
    """``painting.Painter.masks``: refines a region's masks where a net is at hand that is at least as good as rendered labels."""

    def __init__(
        self, segmenter: Callable[[], Segmenter], name: str, seconds: float, seed: int, run: Run
    ) -> None:  # fmt: skip
        """segmenter: makes the one of that name, which stage 1 used; seconds: for the maps and the training of one net."""
        self.segmenter, self.name, self.seconds, self.seed, self.run = segmenter, name, seconds, seed, run
        self._maps: list[tuple[Place, Tensor]] | None = None
        self._said: set[str] = set()

    def __call__(self, scene: Scene, kinds: tuple[str, ...], operation: Operation, weights: Tensor) -> Refine | None:
        """What refines masks of ``operation`` whose region has ``weights`` (N,); None where rendered labels are used.

        kinds: of the operations of this plan that were carried out before.
        """
        labels = learnable(operation)
        if not labels or reshaped(scene, kinds):
            return None
        mapping = self.mapping(scene, labels, weights)
        if mapping is None or not mapping.useful:
            return None
        return lambda place, mask: mapping.mask(scene, place, mask)

    def mapping(self, scene: Scene, labels: tuple[str, ...], weights: Tensor) -> Mapping | None:
        """The net of a set of classes, kept or trained now; None where there is nothing to learn from."""
        path = self._path(scene, labels)
        kept = self._kept(path, weights)
        if kept is not None:
            return kept
        began = time.monotonic()
        maps = self._training_maps(scene)
        if len(maps) < LEAST_VIEWS or self.run.stopping:
            return None
        chosen = [LABEL_INDEX[label] for label in labels]
        masks = [(place, found[chosen].sum(0, keepdim=True).clamp(0.0, 1.0)) for place, found in maps]
        if not any(float(mask.max()) > 0.5 for _, mask in masks):
            self._say(f"the segmenter '{self.name}' does not know {', '.join(labels)}: their masks are rendered labels")
            return None
        left = self.seconds - (time.monotonic() - began)
        mapping = train_mapping(scene, weights, masks, self.run, seconds=max(1.0, left), seed=self.seed)
        if not self.run.stopping:
            self._keep(path, mapping)
        return mapping

    def _training_maps(self, scene: Scene) -> list[tuple[Place, Tensor]]:
        if self._maps is None:
            try:
                self._maps = label_maps(scene, self.segmenter(), self.seconds * SHARE, self.run)
            except AvatarkitError as error:
                self._say(f"no mapping net is trained, masks are rendered labels: {error}")
                self._maps = []
        return self._maps

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.run.notice(text)

    def _path(self, scene: Scene, labels: tuple[str, ...]) -> Path:
        return home() / "mapping" / f"{_key(scene, labels, self.name, self.seed)}.safetensors"

    def _kept(self, path: Path, weights: Tensor) -> Mapping | None:
        if not path.is_file():
            return None
        try:
            return read_mapping(path, weights)
        except AvatarkitError as error:
            self._say(f"{error}; the mapping net is trained again")
            return None

    def _keep(self, path: Path, mapping: Mapping) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mapping(path, mapping)
        except (AvatarkitError, OSError) as error:  # a full disk costs the next edit its time, not this one its result
            self._say(f"the mapping net cannot be kept: {error}")


def learnable(operation: Operation) -> tuple[str, ...]:
    """The classes whose maps together are the mask of an operation's target; none where no map knows it."""
    target = operation.target
    if operation.kind not in LEARNABLE or operation.region is not None or target in ZONES:
        return ()
    if target in ("teeth", "tongue"):  # told apart by their colours
        return ()
    if target == "skin" and operation.kind in ("recolour", "restyle"):
        return SKIN
    return GROUPS.get(target, (target,) if target in LABELS else ())


def reshaped(scene: Scene, kinds: tuple[str, ...]) -> bool:
    """Whether the avatar's shape, or what it wears, is no longer the capture's; ``kinds``: of operations not in its history yet."""
    if any(kind in RESHAPING for kind in kinds):
        return True
    for entry in scene.avatar.history:
        for row in entry.get("operations", []):
            operation = row.get("operation", {})
            mark = operation.get("kind") == "add" and operation.get("target") in MARKS
            if row.get("accepted") and operation.get("kind") in RESHAPING and not mark:
                return True
    return False


def label_maps(scene: Scene, segmenter: Segmenter, seconds: float, run: Run) -> list[tuple[Place, Tensor]]:
    """(place, (19, h, w) probabilities) of training frames, shrunk to the net's size; as many as ``seconds`` allow.

    Raises InputError and FileFormatError where the avatar's capture is gone or another one.
    """
    avatar = scene.avatar
    source = Path(avatar.source) if avatar.source else None
    if source is None or not source.is_dir():
        raise InputError(f"the capture that the avatar was made from is not at {source}")
    capture = read_dataset(source, run=run).capture
    indices = avatar.indices("train")
    if len(capture.frames) != len(avatar.frames) or any(
        (capture.frames[i].timestep, capture.frames[i].camera)
        != (avatar.frames[i].timestep, avatar.frames[i].camera) for i in indices
    ):  # fmt: skip
        raise InputError(f"{source}: its frames are not those that the avatar was made from")
    chosen = spread(len(indices), VIEWS, 5)
    order = np.random.default_rng(5).permutation(chosen).tolist()  # what time leaves out is spread as well
    began, maps = time.monotonic(), []
    run.emit(Started("label maps", len(order), "view"))
    for done, at in enumerate(order):
        if run.stopping or (time.monotonic() - began > seconds and done >= LEAST_VIEWS):
            break
        index = indices[at]
        frame, alpha = avatar.frames[index], capture.mask(index)
        matte = None if alpha is None else torch.from_numpy(np.array(alpha)).float()[None] / 255.0
        image = torch.from_numpy(np.array(capture.image(index))).permute(2, 0, 1)[None].float() / 255.0
        view = View(avatar.camera(frame.camera), frame.timestep, scene.pose(frame.timestep), matte, scene.head)
        found = segmenter.segment(image, [view])
        name = f"t{frame.timestep} c{frame.camera}"
        place = scene.shrunk(Place(frame.timestep, frame.camera, view.cameras, name), SIDE)
        small = interpolate(found, size=(place.cameras.height, place.cameras.width), mode="area")[0]
        maps.append((at, place, small))
        run.emit(Progress("label maps", done + 1, len(order)))
    run.emit(Finished("label maps", time.monotonic() - began, {"views": float(len(maps))}))
    return [(place, found) for _, place, found in sorted(maps, key=lambda row: row[0])]


def write_mapping(path: Path, mapping: Mapping) -> None:
    """Keep a trained net."""
    tensors = {f"net/{name}": value for name, value in mapping.net.state_dict().items()}
    save_tensors(path, {**tensors, "base": mapping.base}, {"scores": mapping.scores}, FORMAT)


def read_mapping(path: Path, weights: Tensor) -> Mapping:
    """A net that ``write_mapping`` wrote; weights (N,): the target's membership now.  Raises FileFormatError."""
    tensors, about = load_tensors(path, FORMAT)
    try:
        net = MappingNet(tensors["net/timesteps"], tensors["net/moves"])
        net.load_state_dict({name[4:]: value for name, value in tensors.items() if name.startswith("net/")})
        base = tensors["base"]
        sane = all(bool(value.isfinite().all()) for value in tensors.values()) and base.shape == weights.shape
        scores = {name: float(about["scores"][name]) for name in ("net", "labels")}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileFormatError(
            f"{path}: not a mapping net of this version ({' '.join(str(error).split())[:120]})"
        ) from error
    if not sane:
        raise FileFormatError(f"{path}: a mapping net that does not fit this avatar")
    return Mapping(net, weights, base, scores)


def _key(scene: Scene, labels: tuple[str, ...], segmenter: str, seed: int) -> str:
    """A hash of everything that a net depends on: shapes and labels, not colours."""
    avatar, digest = scene.avatar, hashlib.sha256()
    words = {
        "labels": labels, "segmenter": segmenter, "seed": seed, "source": avatar.source, "head": avatar.head,
        "frames": [asdict(frame) for frame in avatar.frames], "side": SIDE, "format": FORMAT,
    }  # fmt: skip
    digest.update(json.dumps(words, sort_keys=True, default=str).encode())
    tensors = {name: value for name, value in avatar.gaussians.tensors().items() if name not in COLOURS}
    motion = {f.name: getattr(avatar.motion, f.name) for f in fields(HeadParams)}
    for name, value in sorted({**tensors, **motion, "viewmats": avatar.viewmats, "Ks": avatar.Ks}.items()):
        if value is not None:
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
