"""From what a person has to a sequence: a data set is read, a video or folder is tracked and matted first."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from avatarkit.capture.background import head_boxes
from avatarkit.capture.cache import in_order
from avatarkit.capture.dataset import is_dataset, read_dataset
from avatarkit.capture.reading import read_capture, require_inputs
from avatarkit.capture.video import MAX_FRAMES
from avatarkit.contracts import HeadModel
from avatarkit.errors import AvatarkitError, InputError
from avatarkit.events import Event, Picture, Run
from avatarkit.head.loading import default_head, load_head
from avatarkit.paths import atomic_path
from avatarkit.recon.drawn_head import drawn_head
from avatarkit.recon.head_tuning import posed
from avatarkit.registry import registry
from avatarkit.render.compiled import thread_count
from avatarkit.track.sequence import Sequence
from avatarkit.track.sequence_files import load_sequence, save_sequence, tracked_head
from avatarkit.track.torso import with_torso
from avatarkit.types import FloatArray, PathArg

TRACKED = "tracking"  # folder of the run that holds the tracked sequence
BESIDE, DEEP = 0.03, 0.1  # of the head's width, from where the drawn model, or what is sure of it, ends


def prepare_sequence(
    inputs: list[Path], run: Run, *, head: str | None = None, tracker: str | None = None, size: int = 512,
    max_frames: int = MAX_FRAMES,
) -> tuple[Sequence, HeadModel]:  # fmt: skip
    """A sequence and the head model that its parameters belong to.

    inputs: one GaussianAvatars/VHAP data set, one folder of images, or video files of one person.  head: name or file; default
    for a data set the model whose counts match, else ``flame`` if registered, else ``bust``.  A capture without parameters
    is tracked with ``tracker``, at most ``max_frames`` of videos; a static camera without masks gets mattes; the result is written to
    the run's folder.  Raises InputError for input that cannot be read or tracked.
    """
    if len(inputs) == 1 and is_dataset(inputs[0]):
        known = read_known(inputs[0], head, run)
        if not known[0].capture.masked:
            run.notice(f"{inputs[0]} has no masks: what stands behind the head becomes part of the avatar", "warning")
        return known
    require_inputs(inputs)
    model = load_head(head or default_head(), teeth=True)
    part = registry().create("tracker", tracker or registry().default("tracker"))
    locate = getattr(part, "locate", None)
    capture = read_capture(
        inputs if len(inputs) > 1 else inputs[0], size=size, max_frames=max_frames, run=run, locate=locate
    )
    if run.folder is None:
        return _matted(part.track(capture, model, run), model, run), model
    pictures: list[Picture] = []

    def heard(event: Event) -> None:
        if isinstance(event, Picture):
            pictures.append(event)
        else:
            run.emit(event)

    with tempfile.TemporaryDirectory() as scratch:  # an earlier run keeps its pictures until the sequence is whole
        sequence = _matted(part.track(capture, model, run.aside(Path(scratch), heard)), model, run)
        save_sequence(sequence, run.folder / TRACKED)
        for picture in pictures:
            target = run.folder / picture.path.name
            atomic_path(target, partial(shutil.copyfile, picture.path))
            run.emit(Picture(picture.name, target))
    return sequence, model


def read_known(path: PathArg, head: str | None, run: Run) -> tuple[Sequence, HeadModel]:
    """A data set with head parameters, and the model that fits its counts.

    Raises InputError when no known model does, and says which counts are needed.
    """
    counts = read_dataset(path, run=run).counts
    if counts["vertices"] is None:  # the data set's format says it by offsets of vertices only; ours says it anyway
        counts = counts | {"vertices": (tracked_head(path) or {}).get("vertices")}
    if head is not None:
        model = load_head(head, expected=counts)
        return load_sequence(path, model, run=run), model
    refusals = []
    for name in ("bust", "flame"):
        try:
            model = load_head(name, expected=counts)
        except AvatarkitError as error:
            refusals.append(str(error))
            continue
        return load_sequence(path, model, run=run), model
    raise InputError(
        f"{path}: no head model here fits; give one with --head NAME|FILE ({'; '.join(dict.fromkeys(refusals))})"
    )


def _matted(sequence: Sequence, head: HeadModel, run: Run) -> Sequence:
    """With mattes, and the turn of the torso that these show."""
    return with_torso(sequence if sequence.capture.masked else with_mattes(sequence, head, run), head, run)


def with_mattes(sequence: Sequence, head: HeadModel, run: Run) -> Sequence:
    """Mattes from a learned background; the posed head tells where the head surely is."""
    from avatarkit.capture.matte import with_mattes as matted

    drawn, boxes = drawn_heads(sequence, head)
    return replace(sequence, capture=matted(sequence.capture, drawn, run, boxes))


def drawn_heads(sequence: Sequence, head: HeadModel) -> tuple[np.ndarray, FloatArray]:
    """(frames, H, W) bool: where the posed head model says that the person surely is, in every frame; (frames, 4) boxes of it without neck
    and shoulders, in pixels.

    A fitted outline may be some pixels beyond the person's, its ears may stick out farther, its neck and shoulders be broader: of
    those only the middle is sure.

    Frames must share one size.
    """
    faces = head.faces.numpy()
    body, ears = _inside(head, ("neck", "boundary")), _inside(head, ("l_ear", "r_ear")).max(1) > 0
    above, sure = body.mean(1) < 0.5, ~ears & (body.max(1) == 0)
    with torch.no_grad():
        pose = posed(head, sequence.params)

    def of(index: int) -> tuple[np.ndarray, FloatArray]:
        drawn = drawn_head(sequence, pose, faces, index).triangle
        box = head_boxes(((drawn >= 0) & above[np.maximum(drawn, 0)])[None])[0]
        return _surely(drawn, sure, ears, box), box

    found = list(in_order(of, range(len(sequence.capture)), threads=thread_count()))
    return np.stack([head for head, _ in found]), np.stack([box for _, box in found])


def _surely(drawn: np.ndarray, sure: np.ndarray, never: np.ndarray, box: FloatArray) -> np.ndarray:
    """(H, W) bool: of ``drawn`` triangles (H, W) what is well inside those that are ``sure`` (F,), or deep inside all, but for ``never`` (F,)."""
    shown, at = drawn >= 0, np.maximum(drawn, 0)
    own = shown & sure[at]
    width = box[2] - box[0] if np.isfinite(box).all() else 0.0
    return (_depth(own) > BESIDE * width) & own | (_depth(shown) > DEEP * width) & shown & ~never[at]


def _depth(mask: np.ndarray) -> FloatArray:
    """(H, W) pixels from where ``mask`` ends; it goes on beyond the picture."""
    return np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1])


def _inside(head: HeadModel, regions: tuple[str, ...]) -> FloatArray:
    """(F, 3): how far the corners of the triangles are in one of ``regions``."""
    found = torch.stack([head.regions[name] for name in regions if name in head.regions] or [torch.zeros(1)])
    return np.asarray(found.amax(0).expand(len(head.template)).numpy()[head.faces.numpy()], np.float64)


def head_source(head: str | None, model: HeadModel) -> dict[str, Any]:
    """The head reference for an avatar file: the model's own, its frames, and the file that it came from if it was one."""
    reference: dict[str, Any] = model.reference | {"frames": getattr(model, "frames", "triangle")}
    if head is not None and Path(head).is_file():
        reference["path"] = str(Path(head).resolve())
    return reference


def source_of(inputs: list[Path], run: Run) -> dict[str, Any]:
    """Where ``avatarkit eval`` finds the frames again."""
    tracked = run.folder / TRACKED if run.folder is not None else None
    known = len(inputs) == 1 and is_dataset(inputs[0])
    sequence = inputs[0] if known or tracked is None else tracked
    return {"inputs": [str(path.resolve()) for path in inputs], "sequence": str(sequence.resolve())}
