"""``recon`` in several processes: what is wrong beforehand, what one says when another dies, Ctrl-C, torchrun, going on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avatarkit.cli import workers
from avatarkit.cli.workers import LOST
from avatarkit.errors import AvatarkitError, LostProcess

SETTINGS = ("checkpoint_every=0", "max_splats=16000", "free_gaussians=0", "label_views=0", "eval_frames=0")
SET = [part for setting in SETTINGS for part in ("--set", setting)]
linux = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def see(count: int) -> None:
        monkeypatch.setattr(workers, "visible_gpus", lambda: tuple(map(str, range(count))))

    return see


def test_fewer_gpus_than_asked_for(
    command: Callable[..., Any], gpus: Callable[[int], None], tiny_capture: Path, tmp_path: Path
) -> None:
    for count, words in ((0, "torch sees no GPUs here"), (1, "torch sees 1 GPU here")):
        gpus(count)
        said = command("recon", tiny_capture, "-o", tmp_path / "a.avatar", "--gpus", 2)
        assert said.code == 3 and said.err.count("\n") == 1 and list(tmp_path.iterdir()) == []
        assert f"avatarkit: --gpus 2: {words}" in said.err and "--processes 2 runs on the cores" in said.err


def test_gpus_need_a_rasterizer_that_uses_them(
    command: Callable[..., Any], gpus: Callable[[int], None], tiny_capture: Path, tmp_path: Path
) -> None:
    gpus(2)
    said = command("recon", tiny_capture, "-o", tmp_path / "a.avatar", "--gpus", 2, "--rasterizer", "cpu")
    assert said.code == 2 and said.err.count("\n") == 1
    assert "the rasterizer 'cpu' works on cores; --processes 2 shares them out" in said.err


def test_every_process_needs_a_view(command: Callable[..., Any], tiny_capture: Path, tmp_path: Path) -> None:
    line = ("recon", tiny_capture, "-o", tmp_path / "a.avatar", "--processes", 3)
    said = command(*line, "--set", "batch=2")
    assert said.code == 2 and said.err.count("\n") == 1 and list(tmp_path.iterdir()) == []
    assert "batch is 2: 3 processes need as many views a step at least" in said.err
    assert "give --gpus or --processes, not both" in command(*line, "--gpus", 2).err


def test_torchrun_says_how_many(
    command: Callable[..., Any], tiny_capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    said = command("recon", tiny_capture, "-o", tmp_path / "a.avatar", "--processes", 2)
    assert said.code == 2 and "torchrun says how many processes there are" in said.err


def test_what_ended_first_is_the_cause(tmp_path: Path) -> None:
    """By rank, in the order in which they ended."""
    verdict = workers._verdict
    assert verdict({1: 0, 0: 0}, 2, tmp_path) == 0
    assert verdict({0: 2, 1: LOST}, 2, tmp_path) == 2, "process 0 has said it"
    assert verdict({0: 130, 1: LOST}, 2, tmp_path) == 130
    with pytest.raises(AvatarkitError, match=r"^process 0 of 2 was killed \(SIGKILL, out of memory perhaps\)") as error:
        verdict({0: -signal.SIGKILL, 1: LOST}, 2, tmp_path)
    assert error.value.exit_code == 1
    (tmp_path / "1.log").write_text("noise\navatarkit: process 1 of 2 on b: cap: no such file or folder\n")
    with pytest.raises(AvatarkitError, match=r"^process 1 of 2 on b: cap: no such file or folder$") as error:
        verdict({1: 2, 0: LOST}, 2, tmp_path)
    assert error.value.exit_code == 2
    (tmp_path / "1.log").write_text("avatarkit: process 1 of 2 lost another one (timed out)\n")
    with pytest.raises(AvatarkitError, match="timed out"):
        verdict({1: LOST, 0: LOST}, 2, tmp_path)
    with pytest.raises(AvatarkitError, match=r"^process 1 of 2 did not answer and was ended; go on with --resume$"):
        verdict({0: LOST}, 2, tmp_path)


def test_the_first_process_leaves_the_line_to_whoever_started_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for rank, expected in (("0", ""), ("1", "avatarkit: gone\n")):
        monkeypatch.setenv("RANK", rank)
        assert workers.lost(LostProcess("gone")) == LOST
        assert capsys.readouterr().err == expected


Started = tuple[subprocess.Popen[str], Path]


@pytest.fixture
def running(process: Callable[..., dict[str, Any]], tiny_capture: Path, tmp_path: Path) -> Iterator[Started]:
    """Two processes at one avatar that would take minutes, as soon as there are two checkpoints."""
    out = tmp_path / "me.avatar"
    line = process("recon", tiny_capture, "-o", out, "--iterations", 20000, "--processes", 2, *SET)
    with subprocess.Popen(**line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            deadline = time.monotonic() + 300
            while len(steps_of(out)) < 2:
                assert started.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            yield started, out
        finally:
            started.kill()


def steps_of(out: Path) -> list[int]:
    return sorted(int(file.stem[5:]) for file in (out.with_suffix(".run") / "checkpoints").glob("step-*.safetensors"))


def shorten(out: Path, total: int) -> None:
    """Let the run end soon."""
    from avatarkit.events import Run
    from avatarkit.recon import checkpoint

    run = Run(out.with_suffix(".run"))
    state = checkpoint.load_newest(run)
    assert state is not None
    state.total = state.step + total
    checkpoint.save(state, run)


def worker(parent: int, rank: int) -> int:
    """The process id of one of the parent's workers."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if f"\0RANK={rank}\0".encode() in b"\0" + Path(f"/proc/{child}/environ").read_bytes():
            return int(child)
    raise AssertionError("no such worker")


@linux
def test_a_killed_process_ends_the_run_and_one_process_goes_on(
    running: Started, command: Callable[..., Any], tiny_capture: Path
) -> None:
    started, out = running
    os.kill(worker(started.pid, 1), signal.SIGKILL)
    _, err = started.communicate(timeout=120)
    assert started.returncode == 1 and not out.exists()
    said = [line for line in err.splitlines() if line.startswith("avatarkit: ")]
    assert said == ["avatarkit: process 1 of 2 was killed (SIGKILL, out of memory perhaps); go on with --resume"], err
    assert "Traceback" not in err
    before = steps_of(out)
    shorten(out, 3)
    again = command("recon", tiny_capture, "-o", out, "--resume", "--no-report", "--json", "-")
    assert again.code == 0, again.err
    assert f"resuming at step {before[-1]} of" in again.err
    assert again.json["steps"] == before[-1] + 3 and out.is_file()


@linux
def test_ctrl_c_stops_all_and_torchrun_goes_on(
    running: Started, command: Callable[..., Any], process: Callable[..., dict[str, Any]], tiny_capture: Path
) -> None:
    started, out = running
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=120)
    assert started.returncode == 130 and "Traceback" not in err, err
    assert err.count("stopping after this step") == 1 and "2 processes: 2 views a step instead of 1" in err
    step, info = steps_of(out)[-1], command("info", out, "--json", "-").json
    assert info["training"]["steps"] == step and info["training"]["total"] == 20000

    shorten(out, 3)
    summary = out.with_name("summary.json")
    line = process("recon", tiny_capture, "-o", out, "--resume", "--no-report", "--json", summary)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line["args"] = [line["args"][0], *launcher, *line["args"][1:]]
    done = subprocess.run(
        **(line | {"env": line["env"] | {"GLOO_SOCKET_IFNAME": "lo"}}), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"resuming at step {step} of {step + 3}") == 1, "one of them speaks"
    assert f'"steps": {step + 3}' in summary.read_text()
