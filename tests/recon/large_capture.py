"""Anonymous memory of a reconstruction of 16 cameras × 300 timesteps at 550×802.  Run by ``test_memory.py``.

Pictures are made on demand, as the memory-mapped cache gives them: they are not in anonymous memory.  Everything that a run keeps is filled as
a long run fills it: every training view at half and at full size, some steps, then the evaluation with its still pictures.
Prints the largest RssAnon of /proc/self/status that a watching thread saw, bytes, by stage.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import torch

from avatarkit.cameras import intrinsics, orbit
from avatarkit.capture.capture import Capture, CaptureCamera, Frame
from avatarkit.evaluate.evaluation import avatar_predictor, evaluate_split
from avatarkit.evaluate.protocols import by_protocol
from avatarkit.events import Run
from avatarkit.gaussians.avatar import Avatar, AvatarCamera
from avatarkit.head.bust import BustModel
from avatarkit.head.parameters import HeadParams
from avatarkit.recon import loop
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.views import Views
from avatarkit.render.cpu import CpuRasterizer
from avatarkit.track.sequence import Sequence

CAMERAS, TIMESTEPS, WIDTH, HEIGHT = 16, 300, 550, 802
HEAD = BustModel()


def anonymous() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("no RssAnon in /proc/self/status")


class Watch:
    """The most that was seen since the last ``stage``."""

    def __init__(self) -> None:
        self.most: dict[str, int] = {}
        self.name = "imports"
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self.most[self.name] = max(self.most.get(self.name, 0), anonymous())
            time.sleep(0.02)

    def stage(self, name: str) -> None:
        self.name = name


def large_sequence() -> Sequence:
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    mask = np.where(((x - WIDTH / 2) / 180) ** 2 + ((y - HEIGHT / 2) / 260) ** 2 < 1, 255, 0).astype(np.uint8)
    K = intrinsics(1500.0, 1500.0, WIDTH / 2, HEIGHT / 2)
    viewmats = [np.asarray(orbit(angle, 0.0, 1.0, np.zeros(3))) for angle in np.linspace(-1, 1, CAMERAS)]
    cameras = tuple(CaptureCamera(f"{i:02d}", WIDTH, HEIGHT, K, view) for i, view in enumerate(viewmats))
    frames = tuple(Frame(t, c, "train", f"{t}_{c}") for t in range(TIMESTEPS) for c in range(CAMERAS))
    capture = Capture(
        "large", cameras, frames, tuple(map(str, range(TIMESTEPS))), image=lambda i: np.roll(texture, i, 0), mask=lambda i: mask,
        masked=True,
    )  # fmt: skip
    params = HeadParams.zeros(TIMESTEPS, HEAD.num_shape, HEAD.num_expr)
    return Sequence(
        by_protocol(capture, "vhap"), params, torch.tensor(np.stack(viewmats), dtype=torch.float32),
        torch.tensor(np.stack([K] * CAMERAS), dtype=torch.float32), HEAD.reference,
    )  # fmt: skip


def main() -> None:
    watch = Watch()
    sequence = large_sequence()
    config = ReconConfig(iterations=8, run_iterations=8, eval_frames=4, label_views=0)
    watch.stage("views")
    train = sequence.capture.indices("train")
    filled = [Views(sequence, train, config.background, through=config.random_background > 0)]  # as training has them
    for half in (True, False):
        for i in range(len(filled[0])):
            filled[0].view(i, half)
    watch.stage("training")
    whole = loop.Views
    loop.Views = lambda seq, frames, *at, **options: (
        filled[0] if frames == train else whole(seq, frames, *at, **options)
    )  # type: ignore[assignment,misc]
    state = loop.reconstruct(sequence, HEAD, config, Run(), CpuRasterizer())
    filled.clear()
    loop.Views = whole  # type: ignore[misc]
    watch.stage("evaluation")
    avatar = Avatar(
        state.gaussians.detach(), HEAD.reference, state.head.params, sequence.capture.timestep_names, sequence.capture.frames,
        tuple(AvatarCamera(c.name, WIDTH, HEIGHT) for c in sequence.capture.cameras), sequence.viewmats, sequence.Ks,
    )  # fmt: skip
    kept = [i for i, f in enumerate(sequence.capture.frames) if f.split != "test" or f.timestep == TIMESTEPS - 1]
    few = tuple(sequence.capture.frames[i] for i in kept)
    image, mask = sequence.capture.image, sequence.capture.mask
    capture = Capture(
        "few", sequence.capture.cameras, few, sequence.capture.timestep_names, lambda i: image(kept[i]), lambda i: mask(kept[i]), True
    )  # fmt: skip
    sequence = Sequence(capture, sequence.params, sequence.viewmats, sequence.Ks, HEAD.reference)
    predict = avatar_predictor(avatar, sequence, avatar.motion, HEAD, CpuRasterizer())
    assert evaluate_split(predict, sequence, HEAD, "test", np.ones(3, np.float32))["frames"] == CAMERAS
    time.sleep(0.1)
    print(json.dumps({"frames": CAMERAS * TIMESTEPS, "train": len(train), "most": watch.most}))


if __name__ == "__main__":
    main()
