"""Checks of a tracker: it can be called, and a capture without a face is refused in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from avatarkit.capture.capture import Capture, CaptureCamera, Frame
from avatarkit.contracts import Tracker
from avatarkit.errors import EnvironmentProblem, InputError
from avatarkit.events import Run
from avatarkit.testing.conformance import Broken, Check, require
from avatarkit.testing.signatures import takes_the_contracts_arguments

SIZE, STEPS = 96, 3


def empty_capture() -> Capture:
    """Three grey frames of one camera: nobody is in them."""
    frames = tuple(Frame(t, 0, "train", f"grey frame {t}", t / 25) for t in range(STEPS))
    grey = np.full((SIZE, SIZE, 3), 128, np.uint8)
    names = tuple(f"{t:03d}" for t in range(STEPS))
    return Capture("grey", (CaptureCamera("0", SIZE, SIZE),), frames, names, image=lambda index: grey)


def its_method_fits(part: Any) -> str:
    return takes_the_contracts_arguments(part, Tracker, "track")


def a_capture_without_a_face_is_refused(part: Any) -> str:
    from avatarkit.head.bust import BustModel

    try:
        part.track(empty_capture(), BustModel(), Run(), None)
    except InputError as error:
        require("\n" not in str(error), "the error is not one line")
        return str(error)
    except EnvironmentProblem:
        raise
    except Exception as error:
        raise Broken(f"raised {type(error).__name__}: {error}; expected InputError") from error
    raise Broken("three grey frames were tracked; expected InputError")


CHECKS: tuple[Check, ...] = (its_method_fits, a_capture_without_a_face_is_refused)
