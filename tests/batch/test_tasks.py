"""Commands that a manifest stands for, and what makes a task another task."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from avatarkit.batch.manifest import read_manifest
from avatarkit.batch.tasks import Task, fingerprint, tasks_of

TEXT = """
out: made
heads:
  - name: ada
    input: [a.mp4, b.mp4]
    config: my.yaml
    set: {max_splats: 20000, lr_means: 1.0e-5, density: threshold, background: [0, 0.5, 1], minutes: null}
    head: model.npz
    tracker: photometric
    iterations: 100
    edits:
      - {name: glasses, prompt: "round black glasses", after: red, llm_set: {model: gpt-4o, deadline: 30}, llm_fallback: true, look: false,
         mask: mask.png, mask_view: "0:3", editor: ip2p, editor_set: {steps: 9}, set: {steps: 50}, config: edit.yaml,
         discriminator: hinge-gan, discriminator_set: {r1: 10}}
      - {name: red, prompt: "-- copper 'red' hair", seed: 0}
  - name: cleo
    avatar: cleo.avatar
    edits: [{name: plan, plan: plan.json}]
"""


@pytest.fixture
def tasks(tmp_path: Path) -> dict[str, Task]:
    for name in ("a.mp4", "b.mp4", "cleo.avatar", "plan.json", "model.npz", "mask.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "my.yaml").write_text("sh_degree: 2\n")
    (tmp_path / "edit.yaml").write_text("keyframes: 7\n")
    (tmp_path / "heads.yaml").write_text(TEXT)
    made = tasks_of(read_manifest(tmp_path / "heads.yaml"))
    assert [task.name for task in made] == ["ada", "ada-red", "ada-glasses", "cleo-plan"]
    return {task.name: task for task in made}


def test_a_reconstruction(tasks: dict[str, Task], tmp_path: Path) -> None:
    task = tasks["ada"]
    made = tmp_path / "made"
    assert task.command == (
        "avatarkit", "recon", str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4"),
        "-o", str(made / "ada.avatar"), "--json", str(made / "results" / "ada.json"),
        "--config", str(tmp_path / "my.yaml"),
        "--set", "max_splats=20000", "--set", "lr_means=1e-05", "--set", "density=threshold", "--set", "background=[0, 0.5, 1]",
        "--set", "minutes=null", "--iterations", "100", "--head", str(tmp_path / "model.npz"), "--tracker", "photometric",
    )  # fmt: skip
    assert task.reads == tuple(tmp_path / name for name in ("a.mp4", "b.mp4", "model.npz")) and task.after == ""
    assert task.settings["sh_degree"] == 2 and task.settings["max_splats"] == 20000
    assert task.settings["lr_means"] == 1e-5 and task.settings["background"] == (0.0, 0.5, 1.0)
    assert task.checkpoints == made / "ada.run" / "checkpoints"


def test_settings_reach_the_command_as_they_were_read(tasks: dict[str, Task]) -> None:
    """``recon`` reads from its line what the manifest said."""
    from dataclasses import asdict

    from avatarkit.config import load_config, parse_overrides
    from avatarkit.recon.config import ReconConfig

    command = tasks["ada"].command
    pairs = [command[i + 1] for i, part in enumerate(command) if part == "--set"]
    config = command[command.index("--config") + 1]
    read = load_config(ReconConfig, config, parse_overrides(pairs))
    assert asdict(read) == asdict(ReconConfig()) | tasks["ada"].settings
    assert set(tasks["ada"].settings) == {"max_splats", "lr_means", "density", "background", "sh_degree"}


def test_edits_read_what_comes_before_them(tasks: dict[str, Task], tmp_path: Path) -> None:
    made = tmp_path / "made"
    red, glasses, plan = tasks["ada-red"], tasks["ada-glasses"], tasks["cleo-plan"]
    assert (red.after, red.reads) == ("ada", (made / "ada.avatar",))
    assert (glasses.after, glasses.reads) == ("ada-red", (made / "ada-red.avatar", tmp_path / "mask.png"))
    assert (glasses.settings["steps"], glasses.settings["keyframes"], red.settings.get("keyframes")) == (50, 7, None)
    assert (plan.after, plan.reads) == ("", (tmp_path / "cleo.avatar", tmp_path / "plan.json"))
    assert glasses.command == (
        "avatarkit", "edit", str(made / "ada-red.avatar"), "round black glasses",
        "-o", str(made / "ada-glasses.avatar"), "--json", str(made / "results" / "ada-glasses.json"),
        "--config", str(tmp_path / "edit.yaml"), "--set", "steps=50", "--editor", "ip2p", "--editor-set", "steps=9",
        "--llm-set", "model=gpt-4o", "--llm-set", "deadline=30", "--llm-fallback", "--no-look",
        "--discriminator", "hinge-gan", "--discriminator-set", "r1=10", "--mask", str(tmp_path / "mask.png"), "--mask-view", "0:3",
    )  # fmt: skip
    assert plan.command[2] == str(tmp_path / "cleo.avatar") and plan.command[-2:] == (
        "--plan",
        str(tmp_path / "plan.json"),
    )


def test_a_prompt_is_no_option(tasks: dict[str, Task], tmp_path: Path) -> None:
    command = tasks["ada-red"].command
    source = str(tmp_path / "made" / "ada.avatar")
    assert command[-5:] == ("--seed", "0", "--", source, "-- copper 'red' hair")


Change = Callable[[Path], Task]


@pytest.fixture
def task(tmp_path: Path) -> Task:
    folder = tmp_path / "capture"
    (folder / "images").mkdir(parents=True)
    for name in ("transforms_train.json", "images/0.png", "images/1.png"):
        (folder / name).write_bytes(b"12345")
    return Task(
        "a", "job a", ("true",), tmp_path / "out", tmp_path / "out" / "a.avatar", reads=(folder,), settings={"k": 1}
    )


def test_the_same_task_has_the_same_fingerprint(task: Task) -> None:
    assert fingerprint(task) == fingerprint(replace(task, fingerprint="another", picture=("x",)))


@pytest.mark.parametrize("change", ["content", "time", "more", "less", "name"])
def test_a_change_of_what_is_read_changes_it(task: Task, change: str) -> None:
    before, picture = fingerprint(task), task.reads[0] / "images" / "0.png"
    if change == "content":
        stamp = picture.stat().st_mtime_ns
        picture.write_bytes(b"123456")
        os.utime(picture, ns=(stamp, stamp))
    elif change == "time":
        os.utime(picture, ns=(1, 1))
    elif change == "more":
        (picture.parent / "2.png").write_bytes(b"")
    elif change == "less":
        picture.unlink()
    else:
        picture.rename(picture.with_name("3.png"))
    assert fingerprint(task) != before


def test_so_does_another_command_or_setting(task: Task) -> None:
    other = {
        fingerprint(task),
        fingerprint(replace(task, command=("false",))),
        fingerprint(replace(task, settings={"k": 2})),
    }
    assert len(other) == 3


def test_hidden_files_do_not(task: Task) -> None:
    before = fingerprint(task)
    (task.reads[0] / ".DS_Store").write_bytes(b"")
    (task.reads[0] / ".cache").mkdir()
    (task.reads[0] / ".cache" / "x").write_bytes(b"")
    assert fingerprint(task) == before


def test_what_is_missing_is_named(task: Task) -> None:
    from avatarkit.errors import InputError

    with pytest.raises(InputError, match=r"gone\.mp4: no such file or folder"):
        fingerprint(replace(task, reads=(task.reads[0] / "gone.mp4",)))
