"""``avatarkit bench labels``: are the labels of a reconstruction where they should be?

The synthetic subject's true labels are known in every view.  An avatar is made of the pictures; its Gaussians are then labelled
from three sources of training maps: the true ones, the head model's regions, and the true ones with a fifth of their regions
wrong or missing.  Scored on a held-out camera and on held-out timesteps, beside labels that were projected from one static view.

The subject wears its hair up: ears and earrings are in the training views as well as in the held-out ones.  Under a bob the right
ear has one pixel in a training view and 39 in the held-out one, and an earring less than one pixel in either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from avatarkit.config import load_config
from avatarkit.contracts import HeadModel, Rasterizer, Segmenter, View
from avatarkit.evaluate.label_scores import mean_iou
from avatarkit.events import Run
from avatarkit.head.frames import with_frames
from avatarkit.labels import LABEL_INDEX, NUM_LABELS
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.labelling import label_field, label_gaussians
from avatarkit.recon.loop import reconstruct
from avatarkit.recon.prepare import read_known
from avatarkit.recon.step import TrainState
from avatarkit.registry import registry
from avatarkit.render.hosted import hosted
from avatarkit.synthetic.appearance import Appearance
from avatarkit.synthetic.capture import make_capture
from avatarkit.track.sequence import Sequence as Tracked
from avatarkit.types import IntArray

if TYPE_CHECKING:
    from rich.table import Table

DAMAGED = 0.2  # share of the regions of each map that are wrong or missing
WORN = Appearance(hair_style="bun", glasses="round", earrings="hoop")
SIDE = 384  # pixels; an eye has 60 of them in a training view, a brow 200
CAPTURE = f"capture-{WORN.hair_style}-{SIDE}"


class GivenMaps:
    """A segmenter that knows the maps beforehand: class maps (H, W) by timestep and camera."""

    def __init__(self, maps: dict[tuple[int, bytes], IntArray]) -> None:
        self._maps = maps

    def segment(self, images: Tensor, views: Sequence[View]) -> Tensor:
        shares = [torch.from_numpy(self._maps[view_key(v)].astype(np.int64)) for v in views]
        return torch.stack([torch.nn.functional.one_hot(s, NUM_LABELS).permute(2, 0, 1).float() for s in shares])


def view_key(view: View) -> tuple[int, bytes]:
    return view.timestep, view.cameras.viewmats[0].numpy().tobytes()


def damaged(classes: IntArray, random: np.random.Generator) -> IntArray:
    """Each connected region of a class map (H, W) is, with probability DAMAGED, another class or background."""
    out = classes.copy()
    for label in np.unique(classes):
        if label == LABEL_INDEX["background"]:
            continue
        regions, count = ndimage.label(classes == label)
        for region in range(1, count + 1):
            if random.random() < DAMAGED:
                wrong = random.random() < 0.5
                other = (int(label) + int(random.integers(1, NUM_LABELS - 1)) - 1) % (NUM_LABELS - 1) + 1
                out[regions == region] = other if wrong else LABEL_INDEX["background"]
    return out


def run(
    folder: Path, *, iterations: int = 3000, seed: int = 0, report: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Make the capture in ``folder`` (once), the avatar, and the table.

    Returns {"seed", "iterations", "rows": [{"source", "val": {"miou", "classes"}, "test": …}]}.
    """
    capture = folder / CAPTURE
    if not (capture / "transforms_train.json").is_file():
        report("drawing the subject")
        make_capture(capture, cameras=8, timesteps=24, width=SIDE, height=SIDE, seed=seed, appearance=WORN)
    job = Run(seed=seed)
    sequence, head = read_known(capture, None, job)
    config = replace(load_config(ReconConfig, "recon", {}), run_iterations=iterations, seed=seed)
    head = with_frames(head, config.frames)
    rasterizer = hosted(registry().create("rasterizer", registry().default("rasterizer")))
    report("reconstructing")
    state = reconstruct(sequence, head, config, job, rasterizer)
    truth = {index: _true_labels(capture, sequence, index) for index in range(len(sequence.capture))}
    keys = {index: _key(sequence, index) for index in truth}
    random = np.random.default_rng([seed, 5])
    train = sequence.capture.indices("train")
    front = min(train, key=lambda i: abs(sequence.capture.frames[i].camera - len(sequence.capture.cameras) // 2))
    sources: dict[str, tuple[Segmenter, Tracked]] = {
        "true maps": (GivenMaps({keys[i]: truth[i] for i in train}), sequence),
        "head-regions": (registry().create("segmenter", "head-regions"), sequence),
        "true maps, a fifth damaged": (GivenMaps({keys[i]: damaged(truth[i], random) for i in train}), sequence),
        "one static view": (GivenMaps({keys[front]: truth[front]}), _only(sequence, front)),
    }
    rows = []
    for name, (segmenter, seen) in sources.items():
        report(f"labels from {name}")
        gaussians = state.gaussians.detach()
        chosen = config if name != "one static view" else replace(config, label_steps=0)
        logits = label_gaussians(gaussians, seen, head, state.head.pose, segmenter, rasterizer, chosen, job)
        scores = {s: _score(state, logits, sequence, head, rasterizer, config, truth, s) for s in ("val", "test")}
        rows.append({"source": name, **scores})
    return {"seed": seed, "iterations": iterations, "splats": len(state.gaussians), "rows": rows}


def _score(
    state: TrainState, logits: Tensor, sequence: Tracked, head: HeadModel, rasterizer: Rasterizer, config: ReconConfig,
    truth: dict[int, IntArray], split: str,
) -> dict[str, object]:  # fmt: skip
    pairs = []
    for index in sequence.capture.indices(split):  # type: ignore[arg-type]
        step = sequence.capture.frames[index].timestep
        with torch.no_grad():
            field = label_field(
                state.gaussians.detach(), logits, state.head.pose[step], head.faces, sequence.cameras([index]),
                rasterizer, config.antialiased,
            )  # fmt: skip
        pairs.append((field[0].argmax(0).numpy(), truth[index]))
    return mean_iou(pairs)


def _true_labels(folder: Path, sequence: Tracked, index: int) -> IntArray:
    with Image.open(folder / "labels" / Path(sequence.capture.frames[index].source).name) as picture:
        return np.asarray(picture).astype(np.int64)


def _key(sequence: Tracked, index: int) -> tuple[int, bytes]:
    return sequence.capture.frames[index].timestep, sequence.cameras([index]).viewmats[0].numpy().tobytes()


def _only(sequence: Tracked, index: int) -> Tracked:
    """``sequence`` with one training frame."""
    capture = sequence.capture
    frames = tuple(replace(f, split="train" if i == index else "val") for i, f in enumerate(capture.frames))
    return replace(sequence, capture=replace(capture, frames=frames))


def table(result: dict[str, Any]) -> Table:
    """The scores for the eye."""
    from rich import box
    from rich.table import Table

    title = f"mIoU of labels, seed {result['seed']}, {result['iterations']} steps, {result['splats']} Gaussians"
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("training maps", "held-out camera", "held-out timesteps"):
        shown.add_column(name, justify="left" if name == "training maps" else "right")
    for row in result["rows"]:
        shown.add_row(row["source"], f"{row['val']['miou']:.3f}", f"{row['test']['miou']:.3f}")
    return shown


def class_table(result: dict[str, Any]) -> Table:
    """IoU of every class that the truth has, held-out camera / held-out timesteps, by source."""
    from rich import box
    from rich.table import Table

    shown = Table(title="IoU by class", title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    shown.add_column("class")
    for row in result["rows"]:
        shown.add_column(row["source"], justify="right")
    for label in result["rows"][0]["test"]["classes"]:
        scores = [[row[split]["classes"].get(label) for split in ("val", "test")] for row in result["rows"]]
        shown.add_row(label, *(" / ".join("-" if s is None else f"{s:.2f}" for s in pair) for pair in scores))
    return shown
