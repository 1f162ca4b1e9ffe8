"""A reconstruction that is killed with -9 again and again, and resumed each time.  Run by ``test_many_kills.py``.

    python killed_run.py CAPTURE FOLDER STEPS KILLS SEED SECONDS

Lives are forks of this process, whose imports and compiled kernels they share: a life costs its own work only.  Three of four
are killed up to SECONDS after training began, the others up to a second after they were born: while reading, resuming, posing.
Prints JSON: kills, the step of the newest checkpoint after every kill, and seconds.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

from avatarkit.events import Event, Run, Started
from avatarkit.recon import checkpoint
from avatarkit.recon.config import ReconConfig
from avatarkit.recon.job import Job, run_job


def life(capture: Path, folder: Path, steps: int, born: int) -> None:
    """One attempt, to the end unless it is killed."""
    config = ReconConfig(
        iterations=20 * steps, run_iterations=steps, max_splats=16600, free_gaussians=100, densify_from=2 * steps,
        densify_until=16 * steps, densify_every=2 * steps, tune_every=4, log_every=10, eval_frames=1, eval_every=4 * steps,
        sh_degree=1, sh_every=4 * steps, checkpoint_every=0.0, label_views=0,
    )  # fmt: skip
    job = Job([capture], folder / "me.avatar", config, head="bust", rasterizer="cpu", report=False)
    job = Job(**{**job.__dict__, "resume": (job.folder / "config.yaml").is_file()})

    def tell(event: Event) -> None:
        if isinstance(event, Started) and event.stage == "recon":
            os.write(born, b"!")

    run_job(job, Run(job.folder, sinks=(tell,)))


def newest_step(folder: Path) -> int:
    """Of the newest checkpoint, which must load; −1 before the first."""
    files = sorted((folder / "me.run" / "checkpoints").glob("step-*.safetensors"))
    if not files:
        return -1
    state = checkpoint.load(files[-1])
    assert files[-1].stem == f"step-{state.step:08d}"
    return state.step


def main() -> None:
    capture, folder = Path(sys.argv[1]), Path(sys.argv[2])
    steps, kills, seed, seconds = int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6])
    life(
        capture, folder / "warm", 3, os.open(os.devnull, os.O_WRONLY)
    )  # imports, kernels and decoded frames for all lives
    chance, seen, killed, began = random.Random(seed), [], 0, time.monotonic()
    while True:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(reading)
                life(capture, folder, steps, writing)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.close(writing)
        if killed < kills:
            early = chance.random() < 0.25
            if not early:
                select.select([reading], [], [], 120.0)
            time.sleep(chance.uniform(0.0, 1.0 if early else seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(reading)
        if os.WIFSIGNALED(status):
            killed += 1
            seen.append(newest_step(folder))
            continue
        assert os.WEXITSTATUS(status) == 0, f"a life failed after {killed} kills"
        break
    print(json.dumps({"kills": killed, "steps": seen, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()
