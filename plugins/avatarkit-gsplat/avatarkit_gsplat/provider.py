"""What the plugin registers.  Imports neither torch nor gsplat."""

from __future__ import annotations

from collections.abc import Iterable

from avatarkit.contracts import CheckResult
from avatarkit.hookspecs import Check, Provider, hookimpl


@hookimpl
def avatarkit_rasterizers() -> Iterable[Provider]:
    yield Provider(
        "gsplat",
        "avatarkit_gsplat.rasterizer:GsplatRasterizer",
        "gsplat's CUDA kernels",
        requires=("gsplat",),
        install_hint="pip install avatarkit-gsplat",
        device="cuda",
    )


@hookimpl
def avatarkit_checks() -> Iterable[Check]:
    yield Check("gsplat", gsplat_kernels)


def gsplat_kernels() -> CheckResult:
    """Whether gsplat's kernels can be used; a machine without a GPU needs none."""
    from avatarkit.errors import AvatarkitError
    from avatarkit.machine import nvidia_device
    from avatarkit_gsplat.kernels import load_kernels

    if not nvidia_device():
        return CheckResult(True, "not used: no NVIDIA device")
    try:
        return CheckResult(True, f"gsplat {load_kernels().version}")
    except AvatarkitError as error:
        found, _, mend = str(error).partition("; ")
        return CheckResult(False, found, mend)
