"""Where a region is at a time and from a camera that nobody looked from: five answers, held to the synthetic subject's true labels.

Static mask, nearest keyframe, keyframe masks blended bilinearly over time and direction, rendered labels, mapping net; each from the true
training maps, and from maps of which a fifth is wrong or missing: at random, at some moments in every view, or from some directions
at every moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import ndimage

from avatarkit import __version__
from avatarkit.bench.edit.running import Ledger, Sitters
from avatarkit.bench.edit.subjects import FULL, Sitter, capture_folder, sitter, true_labels
from avatarkit.bench.labels import DAMAGED, GivenMaps, damaged, view_key
from avatarkit.config import load_config
from avatarkit.contracts import View
from avatarkit.edit.config import EditConfig
from avatarkit.edit.keyframes import place_features
from avatarkit.edit.mapping_net import Mapping, train_mapping
from avatarkit.edit.region import region_mask
from avatarkit.edit.scene import Place, Scene
from avatarkit.events import Run
from avatarkit.labels import LABEL_INDEX
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.labelling import label_gaussians
from avatarkit.recon.prepare import read_known
from avatarkit.track.sequence import Sequence as Tracked
from avatarkit.types import BoolArray, IntArray

if TYPE_CHECKING:
    from rich.table import Table

Cell = tuple[int, int]
"""(timestep, camera)."""

SUBJECT = "worn"
TARGETS: dict[str, tuple[str, ...]] = {
    "hair": ("hair",), "skin": ("skin",), "lips": ("u_lip", "l_lip"), "eyes": ("l_eye", "r_eye"), "brows": ("l_brow", "r_brow"),
    "glasses": ("glasses",),
}  # fmt: skip
VIEWS = 48
"""Training maps: what labels and mapping net learn from."""
KEYFRAMES = (5, 3)
"""Moments × cameras whose masks the methods without Gaussians have."""
HELD_OUT = 24
"""Pictures that are scored: a camera and timesteps that were never trained on."""
TOLERANCE = 2  # pixels by which an edge may be off and still count
SECONDS = 3600.0
"""The net's time limit is none here: its steps are counted, so that a busy machine measures the same."""
DAMAGES = ("true maps", "a fifth wrong or missing", "wrong at some moments", "wrong from some directions")
METHODS = ("static mask", "nearest keyframe", "bilinear masks", "rendered labels", "mapping net", "what is used")


@dataclass(frozen=True)
class Shown:
    """What a method may know.  scene: the avatar with labels of the training maps; maps: by cell; true: the true maps of held-out cells."""

    scene: Scene
    maps: dict[Cell, IntArray]
    true: dict[Cell, IntArray]


def run(
    folder: Path, ledger: Ledger, *, seed: int = 0, subject: str = SUBJECT, damages: Sequence[str] = DAMAGES,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """The table; what the ledger has is not measured again.  folder: where the sitters are.

    Returns {"seed", "subject", "rows": [{"maps", "target", "method", "iou", "boundary", "judge"}]}.
    """
    who = sitter(folder, subject, seed=seed, size=FULL, report=report)
    sequence, _ = read_known(capture_folder(folder, subject, seed, FULL), None, Run(seed=seed))
    rows: list[dict[str, Any]] = []
    for damage in damages:
        names = {
            target: f"mapping-{subject}-{FULL.side}-{seed}-{damage}-{target}".replace(" ", "-") for target in TARGETS
        }
        missing = [target for target, name in names.items() if not ledger.done(name, __version__)]
        shown = shown_with(folder, who, sequence, damage, seed) if missing else None
        for target in missing:
            assert shown is not None
            report(names[target])
            found = scored(shown, damage, target, seed)
            ledger.add({"name": names[target], "key": __version__, "rows": found})
        rows += [row for name in names.values() for row in ledger.rows[name]["rows"]]
    return {"seed": seed, "subject": subject, "rows": rows}


def shown_with(folder: Path, who: Sitter, sequence: Tracked, damage: str, seed: int) -> Shown:
    """The sitter with labels learnt from its training maps after ``damage``."""
    capture = capture_folder(folder, who.name, seed, FULL)
    frames = sequence.capture.frames
    train = _spread(sequence.capture.indices("train"), VIEWS)
    held_out = _spread([*sequence.capture.indices("val"), *sequence.capture.indices("test")], HELD_OUT)
    maps = {(frames[i].timestep, frames[i].camera): true_labels(capture, sequence, i) for i in train}
    true = {(frames[i].timestep, frames[i].camera): true_labels(capture, sequence, i) for i in held_out}
    maps = with_damage(maps, damage, np.random.default_rng([seed, 5]))
    return Shown(labelled(who.scene, sequence, maps, seed), maps, true)


def labelled(scene: Scene, sequence: Tracked, maps: dict[Cell, IntArray], seed: int) -> Scene:
    """The scene with labels voted and trained from ``maps``, as a reconstruction would."""
    frames = sequence.capture.frames
    chosen = [i for i in sequence.capture.indices("train") if (frames[i].timestep, frames[i].camera) in maps]
    only = replace(
        sequence.capture,
        frames=tuple(replace(f, split="train" if i in chosen else "val") for i, f in enumerate(frames)),
    )
    given = GivenMaps({
        view_key(View(sequence.cameras([i]), frames[i].timestep)): maps[frames[i].timestep, frames[i].camera] for i in chosen
    })  # fmt: skip
    config = replace(load_config(ReconConfig, "recon", {}), label_views=len(chosen), seed=seed)
    gaussians = scene.avatar.gaussians.detach()
    with torch.no_grad():
        pose = scene.avatar.posed(scene.head, scene.avatar.motion)
    logits = label_gaussians(
        gaussians, replace(sequence, capture=only), scene.head, pose, given, scene.rasterizer, config, Run(seed=seed)
    )
    return scene.with_avatar(replace(scene.avatar, gaussians=replace(gaussians, label_logits=logits)))


def with_damage(maps: dict[Cell, IntArray], damage: str, random: np.random.Generator) -> dict[Cell, IntArray]:
    """``maps`` after one of ``DAMAGES``.

    At some moments: each class is, in its own fifth of the timesteps, in every view another one or missing; from some directions: the
    same for its own fifth of the cameras, neighbours, at every moment.
    """
    if damage == DAMAGES[0]:
        return maps
    if damage == DAMAGES[1]:
        return {cell: damaged(classes, random) for cell, classes in maps.items()}
    axis = 0 if damage == DAMAGES[2] else 1
    values = sorted({cell[axis] for cell in maps})
    length = max(1, round(DAMAGED * len(values)))
    out = {cell: classes.copy() for cell, classes in maps.items()}
    for label in range(1, len(LABEL_INDEX)):
        start = int(random.integers(len(values) - length + 1))
        other = int(random.integers(1, len(LABEL_INDEX))) if random.random() < 0.5 else LABEL_INDEX["background"]
        for cell, classes in maps.items():
            if cell[axis] in values[start : start + length]:
                out[cell][classes == label] = other
    return out


def scored(shown: Shown, damage: str, target: str, seed: int) -> list[dict[str, Any]]:
    """IoU and boundary F of every method on the held-out cells, all pictures together; nothing where the target shows in none."""
    classes = TARGETS[target]
    wanted = {cell: np.isin(found, _numbers(classes)) for cell, found in shown.true.items()}
    if not any(mask.any() for mask in wanted.values()):
        return []
    found, judge = answers(shown, classes, seed)
    rows = []
    for method, masks in found.items():
        pairs = [(masks[cell], wanted[cell]) for cell in wanted]
        rows.append({
            "maps": damage, "target": target, "method": method, "iou": round(iou(pairs), 4), "boundary": round(boundary(pairs), 4),
            "judge": judge,
        })  # fmt: skip
    return rows


def answers(
    shown: Shown, classes: tuple[str, ...], seed: int
) -> tuple[dict[str, dict[Cell, BoolArray]], dict[str, float]]:
    """Masks of the held-out cells by method, and how the net did on the training cells that were kept from it."""
    scene = shown.scene
    masks = {cell: np.isin(found, _numbers(classes)) for cell, found in shown.maps.items()}
    keys = {cell: masks[cell] for cell in grid(list(masks))}
    shares = torch.softmax(scene.avatar.gaussians.label_logits, 1)
    weights = shares[:, list(_numbers(classes))].sum(1)
    given = [(scene.place(*cell), torch.from_numpy(mask).float()[None]) for cell, mask in masks.items()]
    mapping = train_mapping(scene, weights, given, Run(seed=seed), seconds=SECONDS, seed=seed)
    base = max(keys, key=lambda cell: int(keys[cell].sum()))
    found: dict[str, dict[Cell, BoolArray]] = {method: {} for method in METHODS}
    for cell in shown.true:
        place = scene.place(*cell)
        rendered = region_mask(scene, weights, place)
        found["static mask"][cell] = keys[base]
        found["nearest keyframe"][cell] = keys[nearest(scene, place, list(keys))]
        found["bilinear masks"][cell] = bilinear(scene, place, keys) > 0.5
        found["rendered labels"][cell] = rendered[0].numpy() > 0.5
        found["mapping net"][cell] = mapping.mask(scene, place, rendered)[0].numpy() > 0.5
        found["what is used"][cell] = _used(found, mapping, cell)
    return found, mapping.scores


def _used(found: dict[str, dict[Cell, BoolArray]], mapping: Mapping, cell: Cell) -> BoolArray:
    return found["mapping net" if mapping.useful else "rendered labels"][cell]


def grid(cells: list[Cell]) -> list[Cell]:
    """The keyframes: ``KEYFRAMES`` moments and cameras, spread over what there is, each the nearest cell that has a map."""
    steps, cameras = sorted({cell[0] for cell in cells}), sorted({cell[1] for cell in cells})
    picked = []
    for step in _spread(steps, KEYFRAMES[0]):
        for camera in _spread(cameras, KEYFRAMES[1]):
            near = min(cells, key=lambda cell: (abs(cell[1] - camera) * 100 + abs(cell[0] - step), cell))
            if near not in picked:
                picked.append(near)
    return picked


def nearest(scene: Scene, place: Place, keys: list[Cell]) -> Cell:
    """The keyframe whose head pose, expression and direction are nearest."""
    places = [scene.place(*cell) for cell in keys]
    gaps = (place_features(scene, places) - place_features(scene, [place])).norm(dim=1)
    return keys[int(gaps.argmin())]


def bilinear(scene: Scene, place: Place, keys: dict[Cell, BoolArray]) -> np.ndarray:
    """(H, W) in [0, 1]: masks of the two nearest cameras by azimuth, at the two moments nearest in pose, blended linearly."""
    cameras = sorted({cell[1] for cell in keys})
    angles = {c: scene.direction(scene.place(place.timestep, c))[0] for c in cameras}
    at = scene.direction(place)[0]
    by_angle = sorted(cameras, key=lambda c: abs(angles[c] - at))[:2]
    total = np.zeros(next(iter(keys.values())).shape)
    for camera, share in zip(by_angle, _linear([abs(angles[c] - at) for c in by_angle]), strict=True):
        own = [cell for cell in keys if cell[1] == camera]
        own_gaps = (
            place_features(scene, [scene.place(*cell) for cell in own])
            - place_features(scene, [scene.place(place.timestep, camera)])
        ).norm(dim=1)
        order = own_gaps.argsort()[:2].tolist()
        for k, part in zip(order, _linear([float(own_gaps[k]) for k in order]), strict=True):
            total += share * part * keys[own[k]]
    return total


def _linear(gaps: Sequence[float]) -> list[float]:
    """Weights of two neighbours at these distances."""
    if len(gaps) == 1:
        return [1.0]
    whole = max(gaps[0] + gaps[1], 1e-9)
    return [gaps[1] / whole, gaps[0] / whole]


def iou(pairs: Sequence[tuple[BoolArray, BoolArray]]) -> float:
    """Intersection over union of (found, true) masks, all pictures together."""
    both = sum(int((found & true).sum()) for found, true in pairs)
    either = sum(int((found | true).sum()) for found, true in pairs)
    return both / max(either, 1)


def boundary(pairs: Sequence[tuple[BoolArray, BoolArray]], tolerance: int = TOLERANCE) -> float:
    """F of the edges: of the found edge's pixels those within ``tolerance`` of a true one, and the other way round."""
    near_true = near_found = found_edges = true_edges = 0
    reach = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), tolerance)
    for found, true in pairs:
        first, second = _edge(found), _edge(true)
        near_true += int((first & ndimage.binary_dilation(second, reach)).sum())
        near_found += int((second & ndimage.binary_dilation(first, reach)).sum())
        found_edges, true_edges = found_edges + int(first.sum()), true_edges + int(second.sum())
    precision, recall = near_true / max(found_edges, 1), near_found / max(true_edges, 1)
    return 2.0 * precision * recall / max(precision + recall, 1e-9)


def _edge(mask: BoolArray) -> BoolArray:
    edge: BoolArray = mask & ~ndimage.binary_erosion(mask, border_value=1)
    return edge


def _numbers(classes: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(LABEL_INDEX[name] for name in classes)


def _spread(values: Sequence[int], count: int) -> list[int]:
    at = np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int))
    return [values[i] for i in at]


def means(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, tuple[float, float]]]:
    """(IoU, boundary F), the mean over targets, by kind of maps and method."""
    result: dict[str, dict[str, tuple[float, float]]] = {}
    for damage in dict.fromkeys(row["maps"] for row in rows):
        result[damage] = {}
        for method in METHODS:
            own = [row for row in rows if row["maps"] == damage and row["method"] == method]
            result[damage][method] = (
                float(np.mean([r["iou"] for r in own])),
                float(np.mean([r["boundary"] for r in own])),
            )
    return result


def part(sitters: Sitters, ledger: Ledger, config: EditConfig, report: Callable[[str], None]) -> dict[str, Any]:
    """For ``parts.PARTS``: ``run``'s rows and their means."""
    found = run(ledger.path.parent, ledger, seed=config.seed, report=report)
    return {**found, "means": means(found["rows"])}


def table(result: dict[str, Any]) -> Table:
    """The means for the eye."""
    from rich import box
    from rich.table import Table

    title = f"regions on held-out pictures, IoU / boundary F, '{result['subject']}', seed {result['seed']}"
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    shown.add_column("method")
    found = means(result["rows"])
    for damage in found:
        shown.add_column(damage, justify="right")
    for method in METHODS:
        shown.add_row(method, *("{:.3f} / {:.3f}".format(*found[damage][method]) for damage in found))
    return shown
