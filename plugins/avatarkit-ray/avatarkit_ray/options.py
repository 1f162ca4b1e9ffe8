"""Where the cluster is, and what a task asks of it.  Imports no Ray."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RayConfig:
    """Settings of the engine."""

    address: str = "auto"
    """``auto`` (RAY_ADDRESS, or the cluster that this machine is a part of), ``HOST:PORT``, ``ray://HOST:PORT``, or ``local``: one
    that is started on this machine, hears 127.0.0.1 only and ends with the batch."""
    cpus: int = 2
    """CPUs that a task asks for; fewer where the nodes have not so many.  A reconstruction uses two."""
