"""What the plugin registers.  Imports no Ray."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from avatarkit.contracts import CheckResult
from avatarkit.hookspecs import Check, hookimpl


@hookimpl
def avatarkit_checks() -> Iterable[Check]:
    yield Check("ray", ray_version)


def ray_version() -> CheckResult:
    """Which Ray is installed; workers of a cluster need the same."""
    try:
        return CheckResult(True, f"ray {version('ray')}; a cluster's nodes need the same")
    except PackageNotFoundError:
        return CheckResult(False, "ray is not installed", "run: pip install avatarkit-ray")
