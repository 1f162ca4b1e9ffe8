"""``avatarkit plugins …`` and ``doctor`` as a person runs them: output, JSON, exit codes, and what is not imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from avatarkit import hook_docs, machine
from avatarkit.cli import doctor, plugins
from avatarkit.contracts import CheckResult
from avatarkit.errors import InputError
from avatarkit.hookspecs import HOOKS
from avatarkit.testing.template import write_plugin

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = Path(__file__).parent / "distributions"


def avatarkit(
    *arguments: str, distributions: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, with fake distributions installed."""
    path = os.pathsep.join([str(ROOT), *(str(DISTRIBUTIONS / name) for name in distributions)])
    return subprocess.run(
        [sys.executable, "-m", "avatarkit", *arguments],
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
    )


def processor_seconds(*arguments: str) -> float:
    """User and system time of one start of the command."""
    before = os.times()
    assert avatarkit(*arguments).returncode == 0
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_list_as_json_has_every_provider_and_every_problem() -> None:
    done = avatarkit("plugins", "list", "--json", "-", distributions=("good", "broken", "duplicate", "wrong_api"))
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    points = [row for row in rows["providers"] if row["name"] == "points"]
    assert [row["plugin"] for row in points] == ["duplicate", "good"] and all(row["collides"] for row in points)
    lacking = next(row for row in rows["providers"] if row["name"] == "lacking")
    assert lacking["missing"] == ["no_such_package.sub"]
    plugins_by_name = {row["name"]: row for row in rows["plugins"]}
    assert plugins_by_name["broken"]["status"] == "error" and plugins_by_name["good"]["status"] == "ok"
    assert "contract version 99" in " ".join(plugins_by_name["wrong-api"]["problems"])


def test_list_for_people_shows_a_broken_plugin_as_a_row() -> None:
    done = avatarkit("plugins", "list", distributions=("good", "broken", "misspelt"))
    assert done.returncode == 0
    assert "one pixel per Gaussian" in done.stdout and "the shared library is missing" in done.stdout
    assert "did you mean 'avatarkit_rasterizers'" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_allow_list_is_obeyed() -> None:
    done = avatarkit("plugins", "list", "--json", "-", distributions=("good", "broken"), AVATARKIT_PLUGINS="good")
    statuses = {row["name"]: row["status"] for row in json.loads(done.stdout)["plugins"]}
    assert statuses["good"] == "ok" and statuses["broken"] == "off"


def test_check_exits_with_3_and_says_what_is_broken() -> None:
    done = avatarkit("plugins", "check", "points", "--json", "-", distributions=("good",))
    assert done.returncode == 3, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert rows[0]["detail"] == "PointRasterizer" and rows[0]["ok"]
    assert not next(row for row in rows if row["check"] == "images match the reference")["ok"]
    done = avatarkit("plugins", "check", "nonsense")
    assert done.returncode == 2 and "unknown provider 'nonsense'" in done.stderr and len(done.stderr.splitlines()) == 1


def test_check_passes_a_provider_that_conforms() -> None:
    done = avatarkit("plugins", "check", "rasterizer:reference")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout


def test_check_takes_a_class_in_a_file() -> None:
    file = ROOT / "avatarkit" / "testing" / "templates" / "editor.py"
    done = avatarkit("plugins", "check", f"{file}:Mine", "--role", "editor")
    assert done.returncode == 0 and "0 failed" in done.stdout, done.stdout + done.stderr
    done = avatarkit("plugins", "check", f"{file}:Mine")
    assert done.returncode == 2 and "say its role with --role" in done.stderr


def test_check_of_a_role_lists_problems_first() -> None:
    done = avatarkit("plugins", "check", "--role", "exporter", "--json", "-", distributions=("misspelt",))
    rows = json.loads(done.stdout)["rows"]
    problems = [row["detail"] for row in rows if row["check"] == "registration"]
    assert rows[0]["detail"] in problems and any("is not a hook" in problem for problem in problems)
    assert done.returncode == 3


def test_hooks_prints_the_page() -> None:
    done = avatarkit("plugins", "hooks")
    assert done.stdout.rstrip() == hook_docs.hooks_markdown().rstrip()
    rows = json.loads(avatarkit("plugins", "hooks", "--json", "-").stdout)
    assert {row["name"] for row in rows} >= set(HOOKS.values())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["plugins", "list"], ["plugins", "list", "--json", "-"], ["plugins", "--help"]]
)
def test_it_starts_within_half_a_second_and_without_torch(arguments: list[str]) -> None:
    """In processor time, which other processes on the machine do not stretch; -X importtime tells what was imported."""
    quickest = min(processor_seconds(*arguments) for _ in range(3))
    command = [sys.executable, "-X", "importtime", "-m", "avatarkit", *arguments]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "avatarkit.cli.main" in imported
    assert not imported & {"torch", "numba", "llvmlite", "scipy", "av", "PIL", "gsplat", "mediapipe"}
    assert quickest < 0.5


# --- doctor ------------------------------------------------------------------------------------------------------------


def test_doctor_has_a_row_per_check_and_survives_a_failing_one() -> None:
    done = avatarkit("doctor", "--json", "-", distributions=("good", "broken"))
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert {"python", "torch", "gpu", "cuda compiler", "cpu lanes", "numba cache", "video", "assets", "home"} <= set(
        rows
    )
    assert rows["python"]["ok"] and rows["video"]["ok"]
    assert rows["good weights"] == {
        "name": "good weights", "plugin": "good", "ok": False, "found": "none", "mend": "run: good-plugin download",
    }  # fmt: skip
    assert "RuntimeError: the check broke" in rows["good failure"]["found"]
    assert "the shared library is missing" in rows["plugin"]["found"]


def test_doctor_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    rows = [{"name": "a", "plugin": "builtin", "ok": True, "found": "b", "mend": ""}]
    monkeypatch.setattr(doctor, "examine", lambda: rows)
    app = typer.Typer()
    app.command()(doctor.doctor)
    assert "All 1 rows are fine" in CliRunner().invoke(app, []).output


@pytest.mark.parametrize(
    ("device", "cuda", "works", "ok", "words"),
    [
        (False, None, False, True, "no NVIDIA device"),
        (True, None, False, False, "CPU build"),
        (True, "12.8", False, False, "that torch (CUDA 12.8) cannot use"),
    ],
)
def test_the_gpu_row(
    device: bool, cuda: str | None, works: bool, ok: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(machine, "nvidia_device", lambda: device)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: works)
    row = machine.gpu()
    assert row.ok is ok and words in row.found and bool(row.mend) is not ok


def test_the_compiler_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "nvidia_device", lambda: False)
    assert machine.cuda_compiler() == CheckResult(True, "no nvcc; not needed without a GPU")
    monkeypatch.setattr(machine, "nvidia_device", lambda: True)
    assert not machine.cuda_compiler().ok and "CUDA_HOME" in machine.cuda_compiler().mend
    compiler = tmp_path / "bin" / "nvcc"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 12.8, V12.8.61'\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert machine.cuda_compiler() == CheckResult(True, "Cuda compilation tools, release 12.8, V12.8.61")


def test_a_folder_that_cannot_be_made_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "below"))
    row = machine.numba_cache()
    assert not row.ok and "cannot be written" in row.found and "NUMBA_CACHE_DIR" in row.mend


# --- new ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", HOOKS)
def test_new_writes_a_project_whose_provider_is_found_and_made(role: str, tmp_path: Path) -> None:
    """Made importable as an installer would, without pip: the slow test in test_packaging goes through pip."""
    folder = write_plugin("my-part", role, tmp_path / "project")
    information = folder / "avatarkit_my_part-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: avatarkit-my-part\nVersion: 0.1.0\n")
    (information / "entry_points.txt").write_text("[avatarkit]\nmy-part = avatarkit_my_part.provider\n")
    code = (
        "import sys; from avatarkit.registry import registry; r = registry(); "
        f"p = r.get({role!r}, 'my-part'); assert 'torch' not in sys.modules; "
        f"assert [q.problems for q in r.plugins if q.source.name == 'my-part'] == [[]]; print(type(r.create({role!r}, 'my-part')).__name__)"
    )
    path = os.pathsep.join([str(ROOT), str(folder)])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "MyPart", done.stderr
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F", "--line-length", "120", str(folder)]
    assert subprocess.run(ruff).returncode == 0


def test_new_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'rasterizer'"):
        write_plugin("x", "rasteriser", tmp_path / "a")
    with pytest.raises(InputError, match="lower-case words"):
        write_plugin("My_Part", "editor", tmp_path / "a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(InputError, match="exists already"):
        write_plugin("x", "editor", tmp_path / "full")
    result = CliRunner().invoke(plugins.app, ["new", "tidy", "--role", "editor", "-o", str(tmp_path / "tidy")])
    assert result.exit_code == 0 and (tmp_path / "tidy" / "avatarkit_tidy" / "editor.py").exists()
