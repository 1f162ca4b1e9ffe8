"""What the plugin registers.  Imports neither torch nor mediapipe."""

from __future__ import annotations

from collections.abc import Iterable

from avatarkit.contracts import CheckResult
from avatarkit.hookspecs import Check, Provider, hookimpl


@hookimpl
def avatarkit_trackers() -> Iterable[Provider]:
    yield Provider(
        "mediapipe",
        "avatarkit_mediapipe.tracker:MediapipeTracker",
        "478 face landmarks and 52 blendshape scores by MediaPipe, fitted by the core",
        config="avatarkit_mediapipe.options:MediapipeConfig",
        requires=("mediapipe",),
        install_hint="pip install avatarkit-mediapipe",
    )


@hookimpl
def avatarkit_checks() -> Iterable[Check]:
    yield Check("mediapipe", face_landmarker)


def face_landmarker() -> CheckResult:
    """Whether MediaPipe loads on this machine and its model file is here."""
    from avatarkit.errors import AvatarkitError
    from avatarkit_mediapipe.detector import load_mediapipe, model_file

    try:
        mediapipe = load_mediapipe()
    except AvatarkitError as error:
        found, _, mend = str(error).partition("; ")
        return CheckResult(False, found, mend)
    try:
        return CheckResult(True, f"mediapipe {mediapipe.__version__}, {model_file('').name}")
    except AvatarkitError:
        return CheckResult(
            False,
            f"mediapipe {mediapipe.__version__}, but not its model file",
            "run: avatarkit assets get mediapipe-face-landmarker (3.8 MB), or: avatarkit assets add mediapipe-face-landmarker FILE",
        )
