"""What stands beside every figure: machine, versions, date."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from typing import Any

PACKAGES = ("avatarkit", "avatarkit-gsplat", "gsplat", "torch", "numpy", "numba")


def facts() -> dict[str, Any]:
    """{"date", "machine": {…}, "versions": {…}}; what is not there is None."""
    import torch

    cuda = torch.cuda.is_available()
    gpu = torch.cuda.get_device_properties(0) if cuda else None
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "gpu": None if gpu is None else gpu.name,
            "gpu_memory_gib": None if gpu is None else round(gpu.total_memory / 2**30, 1),
            "driver": _driver() if cuda else None,
        },
        "versions": {name: _version(name) for name in PACKAGES}
        | {"python": platform.python_version(), "cuda": torch.version.cuda},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            return next(line.split(":", 1)[1].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _driver() -> str | None:
    try:
        line = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        said = subprocess.run(line, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return said.splitlines()[0].strip() if said.strip() else None
