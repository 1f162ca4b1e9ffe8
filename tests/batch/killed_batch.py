"""A batch of small tasks in a process of its own, to be interrupted and killed.  Run by ``test_interruptions.py``.

    python killed_batch.py FOLDER

Tasks a and c wait for the file FOLDER/go and write their outputs; b follows a.  Each writes its process id into FOLDER/NAME.pid.
Prints the states as JSON; exit code 130 where it was asked to stop.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from avatarkit.batch.engine import make_engine
from avatarkit.batch.folder_lock import held
from avatarkit.batch.running import Batch
from avatarkit.batch.tasks import Task
from avatarkit.events import Run

WAITING = """
import os, sys, time, pathlib
out = pathlib.Path(sys.argv[1])
out.with_suffix(".pid").write_text(str(os.getpid()))
while not (out.parent / "go").exists(): time.sleep(0.02)
out.write_text("made")
"""


def main() -> None:
    folder = Path(sys.argv[1])

    def task(name: str, after: str = "") -> Task:
        output = folder / f"{name}.avatar"
        return Task(name, f"job {name}", (sys.executable, "-c", WAITING, str(output)), folder, output, after=after)

    tasks, run = [task("a"), task("b", "a"), task("c")], Run()
    with held(folder) as descriptors:
        engine = make_engine(2, None, descriptors)
        states = Batch(tasks, engine, run).run()
        engine.close()
    print(json.dumps({name: [state.status, state.attempts] for name, state in states.items()}))
    sys.exit(130 if run.stopping else 0)


if __name__ == "__main__":
    main()
