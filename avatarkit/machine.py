"""What ``avatarkit doctor`` looks at: the parts of this machine that avatarkit depends on.

Each function returns a ``CheckResult``.  A missing GPU or asset is no fault (the main job runs without); a GPU that cannot be
used is.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from avatarkit.contracts import CheckResult

MINIMUM_PYTHON = (3, 11)
ASSETS = {
    "flame": "optional; avatarkit assets add flame FILE",
    "mediapipe-face-landmarker": "for videos; avatarkit assets get mediapipe-face-landmarker",
}


def python() -> CheckResult:
    """The interpreter's version."""
    found = f"{platform.python_version()} ({sys.executable})"
    return CheckResult(sys.version_info >= MINIMUM_PYTHON, found, "install Python 3.11 or newer")


def torch_build() -> CheckResult:
    """Which torch this is, and how many threads it uses."""
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    return CheckResult(True, f"{torch.__version__}, {build}, {torch.get_num_threads()} threads")


def gpu() -> CheckResult:
    """The NVIDIA device, whether torch can use it, and how much memory it has."""
    import torch

    present = nvidia_device()
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return CheckResult(True, f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if not present:
        return CheckResult(True, "no NVIDIA device; everything runs on the CPU")
    if torch.version.cuda is None:
        return CheckResult(
            False, "an NVIDIA device, but torch is the CPU build", "install torch's CUDA build (pytorch.org)"
        )
    return CheckResult(
        False,
        f"an NVIDIA device that torch (CUDA {torch.version.cuda}) cannot use",
        "update the NVIDIA driver; `nvidia-smi` shows its version and the newest CUDA that it supports",
    )


def nvidia_device() -> bool:
    """Whether the machine has an NVIDIA device, as the driver says."""
    return Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None


def cuda_compiler() -> CheckResult:
    """``nvcc``, with which CUDA plugins such as gsplat build their kernels on first use."""
    home = os.environ.get("CUDA_HOME")
    compiler = shutil.which("nvcc", path=f"{home}/bin") if home else None
    compiler = compiler or shutil.which("nvcc")
    if compiler is None:
        mend = "install the CUDA toolkit of torch's CUDA version, or set CUDA_HOME"
        needed = nvidia_device()
        return CheckResult(
            not needed, "no nvcc" + ("" if needed else "; not needed without a GPU"), mend if needed else ""
        )
    try:
        text = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return CheckResult(False, f"{compiler} does not run: {error}", "reinstall the CUDA toolkit")
    release = next((line.strip() for line in text.splitlines() if "release" in line), compiler)
    return CheckResult(True, release)


def cpu_lanes() -> CheckResult:
    """How many floats the rasterizer handles at once, and the cores it may use."""
    from avatarkit.render.lanes import WIDTH

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return CheckResult(True, f"{WIDTH} floats at once on {platform.machine()}, {cores} cores")


def numba_cache() -> CheckResult:
    """Where compiled kernels are kept; without a writable folder every start compiles again (half a minute)."""
    from avatarkit.errors import AvatarkitError
    from avatarkit.paths import home

    mend = "set NUMBA_CACHE_DIR to a folder that you can write"
    try:
        folder = Path(os.environ.get("NUMBA_CACHE_DIR") or home() / "numba")
    except AvatarkitError as error:
        return CheckResult(False, str(error), mend)
    return _writable(folder, "compiled kernels", mend)


def home_folder() -> CheckResult:
    """``AVATARKIT_HOME``: assets and caches."""
    from avatarkit.errors import AvatarkitError
    from avatarkit.paths import home

    try:
        folder = home()
    except AvatarkitError as error:
        return CheckResult(False, str(error), "set AVATARKIT_HOME to a folder that you can write")
    return _writable(folder, "assets and caches", "set AVATARKIT_HOME to a folder that you can write")


def video() -> CheckResult:
    """The video library and whether it can write H.264, which every player reads."""
    try:
        import av
    except ImportError as error:
        return CheckResult(False, f"PyAV cannot be imported: {error}", "run: pip install --force-reinstall av")
    encoders = [name for name in ("libx264", "h264_videotoolbox", "libopenh264") if name in av.codecs_available]
    if not encoders:
        return CheckResult(
            False, f"PyAV {av.__version__} without an H.264 encoder", "run: pip install --force-reinstall av"
        )
    return CheckResult(True, f"PyAV {av.__version__}, {encoders[0]}")


def assets() -> CheckResult:
    """Which assets are registered.  None of them is needed for captures with known parameters."""
    from avatarkit import assets as registered

    parts = [f"{name}: {registered.find(name) or f'not registered ({mend})'}" for name, mend in ASSETS.items()]
    return CheckResult(True, "; ".join(parts))


def _writable(folder: Path, what: str, mend: str) -> CheckResult:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return CheckResult(False, f"{folder} cannot be written ({error.strerror}): {what}", mend)
    return CheckResult(True, f"{folder} ({shutil.disk_usage(folder).free / 2**30:.0f} GiB free)")
