"""Checkpoints of a run: everything that a step changes, in one safetensors file; the last two are kept.

Resuming on the CPU gives the same bits as never having stopped: view order and split noise are functions of seed and step.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avatarkit.errors import AvatarkitError, FileFormatError, InputError
from avatarkit.events import Run
from avatarkit.gaussians.gaussians import CORRECTIVES, Gaussians
from avatarkit.gaussians.tensor_file import finite, load_tensors, save_tensors
from avatarkit.head.parameters import PER_TIMESTEP, HeadParams, HeadPose
from avatarkit.labels import NUM_LABELS
from avatarkit.paths import explained
from avatarkit.recon.adam import Adam, parameters, require_gradients
from avatarkit.recon.head_tuning import HeadState
from avatarkit.recon.ranks import Ranks
from avatarkit.recon.step import TrainState

FORMAT = "avatarkit-checkpoint/1"
KEPT = 2


def save(state: TrainState, run: Run) -> Path:
    """Write ``state`` to the run's folder, atomically, and drop all but the last two."""
    assert run.folder is not None
    folder = run.folder / "checkpoints"
    path = folder / f"step-{state.step:08d}.safetensors"
    save_tensors(path, *contents(state), FORMAT)
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    return path


def contents(state: TrainState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All of ``state`` as tensors and JSON."""
    tensors: dict[str, Tensor] = {
        "adam.steps": state.adam.steps,
        "adam.floor": state.adam.floor,
        "screen_gradient": state.screen_gradient,
        "seen": state.seen,
        "pose.vertices": state.head.pose.vertices,
        "pose.joints": state.head.pose.joints,
        "gathered.vertices": state.head.vertex_gradient,
        "gathered.joints": state.head.joint_gradient,
        "gathered.touched": state.head.touched,
    }
    groups = {
        "gaussians": state.gaussians.stored(),
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
        "origin": state.origin,
        "costs": list(state.costs),
        "seconds": state.seconds,
        "next_id": state.next_id,
        "skipped": state.skipped,
        "rolled_back": state.rolled_back,
        "free_unit": state.adam.free_unit,
        "curve": state.curve,
    }
    return tensors, metadata


def from_first(state: TrainState | None, ranks: Ranks) -> TrainState | None:
    """Process 0's ``state`` on every process, whatever they gave; None where it has none."""
    if ranks.alone or not ranks.from_first(state is not None):
        return state if ranks.first else None
    tensors, metadata = contents(state) if ranks.first and state is not None else ({}, {})
    metadata, tensors = ranks.from_first(metadata), ranks.tensors_from_first(tensors)
    return state if ranks.first else _state(tensors, metadata)


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
        state = _state(tensors, metadata)
    except (KeyError, TypeError, InputError, RuntimeError, IndexError) as error:
        raise FileFormatError(f"{path}: not a checkpoint of this version: {' '.join(str(error).split())}") from error
    problem = next(_problems(state), None)
    if problem is not None:
        raise FileFormatError(f"{path}: not a checkpoint of this version: {problem}")
    return state


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


INTEGERS = {"binding": torch.int32, "ids": torch.int64, "parents": torch.int64, "groups": torch.int32}


def _problems(state: TrainState) -> Iterator[str]:
    """What does not fit together, in words: every tensor has the shape and type that training gave it, and is finite."""
    gaussians, head, count = state.gaussians, state.head, len(state.gaussians)
    pose, moments = head.pose, {f"adam {name}": value for name, value in parameters(gaussians).items()}
    terms = (max(0, gaussians.sh_degree if gaussians.sh.ndim == 3 else 0) + 1) ** 2
    wanted: dict[str, tuple[int, ...]] = {
        "means": (count, 3), "quats": (count, 4), "log_scales": (count, 3), "opacity_logits": (count,), "sh": (count, terms, 3),
        "binding": (count,), "label_logits": (count, NUM_LABELS), "ids": (count,), "parents": (count,), "groups": (count,),
    } | dict.fromkeys(CORRECTIVES, (count, 3, gaussians.mean_correctives.shape[-1]))  # fmt: skip
    steps, vertices, joints = len(head.params), pose.vertices.shape[1:2], pose.joints.shape[1:2]
    rows: list[tuple[str, Tensor, tuple[int, ...], torch.dtype]] = [
        (name, value, wanted[name], INTEGERS.get(name, torch.float32))
        for name, value in gaussians.tensors().items()
        if name in wanted
    ]
    rows += [("adam.steps", state.adam.steps, (count,), torch.int32)]
    rows += [("adam.floor", state.adam.floor, (len(parameters(gaussians)),), torch.float32)]
    for kind in (state.adam.first, state.adam.second):
        if set(kind) != set(parameters(gaussians)):
            yield "Adam's moments are of other tensors"
        rows += [
            (f"adam {name}", value, tuple(moments[f"adam {name}"].shape), torch.float32) for name, value in kind.items()
        ]
    real = torch.float32
    rows += [
        ("screen_gradient", state.screen_gradient, (count,), real), ("seen", state.seen, (count,), real),
        ("pose.vertices", pose.vertices, (steps, *vertices, 3), real), ("pose.joints", pose.joints, (steps, *joints, 4, 4), real),
        ("gathered.vertices", head.vertex_gradient, tuple(pose.vertices.shape), real),
        ("gathered.joints", head.joint_gradient, tuple(pose.joints.shape), real),
        ("gathered.touched", head.touched, (steps,), torch.bool),
    ]  # fmt: skip
    for name in head.first:
        tuned = getattr(head.params, name, None)
        if tuned is None or name not in head.second or name not in head.counts:
            yield f"the moments of head parameter '{name}' are not complete"
            return
        count_rows = steps if name in PER_TIMESTEP else 1
        rows += [
            (f"head.{k} {name}", m[name], tuple(tuned.shape), real)
            for k, m in (("first", head.first), ("second", head.second))
        ]
        rows += [(f"head.counts {name}", head.counts[name], (count_rows,), real)]
    rows += [(f"params {f.name}", v, tuple(v.shape), real) for f in dataclasses.fields(HeadParams) if (v := getattr(head.params, f.name)) is not None]  # fmt: skip
    for name, value, shape, dtype in rows:
        if tuple(value.shape) != shape or value.dtype != dtype:
            yield f"'{name}' is {str(value.dtype)[6:]} {tuple(value.shape)}; expected {str(dtype)[6:]} {shape}"
        if not finite(value):
            yield f"'{name}' holds NaN or infinity"
    for name, number in (("next_id", state.next_id), ("step", state.step), ("total", state.total), ("skipped", state.skipped)):  # fmt: skip
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            yield f"'{name}' is {number!r}; expected a count"
    origin, end = state.origin, max(1, state.total)
    if not isinstance(origin, int | float) or isinstance(origin, bool) or not -float("inf") < origin < end:
        yield f"'origin' is {origin!r}; expected a step before the last"
    if len(state.costs) not in (0, 3):
        yield f"'costs' are {len(state.costs)} numbers; expected none or three"
    lengths = [
        ("seconds", state.seconds),
        ("free_unit", state.adam.free_unit),
        *(("costs", cost) for cost in state.costs),
    ]
    for name, length in lengths:
        if not isinstance(length, int | float) or isinstance(length, bool) or not 0 <= length < float("inf"):
            yield f"'{name}' is {length!r}; expected a positive number"
    if not isinstance(state.rolled_back, bool) or not isinstance(state.curve, list):
        yield "'rolled_back' or 'curve' is of another kind"


def _state(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> TrainState:
    def group(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix + "/"): value for name, value in tensors.items() if name.startswith(prefix + "/")
        }

    gaussians = Gaussians(**group("gaussians"))
    require_gradients(gaussians)
    adam = Adam(gaussians, metadata["free_unit"])
    adam.first, adam.second, adam.steps = group("adam.first"), group("adam.second"), tensors["adam.steps"]
    adam.floor = tensors["adam.floor"]
    pose = HeadPose(tensors["pose.vertices"], tensors["pose.joints"])
    head = HeadState(
        HeadParams(**group("params")), pose, tensors["gathered.vertices"], tensors["gathered.joints"],
        tensors["gathered.touched"].to(torch.bool), group("head.first"), group("head.second"), group("head.counts"),
    )  # fmt: skip
    names = ("next_id", "step", "total", "origin", "seconds", "skipped", "rolled_back", "curve")
    return TrainState(
        gaussians, adam, head, tensors["screen_gradient"], tensors["seen"], costs=tuple(metadata["costs"]),
        **{name: metadata[name] for name in names},
    )  # fmt: skip
