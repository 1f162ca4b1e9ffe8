"""``avatarkit batch`` as a person calls it."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avatarkit.batch.manifest import read_manifest
from avatarkit.batch.state import read_state
from avatarkit.batch.tasks import Task, tasks_of
from avatarkit.cli.batch import check_commands
from avatarkit.errors import InputError
from avatarkit.registry import Registry

Command = Callable[..., Any]
Process = Callable[..., dict[str, Any]]

SHORT = "{max_splats: 16200, free_gaussians: 200, label_views: 0, checkpoint_every: 0}"


def write(folder: Path, text: str) -> Path:
    (folder / "clip.mp4").write_bytes(b"")
    (folder / "heads.yaml").write_text(text)
    return folder / "heads.yaml"


def test_dry_run_prints_commands_that_can_be_pasted(command: Command, tmp_path: Path) -> None:
    manifest = write(
        tmp_path, "heads: [{name: ada, input: clip.mp4, minutes: 2}, {name: eve, input: clip.mp4, seed: 3}]"
    )
    said = command("batch", manifest, "--dry-run")
    assert said.code == 0, said.err
    titles, lines = said.out.splitlines()[::2], said.out.splitlines()[1::2]
    assert titles == ["# recon of ada", "# recon of eve"]
    assert [tuple(shlex.split(line)) for line in lines] == [t.command for t in tasks_of(read_manifest(manifest))]
    assert [file.name for file in tmp_path.iterdir() if file.name not in ("clip.mp4", "heads.yaml")] == []


def test_edits_are_commands_that_edit_takes(command: Command, tmp_path: Path) -> None:
    rows = (
        '{name: red, prompt: "-- red hair", look: false, set: {steps: 3}, discriminator: none, seed: 4}',
        "{name: long, plan: plan.json, after: red, llm_fallback: true, editor: paint, mask: clip.mp4, mask_view: '0:1'}",
    )
    (tmp_path / "plan.json").write_text("{}")
    manifest = write(tmp_path, f"heads: [{{name: ada, input: clip.mp4, edits: [{', '.join(rows)}]}}]")
    said = command("batch", manifest, "--dry-run")
    assert said.code == 0, said.err
    assert said.out.splitlines()[::2] == ["# recon of ada", "# edit 'red' of ada  (after ada)", "# edit 'long' of ada  (after ada-red)"]  # fmt: skip


def test_dry_run_as_json(command: Command, tmp_path: Path) -> None:
    manifest = write(tmp_path, "heads: [{name: ada, input: clip.mp4}]")
    (row,) = command("batch", manifest, "--dry-run", "--json", "-").json["tasks"]
    assert row["name"] == "ada" and row["after"] is None and row["command"][:2] == ["avatarkit", "recon"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("size: 3", "heads.yaml: recon of ada: Invalid value for '--size'"),
        ("minutes: 0", "heads.yaml: recon of ada: Invalid value for '--minutes'"),
        ("rasterizer: cup", "heads.yaml: recon of ada: unknown rasterizer 'cup'; did you mean 'cpu'?"),
        ("tracker: none", "heads.yaml: recon of ada: unknown tracker 'none'"),
        ("minuts: 3", "heads.yaml: 'ada': unknown key 'minuts'; did you mean 'minutes'?"),
        ("set: {max_splat: 3}", "heads.yaml: 'ada': --set: unknown key 'max_splat'"),
    ],
)
def test_what_recon_would_refuse_is_refused_before_anything_starts(
    command: Command, tmp_path: Path, row: str, said: str
) -> None:
    result = command("batch", write(tmp_path, f"heads: [{{name: ada, input: clip.mp4, {row}}}]"))
    lines = result.err.splitlines()
    assert result.code == 2 and len(lines) == 1 and said in lines[0] and result.out == ""
    assert not (tmp_path / "avatars").exists()


def edit(folder: Path, *line: str) -> Task:
    return Task("a", "edit 'x' of ada", ("avatarkit", "edit", "a.avatar", *line), folder, folder / "a.avatar")


def test_parts_that_send_data_away_are_counted(tmp_path: Path) -> None:
    tasks = [edit(tmp_path, "x", "--llm", llm) for llm in ("gpt4", "rules", "gpt4", "claude")]
    assert check_commands(tasks, "heads.yaml") == {"gpt4": 2, "claude": 1}


def test_so_is_a_segmenter_that_an_edits_settings_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Registry.get
    monkeypatch.setattr(
        Registry, "get", lambda self, role, name: replace(real(self, role, name), network=role == "segmenter")
    )
    task = replace(edit(tmp_path, "x"), settings={"segmenter": "head-regions"})
    assert check_commands([task, edit(tmp_path, "x")], "heads.yaml") == {"head-regions": 1}
    assert check_commands([replace(task, settings={**task.settings, "mapping": False})], "heads.yaml") == {}


def test_what_edit_would_refuse_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"heads\.yaml: edit 'x' of ada: unknown refiner 'rulez'; did you mean 'rules'"
    ):
        check_commands([edit(tmp_path, "x", "--llm", "rulez")], "heads.yaml")
    with pytest.raises(InputError, match=r"heads\.yaml: edit 'x' of ada: No such option: --lm"):
        check_commands([edit(tmp_path, "x", "--lm", "rules")], "heads.yaml")
    assert check_commands([edit(tmp_path, "--", "--llm")], "heads.yaml") == {}, "a prompt that looks like an option"


def test_options_that_do_not_go_together(command: Command, tmp_path: Path) -> None:
    manifest = write(tmp_path, "heads: [{name: ada, input: clip.mp4}]")
    said = command("batch", manifest, "--ray", "auto", "--jobs", 2)
    assert said.code == 2 and "--jobs is for this machine" in said.err


def test_a_failure_is_one_line_and_the_rest_is_done(command: Command, tmp_path: Path) -> None:
    """Empty clips: ``recon`` says so with exit code 2 or 3, which is not tried again."""
    (tmp_path / "eve").mkdir()
    manifest = write(tmp_path, "heads: [{name: ada, input: clip.mp4, head: bust}]")
    said = command("batch", manifest, "-q", "--json", "-")
    (line,) = said.err.splitlines()
    (row,) = said.json["tasks"]
    assert said.code == 1 and line.startswith("avatarkit: 1 of 1 tasks are not done: recon of ada: ")
    assert row["status"] == "failed" and row["attempts"] == 1 and row["reason"] in line
    assert said.json["counts"] == {"failed": 1} and Path(said.json["report"]).is_file()
    assert "avatarkit: " + row["reason"] in Path(row["log"]).read_text()


# --- the whole of it ---------------------------------------------------------------------------------------------------


def checkpoints(out: Path, name: str) -> list[Path]:
    return sorted((out / f"{name}.run" / "checkpoints").glob("step-*.safetensors"))


def shorten(out: Path, name: str, steps: int) -> int:
    """Let the interrupted reconstruction end soon: what its newest checkpoint holds of its length.  Returns that step."""
    from avatarkit.events import Run
    from avatarkit.recon import checkpoint

    run = Run(out / f"{name}.run")
    state = checkpoint.load_newest(run)
    assert state is not None
    state.total = state.step + steps
    checkpoint.save(state, run)
    return state.step


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_two_heads_killed_interrupted_and_finished(
    command: Command, process: Process, tiny_capture: Path, tmp_path: Path
) -> None:
    """Real reconstructions: kill -9, then Ctrl-C, then to the end, then nothing left to do."""
    shutil.copytree(tiny_capture, tmp_path / "captures" / "ada")
    manifest = tmp_path / "heads.yaml"
    manifest.write_text(
        f"out: made\ndefaults: {{iterations: 20000, head: bust, set: {SHORT}}}\n"
        "heads: [{name: ada, input: captures/ada}, {name: eve, input: captures/ada, iterations: 20}]\n"
    )
    out = tmp_path / "made"

    def until_it_trains() -> subprocess.Popen[bytes]:
        old = checkpoints(out, "ada")[-1:]
        batch = subprocess.Popen(
            **process("batch", manifest, "--jobs", 1, "-q"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 240
        while checkpoints(out, "ada")[-1:] in (old, []):
            assert batch.poll() is None and time.monotonic() < until
            time.sleep(0.1)
        return batch

    batch = until_it_trains()
    batch.kill()
    batch.wait()
    killed = read_state(out / "state" / "ada.json")
    assert killed is not None and killed.status == "running" and not (out / "ada.avatar").exists()

    batch = until_it_trains()
    batch.send_signal(signal.SIGINT)
    assert batch.wait(120) == 130
    interrupted = read_state(out / "state" / "ada.json")
    assert interrupted is not None and (interrupted.status, interrupted.attempts) == ("interrupted", 2)
    assert interrupted.command.endswith("--resume")

    step = shorten(out, "ada", 5)
    said = command("batch", manifest, "--jobs", 1, "--json", "-")
    assert said.code == 0, said.err
    ada, eve = said.json["tasks"]
    assert (ada["status"], ada["attempts"], eve["status"], eve["attempts"]) == ("done", 3, "done", 1)
    assert f"resuming at step {step} of {step + 5}" in (out / "logs" / "ada.log").read_text()
    for row in (ada, eve):
        result = json.loads((out / "results" / f"{row['name']}.json").read_text())
        assert row["val"] == result["metrics"]["val"]["psnr"] and row["splats"] == result["splats"]
        assert all(Path(row[key]).is_file() for key in ("avatar", "log", "report", "picture"))
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and 'href="ada.run/report.html"' in page
    assert "recon of ada: done" in said.err and f"{ada['val']:.2f}" in said.err

    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.avatar")}
    again = command("batch", manifest, "--json", "-")
    assert again.code == 0 and [row["kept"] for row in again.json["tasks"]] == [True, True]
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*.avatar")} == before
