"""A folder in which nothing may be written: one line, exit code 3, and an earlier result as it was.

Root may write everywhere, so the commands run in a process of their own that may not: without the capability by which root passes over
modes, or as another user.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOBODY = 65534
pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs modes of folders as POSIX has them")

# What follows it runs without CAP_DAC_OVERRIDE (prctl PR_CAPBSET_DROP), which only root has.
BOUND = "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"

# Several commands, one after the other; exit code, stdout and stderr of each as JSON.
COMMANDS = """
import contextlib, io, json, sys
from avatarkit.cli.main import main

said = []
for line in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(line)
        except SystemExit as stop:
            code = stop.code or 0
    said.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(said))
"""


@dataclass(frozen=True)
class Person:
    """Somebody for whom ``results``, with an earlier reconstruction, is read-only."""

    results: Path
    capture: Path
    before: tuple[str, ...]
    env: dict[str, str]
    user: int | None

    def python(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, *self.before, *map(str, arguments)]
        groups: dict[str, Any] = (
            {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
        )
        return subprocess.run(line, env=self.env, cwd="/", capture_output=True, text=True, timeout=300, **groups)

    def may_not_write(self) -> bool:
        wish = "import sys; open(sys.argv[1], 'w')"
        done = [self.python("-c", wish, folder / "probe") for folder in (self.results, self.results / "tiny.run")]
        return all("PermissionError" in one.stderr for one in done)


def digest(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "events.jsonl"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def set_modes(folder: Path, folders: int, files: int, user: int | None = None) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(folders if path.is_dir() else files)
        if user is not None:
            os.chown(path, user, user)


@pytest.fixture(params=["the folder's owner", "another user"])
def person(
    request: pytest.FixtureRequest, reconstructed: Path, tiny_capture: Path, environment: dict[str, str]
) -> Iterator[Person]:
    other, root = request.param == "another user", os.geteuid() == 0
    if other and not root:
        pytest.skip("only root may start a command as somebody else")
    base = Path(tempfile.mkdtemp(prefix="avatarkit-"))  # tmp_path lies where only its owner may look
    try:
        results, capture, own = base / "results", base / "capture", base / "own"
        shutil.copytree(reconstructed.parent, results)
        shutil.copytree(tiny_capture, capture)
        own.mkdir()
        env = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
        if other:
            compiled = Path(environment["NUMBA_CACHE_DIR"])
            shutil.copytree(compiled, own / "numba") if compiled.is_dir() else (own / "numba").mkdir()
            env |= {"HOME": str(own), "AVATARKIT_HOME": str(own / "home"), "NUMBA_CACHE_DIR": str(own / "numba")}
        base.chmod(0o755)
        set_modes(capture, 0o755, 0o644)
        set_modes(results, 0o755 if other else 0o555, 0o644)
        set_modes(own, 0o755, 0o644, NOBODY if other else None)
        made = Person(results, capture, ("-c", BOUND) if root and not other else (), env, NOBODY if other else None)
        try:
            started = made.python("-c", "import avatarkit.cli.main, numpy")
        except OSError as error:
            pytest.skip(f"{request.param} may not run {sys.executable}: {error.strerror}")
        if started.returncode:
            pytest.skip(f"{request.param} cannot read the packages: {started.stderr.strip().splitlines()[-1]}")
        if not made.may_not_write():
            pytest.skip(f"{request.param} may write everywhere here")
        yield made
    finally:
        set_modes(base, 0o755, 0o644)
        shutil.rmtree(base)


def test_a_folder_that_may_not_be_written_is_one_line(person: Person) -> None:
    results, before = person.results, digest(person.results)
    short = ("--iterations", 5, "--head", "bust", "-q")
    lines = [
        ("recon", person.capture, "-o", results / "new.avatar", *short),
        ("recon", person.capture, "-o", results / "tiny.avatar", *short),  # over an earlier one
        ("render", results / "tiny.avatar", "-o", results / "a.png", "--frame", 0, "--size", 64, "-q"),
        ("export", results / "tiny.avatar", "-o", results / "a.ply"),
        ("info", results / "tiny.avatar"),
    ]
    done = person.python("-c", COMMANDS, json.dumps([list(map(str, line)) for line in lines]))
    assert done.returncode == 0, done.stderr
    *refused, told = json.loads(done.stdout)
    for line, (code, out, err) in zip(lines, refused, strict=False):
        assert code == 3 and out == "" and len(err.strip().splitlines()) == 1, (line, err)
        assert err.startswith(f"avatarkit: {results}/"), err
        assert err.endswith(": no permission; choose another folder or change its mode\n"), err
    assert told[0] == 0, told
    assert digest(results) == before


def test_an_avatar_that_could_not_be_kept_is_not_trained(person: Person) -> None:
    """Its run folder is there and may be written, from an earlier day; the folder of the avatar itself may not."""
    output = person.results / "tiny.avatar"
    run = output.with_suffix(".run")
    set_modes(run, 0o755, 0o644, person.user)
    kept = output.read_bytes()
    done = person.python("-m", "avatarkit", "recon", person.capture, "-o", output, "--iterations", 5, "--head", "bust")
    assert done.returncode == 3
    assert done.stderr.strip() == f"avatarkit: {output}: no permission; choose another folder or change its mode"
    assert output.read_bytes() == kept
