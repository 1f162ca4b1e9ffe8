"""Several processes at one avatar: who takes what, and sums over all of them.  A process alone does nothing here.

Every process holds the same state.  Of a step's views each takes its share, and what they teach is summed in one all-reduce before
anything moves; so a step is whole or has not happened on any of them.  Process 0 prepares, evaluates and writes; the others wait.

Sums go over what the tensors' device has (NCCL on CUDA, gloo on CPUs), and everything else over gloo, which notices a process that
died at once.  torch.distributed is looked at only where there are several processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from avatarkit.errors import AvatarkitError, EnvironmentProblem, InputError, LostProcess
from avatarkit.events import Run

if TYPE_CHECKING:
    from torch import Tensor

RENDEZVOUS = "AVATARKIT_RENDEZVOUS"
"""Where processes that avatarkit itself started meet (a ``file://`` address); torchrun's have MASTER_ADDR and MASTER_PORT."""
TIMEOUT = "AVATARKIT_TIMEOUT"
"""Seconds after which a process that takes no part in a step is given up; default 600."""
PATIENCE = timedelta(days=7)
"""For what process 0 does while the others wait: tracking a long video, evaluation."""

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process's number among ``size``.  patient: the gloo group of what may take long."""

    rank: int = 0
    size: int = 1
    patient: Any = None

    @property
    def alone(self) -> bool:
        return self.size == 1

    @property
    def first(self) -> bool:
        """Process 0: it alone prepares, evaluates, reports and writes."""
        return self.rank == 0

    def places(self, count: int) -> range:
        """Which of ``count`` things are this process's; shares differ by one at most."""
        return range(self.rank, count, self.size)

    def share(self, things: Sequence[T]) -> list[T]:
        return [things[place] for place in self.places(len(things))]

    def stopping(self, run: Run) -> bool:
        """Whether the run of any process was asked to stop; then all are."""
        if self.alone:
            return run.stopping
        import torch
        from torch import distributed

        asked = torch.tensor(int(run.stopping))
        with _together(self):
            distributed.all_reduce(asked, distributed.ReduceOp.MAX)
        if asked:
            run.stop()
        return run.stopping

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each float32 tensor summed over all processes, in one message; the same bits on each of them.

        For one number of processes the order of the sums is always the same.
        """
        if self.alone:
            return list(tensors)
        import torch
        from torch import distributed

        packed = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with _together(self):
            distributed.all_reduce(packed)
        parts = packed.split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    def same(self, tensors: Iterable[Tensor]) -> bool:
        """Whether every process has the same bits in ``tensors``."""
        if self.alone:
            return True
        import torch
        from torch import distributed

        check = 0
        for tensor in tensors:
            check = zlib.crc32(tensor.detach().cpu().contiguous().numpy().reshape(-1).data, check)
        ends = torch.tensor([check, -check])
        with _together(self):
            distributed.all_reduce(ends, distributed.ReduceOp.MAX)
        return int(ends[0]) == -int(ends[1])

    def from_first(self, value: T) -> T:
        """Process 0's ``value`` (JSON); the others wait for it as long as process 0 lives."""
        if self.alone:
            return value
        import torch

        content = json.dumps(value).encode() if self.first else b""
        length = self._broadcast(torch.tensor([len(content)]))
        text = torch.frombuffer(bytearray(content), dtype=torch.uint8) if self.first else torch.empty(int(length), dtype=torch.uint8)  # fmt: skip
        received: T = json.loads(self._broadcast(text).numpy().tobytes())
        return received

    def tensors_from_first(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Process 0's ``tensors``, on the CPU elsewhere."""
        if self.alone:
            return tensors
        import torch

        kinds = self.from_first([(name, str(t.dtype)[6:], list(t.shape)) for name, t in tensors.items()])
        received: dict[str, Tensor] = {}
        for name, dtype, shape in kinds:
            value = tensors[name].detach().cpu().contiguous() if self.first else torch.empty(shape, dtype=getattr(torch, dtype))  # fmt: skip
            if value.numel():
                self._broadcast(value.reshape(-1).view(torch.uint8))
            received[name] = value
        return tensors if self.first else received

    def _broadcast(self, tensor: Tensor) -> Tensor:
        from torch import distributed

        with _together(self):
            distributed.broadcast(tensor, 0, group=self.patient)
        return tensor

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Errors of other processes than the first say whose they are."""
        try:
            yield
        except LostProcess:
            raise
        except AvatarkitError as error:
            if self.first:
                raise
            raise type(error)(f"process {self.rank} of {self.size} on {socket.gethostname()}: {error}") from error

    def leave(self) -> None:
        """The last common act: after it each process is on its own."""
        if not self.alone:
            from torch import distributed

            distributed.destroy_process_group()


ALONE = Ranks()


def world_size() -> int:
    """How many processes the environment says there are: torchrun's, or those that avatarkit started; else 1."""
    return _world()[1]


def started_by_us() -> bool:
    """Whether avatarkit itself started this process as one of several."""
    return RENDEZVOUS in os.environ


def joined(device: Callable[[], str]) -> Ranks:
    """Meet the other processes that the environment names.  ``device``: what the rasterizer works on, "cuda" or "any"; not asked
    where there are no others.

    Raises EnvironmentProblem where they cannot be reached or there is no GPU left for this one.
    """
    rank, size = _world()
    if size == 1:
        return ALONE
    from torch import distributed

    cuda = device() == "cuda"
    if cuda:
        _take_gpu()
    seconds = _number(TIMEOUT, 600)
    try:
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo", init_method=os.environ.get(RENDEZVOUS, "env://"),
            rank=rank, world_size=size, timeout=timedelta(seconds=seconds),
        )  # fmt: skip
        patient = distributed.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise EnvironmentProblem(
            f"process {rank} of {size} cannot meet the others: {_brief(error)}; GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME choose "
            "the network interface"
        ) from error
    return Ranks(rank, size, patient)


def _take_gpu() -> None:
    """Of several visible GPUs the one with this process's number on its machine."""
    import torch

    local, count = _number("LOCAL_RANK", 0), torch.cuda.device_count()
    if started_by_us():  # which shows each process one
        return
    if local >= count:
        raise EnvironmentProblem(
            f"process {local} of this machine has no GPU: torch sees {count}; start {count} here, or choose --rasterizer cpu"
        )
    torch.cuda.set_device(local)


def _world() -> tuple[int, int]:
    """(rank, size) by torchrun's variables, checked."""
    meets = started_by_us() or {"MASTER_ADDR", "MASTER_PORT"} <= set(os.environ)
    if not meets or "RANK" not in os.environ:
        return 0, 1
    size = max(1, _number("WORLD_SIZE", 1))
    rank = _number("RANK", 0)
    if rank >= size:
        raise InputError(f"RANK is {rank} and WORLD_SIZE {size}; ranks count from 0")
    return rank, size


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise InputError(f"{name} is '{text}'; expected a whole number")
    return int(text)


@contextlib.contextmanager
def _together(ranks: Ranks) -> Iterator[None]:
    """What gloo and NCCL say when a process is gone, in our words."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcess(
            f"process {ranks.rank} of {ranks.size} lost another one, which was killed, failed or does not answer "
            f"({_brief(error)}); start all again with --resume"
        ) from error


def _brief(error: Exception) -> str:
    """The first sentence of an error without the place in C++ that it came from."""
    text = " ".join(str(error).split())
    if text.startswith("[") and "] " in text:
        text = text.partition("] ")[2]
    return text.partition(". This may")[0][:160]
