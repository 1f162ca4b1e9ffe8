"""Two real processes on loopback (gloo): the same avatar as one process makes with the same batch, and what befalls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from avatarkit.errors import InputError, LostProcess
from avatarkit.events import Run
from avatarkit.gaussians.tensor_file import load_tensors
from avatarkit.recon import checkpoint
from avatarkit.recon import ranks as ranks_module
from avatarkit.recon.loop import reconstruct
from avatarkit.recon.ranks import ALONE, RENDEZVOUS, Ranks, joined, world_size

from .conftest import Parts

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun's loopback test needs POSIX")
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Together:
    """What the two processes of ``ranked.py`` left."""

    folder: Path

    def state(self, name: str, rank: int = 0) -> tuple[Tensors, dict[str, Any]]:
        files = sorted((self.folder / f"{name}-{rank}" / "checkpoints").glob("step-*.safetensors"))
        return load_tensors(files[-1], checkpoint.FORMAT)

    def said(self, name: str, rank: int = 0) -> list[str]:
        said: list[str] = json.loads((self.folder / f"{name}-{rank}.json").read_text())["said"]
        return said


@pytest.fixture(scope="module")
def together(tiny_capture: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Together:
    folder = tmp_path_factory.mktemp("together")
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line += [str(ROOT / "tests" / "recon" / "ranked.py"), str(tiny_capture), str(folder)]
    variables = {
        **os.environ,
        **environment,
        "PYTHONPATH": str(ROOT),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(line, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return Together(folder)


def alone(parts: Parts, folder: Path, **changes: Any) -> tuple[Tensors, dict[str, Any]]:
    """One process, in one thread as each of the two is: a matrix product may round otherwise in two, and one Gaussian of 16600
    then shows in a picture more."""
    config, threads = parts.config(log_every=1, **changes), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            state = reconstruct(parts.sequence, parts.head, config, Run(folder), parts.rasterizer)
    finally:
        torch.set_num_threads(threads)
    return load_tensors(checkpoint.save(state, Run(folder)), checkpoint.FORMAT)


def same(one: Tensors, other: Tensors) -> list[str]:
    assert set(one) == set(other)
    return [name for name in one if not torch.equal(one[name], other[name])]


NAMES = ("two", "three", "resumed", "broken", "minutes", "drifted")


@pytest.mark.parametrize("name", NAMES)
def test_every_process_has_the_same_state(together: Together, name: str) -> None:
    (one, first), (other, second) = together.state(name, 0), together.state(name, 1)
    assert same(one, other) == []
    assert {k: v for k, v in first.items() if k not in ("seconds", "curve")} == {
        k: v for k, v in second.items() if k not in ("seconds", "curve")
    }
    scores = [[row["val_psnr"] for row in metadata["curve"]] for metadata in (first, second)]
    assert scores[0] == scores[1]


def test_two_processes_make_what_one_makes_with_the_same_batch(
    together: Together, parts: Parts, tmp_path: Path
) -> None:
    """One view each, so that every sum has two terms: only the screen gradients' order of sums differs."""
    expected, metadata = alone(parts, tmp_path, batch=2)
    got, told = together.state("two")
    assert int(got["gaussians/ids"].max()) > 16200, "some were split"
    assert bool(got["gaussians/mean_correctives"].any()) and bool(got["gaussians/colour_correctives"].any())
    assert told["step"] == 24 and told["next_id"] == metadata["next_id"]
    for name, value in expected.items():
        torch.testing.assert_close(
            got[name], value, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert [row["val_psnr"] for row in told["curve"]] == pytest.approx(
        [r["val_psnr"] for r in metadata["curve"]], abs=1e-3
    )


def test_three_views_on_two_processes_have_their_right_weights(
    together: Together, parts: Parts, tmp_path: Path
) -> None:
    """Sums of three terms round otherwise, and Adam makes a step of full length from a gradient that is all rounding: nearly all
    Gaussians are as near as floats let them be, and so is what the pictures say of the head.  Without correctives, which carry that on into
    the head's own parameters."""
    expected, metadata = alone(parts, tmp_path, batch=3, correctives=0)
    got, told = together.state("three")
    assert torch.equal(got["gaussians/ids"], expected["gaussians/ids"]), "the same were split"
    for name in ("means", "log_scales", "opacity_logits", "sh"):
        apart = (got[f"gaussians/{name}"] - expected[f"gaussians/{name}"]).abs().flatten()
        assert float(apart.median()) < 1e-4 and float(apart.quantile(0.98)) < 1e-3, name
        moments = got[f"adam.first/{name}"].norm() / expected[f"adam.first/{name}"].norm()
        assert float(moments) == pytest.approx(1.0, abs=0.01), "Adam forgives a wrong factor; its moments show it"
    for name in ("expr", "translation"):
        usual = expected[f"head.second/{name}"].sqrt()
        told_of = usual > 0.01 * usual[usual > 0].median()  # less is rounding: a mode that no picture shows
        assert float(told_of[usual > 0].float().mean()) > 0.9
        there, here = got[f"params/{name}"][told_of], expected[f"params/{name}"][told_of]
        torch.testing.assert_close(there, here, rtol=1e-4, atol=1e-5)
    assert told["curve"][-1]["val_psnr"] == pytest.approx(metadata["curve"][-1]["val_psnr"], abs=0.02)


def test_a_stop_on_one_process_stops_all_and_a_resume_changes_no_bit(together: Together) -> None:
    assert any(text.startswith("resuming at step 13 of 24") for text in together.said("resumed", 0))
    assert together.said("resumed", 1) == [], "the first one reads the checkpoint"
    assert same(together.state("two")[0], together.state("resumed")[0]) == []


def test_one_process_goes_on_from_what_two_began(together: Together, parts: Parts, tmp_path: Path) -> None:
    run = Run(tmp_path)
    (state, _), path = together.state("resumed"), tmp_path / "checkpoints" / "step-00000013.safetensors"
    assert state
    files = sorted((together.folder / "resumed" / "checkpoints").glob("step-*"))
    assert files[0].name == path.name
    path.parent.mkdir()
    path.write_bytes(files[0].read_bytes())
    ended = reconstruct(
        parts.sequence, parts.head, parts.config(log_every=1, batch=2), run, parts.rasterizer, resume=True
    )
    assert ended.step == 24
    torch.testing.assert_close(ended.gaussians.means, state["gaussians/means"], rtol=1e-5, atol=1e-6)


def test_a_loss_that_is_not_finite_on_one_process_is_skipped_by_all(together: Together) -> None:
    for rank in (0, 1):
        assert [text.split(":")[0] for text in together.said("broken", rank)] == ["step 2", "step 5"]
    tensors, metadata = together.state("broken")
    assert metadata["step"] == 8 and all(torch.isfinite(value).all() for value in tensors.values())


def test_the_length_for_minutes_is_one_number(together: Together) -> None:
    totals = [together.state("minutes", rank)[1]["total"] for rank in (0, 1)]
    assert totals[0] == totals[1] > 50
    assert f"{totals[0]} steps in 0.5 minutes" in together.said("minutes")[0]


def test_processes_that_drift_apart_follow_the_first(together: Together) -> None:
    assert sum("drifted apart" in text for text in together.said("drifted")) == 4, "after each change of density"
    assert same(together.state("two")[0], together.state("drifted")[0]) == []
    assert not any("drifted" in text for name in NAMES[:-1] for text in together.said(name))


def test_a_process_alone_does_nothing() -> None:
    asked, value = Run(), torch.ones(3)
    assert ALONE.alone and ALONE.first and ALONE.share([1, 2, 3]) == [1, 2, 3]
    assert ALONE.sum([value])[0] is value and ALONE.same([value])
    thing = object()
    assert ALONE.from_first(thing) is thing and not ALONE.stopping(asked)
    asked.stop()
    assert ALONE.stopping(asked)
    ALONE.leave()


def test_shares_are_everything_once() -> None:
    for size in (1, 2, 3, 5):
        shares = [Ranks(rank, size).share(range(7)) for rank in range(size)]
        assert (
            sorted(place for share in shares for place in share) == list(range(7))
            and max(map(len, shares)) - min(map(len, shares)) <= 1
        )


def test_the_environment_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> str:
        raise AssertionError("a process alone needs no device")

    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", RENDEZVOUS):
        monkeypatch.delenv(name, raising=False)
    assert world_size() == 1 and joined(never) is ALONE
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "1")
    assert world_size() == 1, "nowhere to meet: a variable that something else left"
    monkeypatch.setenv(RENDEZVOUS, "file:///nowhere")
    assert world_size() == 4
    monkeypatch.setenv("RANK", "4")
    with pytest.raises(InputError, match="RANK is 4 and WORLD_SIZE 4"):
        world_size()
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(InputError, match="RANK is 'one'; expected a whole number"):
        world_size()


def test_a_run_begun_with_too_few_views_is_not_resumed_by_more(parts: Parts) -> None:
    from avatarkit.recon.job import require_shares

    require_shares(parts.config(batch=2), Ranks(0, 2))
    with pytest.raises(InputError, match="batch is 1: 2 processes need as many views a step at least"):
        require_shares(parts.config(batch=1), Ranks(0, 2))


def test_one_process_never_asks_torch_for_others() -> None:
    """Nothing of ours names torch.distributed before there are several processes."""
    code = (
        "import sys; sys.modules['torch.distributed'] = None\n"
        "from avatarkit.recon.ranks import joined\n"
        "assert joined(lambda: 'any').alone"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_process_that_is_gone_is_one_line() -> None:
    """What gloo says, as it says it, and in our words."""
    said = "[../third_party/gloo/gloo/transport/tcp/pair.cc:537] Connection closed by peer [127.0.0.1]:4. This may indicate a crash"
    with pytest.raises(LostProcess) as error, ranks_module._together(Ranks(1, 2)):
        raise RuntimeError(said)
    assert error.value.exit_code == 1 and str(error.value) == (
        "process 1 of 2 lost another one, which was killed, failed or does not answer (Connection closed by peer [127.0.0.1]:4); "
        "start all again with --resume"
    )


def test_processes_that_never_meet(tmp_path: Path) -> None:
    """The other one never comes; in a process of its own, for torch keeps what it began."""
    code = "from avatarkit.errors import EnvironmentProblem\nfrom avatarkit.recon.ranks import joined\ntry:\n    joined(lambda: 'any')\nexcept EnvironmentProblem as error:\n    print(error)"
    own = {"RANK": "1", "WORLD_SIZE": "2", RENDEZVOUS: (tmp_path / "meet").as_uri(), "AVATARKIT_TIMEOUT": "1"}
    variables = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", **own}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.startswith("process 1 of 2 cannot meet the others: ") and done.stdout.count("\n") == 1, (
        done.stderr
    )
    assert "GLOO_SOCKET_IFNAME" in done.stdout


def test_errors_of_other_processes_say_whose_they_are() -> None:
    with pytest.raises(InputError, match=r"^process 2 of 3 on \S+: cap: no such file or folder$"), Ranks(2, 3).named():
        raise InputError("cap: no such file or folder")
    with pytest.raises(InputError, match=r"^mine$"), Ranks(0, 3).named():
        raise InputError("mine")
    with pytest.raises(LostProcess, match=r"^lost$"), Ranks(1, 3).named():
        raise LostProcess("lost")
