"""Pictures on their way to a GPU: made and copied by a thread beside the training, there when their step comes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Ahead(Generic[K, V]):
    """What ``make`` makes, asked for before it is needed; one thread makes them in the order of asking."""

    def __init__(self, make: Callable[[K], V]) -> None:
        self._make = make
        self._coming: dict[K, Future[V]] = {}
        self._thread: ThreadPoolExecutor | None = None

    def ask(self, key: K) -> None:
        """Begin with ``key``, unless it is on its way."""
        if key not in self._coming:
            self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="pictures")
            self._coming[key] = self._thread.submit(self._make, key)

    def take(self, key: K) -> V:
        """The value of ``key``, once: waits for it where it is on its way, makes it where nobody asked.  Errors of ``make`` are
        raised here."""
        future = self._coming.pop(key, None)
        return self._make(key) if future is None else future.result()


@dataclass(frozen=True)
class Arriving:
    """A tensor that a stream of its own is copying to a GPU."""

    tensor: Tensor
    event: torch.cuda.Event

    def arrived(self) -> Tensor:
        """The tensor for the current stream, which waits for the copy; the host does not."""
        stream = torch.cuda.current_stream(self.tensor.device)
        stream.wait_event(self.event)
        self.tensor.record_stream(stream)
        return self.tensor


class Upload:
    """Copies from the host to ``device`` through pinned memory on a stream of their own."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._stream = torch.cuda.Stream(self._device)

    def __call__(self, picture: Tensor) -> Arriving:
        pinned = picture.pin_memory()
        with torch.cuda.stream(self._stream):
            tensor = pinned.to(self._device, non_blocking=True)
            event = torch.cuda.Event()
            event.record(self._stream)
        return Arriving(tensor, event)
