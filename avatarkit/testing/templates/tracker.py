"""A tracker.  It begins with a head at rest wherever there is a mask: put your detector and fit in its place."""

from __future__ import annotations

import numpy as np
import torch

from avatarkit.capture.capture import Capture
from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError
from avatarkit.events import Progress, Run
from avatarkit.head.parameters import HeadParams
from avatarkit.track.sequence import Sequence


class Mine:
    """``avatarkit.contracts.Tracker``."""

    def track(self, capture: Capture, head: HeadModel, run: Run, initial: Sequence | None = None) -> Sequence:
        """Head parameters for every timestep.  Raises InputError where no head is found in any frame."""
        if initial is not None:
            return initial
        found = 0
        for index in range(len(capture)):
            mask = capture.mask(index)
            found += mask is not None and bool(mask.any())
            run.emit(Progress("track", index + 1, len(capture)))
        if not found:
            raise InputError(f"{capture.name}: no head in any of {len(capture)} frames; this tracker needs masks")
        params = HeadParams.zeros(capture.num_timesteps, head.num_shape, head.num_expr)
        viewmats, Ks = [], []
        for camera in capture.cameras:
            focal = 1.2 * max(camera.width, camera.height)
            K = np.array([[focal, 0, camera.width / 2], [0, focal, camera.height / 2], [0, 0, 1]])
            in_front = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenCV axes, the head one metre away
            in_front[2, 3] = 1.0
            viewmats.append(in_front if camera.viewmat is None else camera.viewmat)
            Ks.append(K if camera.K is None else camera.K)
        stacked = [torch.as_tensor(np.stack(matrices), dtype=torch.float32) for matrices in (viewmats, Ks)]
        return Sequence(capture, params, stacked[0], stacked[1], head.reference)
