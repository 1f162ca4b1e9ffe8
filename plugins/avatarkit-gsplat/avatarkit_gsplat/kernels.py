"""gsplat, imported once, with every way in which that fails put into words.

gsplat 1.5 compiles its kernels while it is imported, prints to the terminal where it cannot, and then fails at the first call
with an AttributeError on None; here each cause is one line that says what to do.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from avatarkit.errors import EnvironmentProblem, MissingDependency
from avatarkit_gsplat.compiling import announced

MINIMUM = (1, 5, 3)  # batch axes before the cameras' came with 1.5


@dataclass(frozen=True)
class Kernels:
    """gsplat's ``rasterization``, its version, and ``rasterize_to_indices_in_range`` where the version has it."""

    rasterization: Callable[..., Any]
    version: str
    indices: Callable[..., Any] | None = None


@functools.cache
def load_kernels() -> Kernels:
    """Import gsplat; compiles its kernels the first time (some minutes), with progress.

    Raises MissingDependency without gsplat, EnvironmentProblem with an old one, without a GPU that torch can use, without
    nvcc, or when the kernels do not compile.
    """
    import torch

    from avatarkit import machine

    if not torch.cuda.is_available():
        state = machine.gpu()
        raise EnvironmentProblem(
            f"rasterizer 'gsplat' needs an NVIDIA GPU: {state.found}; {state.mend or 'use --rasterizer cpu'}"
        )
    try:
        version = importlib.metadata.version("gsplat")
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingDependency("rasterizer 'gsplat' needs gsplat; run: pip install 'gsplat>=1.5.3'") from error
    if _numbers(version) < MINIMUM:
        raise EnvironmentProblem(f"gsplat {version} is too old; run: pip install -U 'gsplat>=1.5.3'")
    said = io.StringIO()
    try:
        with announced(version), contextlib.redirect_stdout(said):
            backend = importlib.import_module("gsplat.cuda._backend")
            rasterization = importlib.import_module("gsplat.rendering").rasterization
            indices = getattr(importlib.import_module("gsplat.cuda._wrapper"), "rasterize_to_indices_in_range", None)
    except ImportError as error:
        raise EnvironmentProblem(
            f"gsplat {version} cannot be imported: {_first_line(error)}; reinstall it for torch {torch.__version__}"
        ) from error
    except Exception as error:
        raise EnvironmentProblem(
            f"gsplat {version} did not compile its kernels: {_first_line(error)}; "
            f"nvcc has to be of CUDA {torch.version.cuda}, as torch is (`avatarkit doctor`); VERBOSE=1 shows the compiler"
        ) from error
    if getattr(backend, "_C", None) is None:
        raise EnvironmentProblem(
            f"gsplat {version} found no nvcc to compile its kernels with; "
            f"install the CUDA {torch.version.cuda} toolkit or set CUDA_HOME, or use --rasterizer cpu"
        )
    return Kernels(rasterization, version, indices)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
