"""Checkpoints of a run: everything that a step changes, in one safetensors file; the last two are kept.

Resuming on the CPU gives the same bits as never having stopped: view order and split noise are functions of seed and step.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avatarkit.errors import AvatarkitError, FileFormatError
from avatarkit.events import Run
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.gaussians.tensor_file import load_tensors, save_tensors
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.paths import explained
from avatarkit.recon.adam import Adam, require_gradients
from avatarkit.recon.head_tuning import HeadState
from avatarkit.recon.step import TrainState

FORMAT = "avatarkit-checkpoint/1"
KEPT = 2


def save(state: TrainState, run: Run) -> Path:
    """Write ``state`` to the run's folder, atomically, and drop all but the last two."""
    assert run.folder is not None
    folder = run.folder / "checkpoints"
    tensors: dict[str, Tensor] = {
        "adam.steps": state.adam.steps,
        "screen_gradient": state.screen_gradient,
        "seen": state.seen,
        "pose.vertices": state.head.pose.vertices,
        "pose.joints": state.head.pose.joints,
        "gathered.vertices": state.head.vertex_gradient,
        "gathered.joints": state.head.joint_gradient,
        "gathered.touched": state.head.touched,
    }
    groups = {
        "gaussians": state.gaussians.tensors(),
        "adam.first": state.adam.first,
        "adam.second": state.adam.second,
        "params": {f.name: getattr(state.head.params, f.name) for f in dataclasses.fields(HeadParams)},
        "head.first": state.head.first,
        "head.second": state.head.second,
        "head.counts": state.head.counts,
    }
    for prefix, group in groups.items():
        tensors |= {f"{prefix}/{name}": value.detach() for name, value in group.items() if value is not None}
    metadata = {
        "step": state.step,
        "total": state.total,
        "seconds": state.seconds,
        "next_id": state.next_id,
        "skipped": state.skipped,
        "rolled_back": state.rolled_back,
        "free_unit": state.adam.free_unit,
        "curve": state.curve,
    }
    path = folder / f"step-{state.step:08d}.safetensors"
    save_tensors(path, tensors, metadata, FORMAT)
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    return path


def forget(run: Run) -> None:
    """Remove the checkpoints of an earlier run, whose higher steps would outlive and be taken for those of a new one."""
    assert run.folder is not None
    for old in (run.folder / "checkpoints").glob("step-*.safetensors"):
        with explained(old):
            old.unlink()


def load(path: Path) -> TrainState:
    """Read a checkpoint.  Raises FileFormatError for anything that ``save`` did not write."""
    tensors, metadata = load_tensors(path, FORMAT)
    try:
        return _state(tensors, metadata)
    except (KeyError, TypeError) as error:
        raise FileFormatError(f"{path}: not a checkpoint of this version: {error}") from error


def load_newest(run: Run) -> TrainState | None:
    """The newest readable checkpoint of the run, or None; an unreadable one is said and the one before it tried."""
    assert run.folder is not None
    for half in (run.folder / "checkpoints").glob(".step-*.part"):  # a killed run was writing it
        with contextlib.suppress(OSError):
            half.unlink()
    for path in sorted((run.folder / "checkpoints").glob("step-*.safetensors"), reverse=True):
        try:
            state = load(path)
        except AvatarkitError as error:
            run.notice(f"{error}; trying the checkpoint before it", "warning")
            continue
        run.notice(f"resuming at step {state.step} of {state.total} from {path.name}")
        return state
    return None


def _state(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> TrainState:
    def group(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix + "/"): value for name, value in tensors.items() if name.startswith(prefix + "/")
        }

    gaussians = Gaussians(**group("gaussians"))
    require_gradients(gaussians)
    adam = Adam(gaussians, metadata["free_unit"])
    adam.first, adam.second, adam.steps = group("adam.first"), group("adam.second"), tensors["adam.steps"]
    pose = HeadPose(tensors["pose.vertices"], tensors["pose.joints"])
    head = HeadState(
        HeadParams(**group("params")), pose, tensors["gathered.vertices"], tensors["gathered.joints"],
        tensors["gathered.touched"].to(torch.bool), group("head.first"), group("head.second"), group("head.counts"),
    )  # fmt: skip
    names = ("next_id", "step", "total", "seconds", "skipped", "rolled_back", "curve")
    return TrainState(
        gaussians, adam, head, tensors["screen_gradient"], tensors["seen"], **{name: metadata[name] for name in names}
    )
