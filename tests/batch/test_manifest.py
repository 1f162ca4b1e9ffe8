"""A manifest is read whole, and whatever is wrong in it is one line before anything starts."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from avatarkit.batch.manifest import Manifest, order_of, read_manifest, task_names
from avatarkit.errors import ConfigError, InputError

Read = Callable[..., Manifest]

WHOLE = """
    out: made/
    defaults: {config: recon, set: {max_splats: 30000, sh_degree: 1}, minutes: 5, head: bust, edits: {llm: rules, seed: 3}}
    heads:
      - name: ada
        input: captures/ada
        set: {max_splats: 20000}
        edits:
          - {name: glasses, prompt: "round black glasses", after: red}
          - {name: red, prompt: "copper red hair", seed: 4}
      - name: bruno
        input: [clip.mp4, clip2.mp4]
        iterations: 100
      - name: cleo
        avatar: cleo.avatar
        edits: [{name: bald, plan: plan.json}]
"""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """``read(text)`` → the manifest; captures, clips, an avatar and a plan lie beside it."""
    (tmp_path / "captures" / "ada").mkdir(parents=True)
    for name in ("clip.mp4", "clip2.mp4", "cleo.avatar", "plan.json"):
        (tmp_path / name).write_bytes(b"")

    def made(text: str, out: Path | None = None) -> Manifest:
        (tmp_path / "heads.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
        return read_manifest(tmp_path / "heads.yaml", out)

    return made


def test_what_is_written_is_read(read: Read, tmp_path: Path) -> None:
    manifest = read(WHOLE)
    ada, bruno, cleo = manifest.heads
    assert manifest.out == tmp_path / "made" and manifest.path == tmp_path / "heads.yaml"
    assert ada.input == ("captures/ada",) and bruno.input == ("clip.mp4", "clip2.mp4") and cleo.avatar == "cleo.avatar"
    assert [edit.name for edit in ada.edits] == ["glasses", "red"] and ada.edits[1].prompt == "copper red hair"
    assert cleo.edits[0].plan == "plan.json"


def test_defaults_stand_where_nothing_else_is_said(read: Read) -> None:
    ada, bruno, cleo = read(WHOLE).heads
    assert ada.set == {"max_splats": 20000, "sh_degree": 1} and bruno.set == {"max_splats": 30000, "sh_degree": 1}
    assert (ada.minutes, ada.iterations) == (5.0, None)
    assert (bruno.minutes, bruno.iterations) == (None, 100), "a length of its own takes the place of the other kind"
    assert [edit.seed for edit in ada.edits] == [3, 4] and cleo.edits[0].llm == "rules"


def test_edits_come_after_what_they_follow(read: Read) -> None:
    ada = read(WHOLE).heads[0]
    assert [edit.name for edit in order_of(ada, "")] == ["red", "glasses"]


def test_out_can_be_given_from_outside(read: Read, tmp_path: Path) -> None:
    assert read(WHOLE, tmp_path / "elsewhere").out == tmp_path / "elsewhere"
    assert read("heads: [{name: ada, input: captures/ada}]").out == tmp_path / "avatars"


def test_names_of_what_is_made(read: Read) -> None:
    assert task_names(read(WHOLE)) == ["ada", "ada-glasses", "ada-red", "bruno", "cleo-bald"]


def one(row: str) -> str:
    return f"heads: [{{{row}}}]"


ADA = "name: ada, input: captures/ada"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("heads: {", "not valid YAML"),
        ("- 3", "expected 'key: value' lines"),
        ("", "expected 'key: value' lines"),
        ("haeds: []", "unknown key 'haeds'; did you mean 'heads'?"),
        ("out: x", "'heads': expected a list of heads"),
        ("heads: []", "'heads': expected a list of heads"),
        ("out: 3\nheads: [{name: ada, input: captures/ada}]", "'out': expected a folder; got 3"),
        ("defaults: {minuts: 5}\nheads: [1]", "defaults: unknown key 'minuts'; did you mean 'minutes'?"),
        ("defaults: {name: x}\nheads: [1]", "defaults: unknown key 'name'"),
        ("defaults: {minutes: soon}\nheads: [1]", "defaults: 'minutes': expected float; got 'soon'"),
        ("defaults: {minutes: 1, iterations: 2}\nheads: [1]", "defaults: give 'minutes' or 'iterations', not both"),
        ("defaults: {edits: {prompt: x}}\nheads: [1]", "defaults: edits: unknown key 'prompt'"),
        ("heads: [ada]", "heads[0]: expected 'key: value' lines; got 'ada'"),
        (one("input: captures/ada"), "heads[0]: key 'name' is missing"),
        (one("name: 3, input: captures/ada"), "heads[0]: 'name': expected text; got 3"),
        (one("name: ../ada, input: captures/ada"), "the name '../ada' cannot be a file's"),
        (one("name: a/b, input: captures/ada"), "the name 'a/b' cannot be a file's"),
        (one("name: .., input: captures/ada"), "the name '..' cannot be a file's"),
        (one("name: -x, input: captures/ada"), "the name '-x' cannot be a file's"),
        (one("name: ada., input: captures/ada"), "the name 'ada.' cannot be a file's"),
        (one("name: Con.x, input: captures/ada"), "the name 'Con.x' cannot be a file's"),
        (one(f"name: {'a' * 101}, input: captures/ada"), "cannot be a file's"),
        (one(f"{ADA}, itertions: 3"), "'ada': unknown key 'itertions'; did you mean 'iterations'?"),
        (one(f"{ADA}, iterations: 2.5"), "'ada': 'iterations': expected int; got 2.5"),
        (one(f"{ADA}, set: 3"), "'ada': 'set': expected dict; got 3"),
        (one(f"{ADA}, minutes: 1, iterations: 3"), "'ada': give 'minutes' or 'iterations', not both"),
        (one("name: ada, input: [3]"), "'ada': 'input': expected str; got 3"),
        (one("name: ada"), "'ada': expected 'input' to reconstruct, or 'avatar' to edit, and not both"),
        (one(f"{ADA}, avatar: cleo.avatar"), "and not both"),
        (one("name: c, avatar: cleo.avatar, minutes: 3, edits: [{name: x, prompt: y}]"), "'c': 'minutes' is of a reconstruction"),
        (one("name: c, avatar: cleo.avatar"), "'c': an 'avatar' without 'edits' leaves nothing to do"),
        (one(f"{ADA}, edits: red"), "'ada': 'edits': expected a list of edits; got 'red'"),
        (one(f"{ADA}, edits: [{{prompt: x}}]"), "'ada': edits[0]: key 'name' is missing"),
        (one(f"{ADA}, edits: [{{name: x}}]"), "'ada': edits: 'x': expected 'prompt' or 'plan', and not both"),
        (one(f"{ADA}, edits: [{{name: x, prompt: ' '}}]"), "expected 'prompt' or 'plan'"),
        (one(f"{ADA}, edits: [{{name: x, promt: y}}]"), "'ada': edits: 'x': unknown key 'promt'; did you mean 'prompt'?"),
        (one(f"{ADA}, edits: [{{name: x, prompt: y, after: z}}]"), "'ada': edits: 'x': after: unknown edit 'z'"),
        (one(f"{ADA}, edits: [{{name: x, prompt: y, after: x}}]"), "they wait for each other: x after x"),
        (
            one(f"{ADA}, edits: [{{name: x, prompt: y, after: z}}, {{name: z, prompt: y, after: x}}]"),
            "'ada': edits: they wait for each other: x after z after x",
        ),
        (one(f"{ADA}, edits: [{{name: x, plan: none.json}}]"), "'ada': edits: 'x': plan: "),
        (one(f"{ADA}, edits: [{{name: x, prompt: y, mask: none.png}}]"), "none.png: no such file or folder"),
        (one("name: ada, input: captures/eve"), "captures/eve: no such file or folder"),
        (one("name: ada, avatar: captures, edits: [{name: x, prompt: y}]"), "is a folder; expected a file"),
        (f"heads: [{{{ADA}}}, {{name: Ada, input: clip.mp4}}]", "'ada' and 'Ada' would both write Ada.avatar"),
        (
            f"heads: [{{{ADA}, edits: [{{name: red, prompt: x}}]}}, {{name: ada-red, input: clip.mp4}}]",
            "edit 'red' of 'ada' and 'ada-red' would both write ada-red.avatar",
        ),
        (f"out: captures/ada/made\nheads: [{{{ADA}}}]", "holds the folder to write"),
        (
            "out: .\nheads: [{name: cleo, input: clip.mp4}, {name: x, avatar: cleo.avatar, edits: [{name: y, prompt: z}]}]",
            "'x': avatar: ",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_file_and_key(read: Read, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text)
    line = str(caught.value)
    assert said in line and "heads.yaml: " in line and "\n" not in line and caught.value.exit_code == 2


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file or folder"):
        read_manifest(tmp_path / "none.yaml")


def test_an_avatar_in_the_folder_to_write_may_be_edited(read: Read, tmp_path: Path) -> None:
    manifest = read("out: .\nheads: [{name: cleo, avatar: cleo.avatar, edits: [{name: red, prompt: x}]}]")
    assert task_names(manifest) == ["cleo-red"] and manifest.out == tmp_path


def test_every_recon_key_is_an_option_of_the_command() -> None:
    """The manifest's words are those of the command line."""
    import inspect
    from dataclasses import fields

    from avatarkit.batch.manifest import ReconOptions
    from avatarkit.cli.recon import recon

    options = {name.rstrip("_") for name in inspect.signature(recon).parameters}
    known = {one.name for one in fields(ReconOptions)}
    assert known <= options
    left = {"inputs", "output", "resume", "report", "json", "quiet", "context", "gpus", "processes"}
    assert options - known == left, "left to the batch"


def test_every_key_of_an_edit_is_an_option_of_the_command() -> None:
    import inspect
    from dataclasses import fields

    from avatarkit.batch.manifest import Edit
    from avatarkit.cli.edit import edit

    options = {name.rstrip("_") for name in inspect.signature(edit).parameters}
    known = {one.name for one in fields(Edit)} - {"name", "after"}
    assert known <= options
    assert options - known == {"avatar", "output", "plan_only", "show_region", "undo", "json", "quiet"}, (
        "left to the batch"
    )


def test_an_unknown_setting_is_told_with_the_head(read: Read) -> None:
    from avatarkit.batch.tasks import tasks_of

    with pytest.raises(
        ConfigError, match=r"heads\.yaml: 'ada': --set: unknown key 'max_splat'; did you mean 'max_splats'"
    ):
        tasks_of(read(one(f"{ADA}, set: {{max_splat: 3}}")))
    with pytest.raises(ConfigError, match="'ada': edits: 'x': --set: unknown key 'step'; did you mean 'steps'"):
        tasks_of(read(one(f"{ADA}, edits: [{{name: x, prompt: y, set: {{step: 3}}}}]")))
    with pytest.raises(ConfigError, match="'ada': unknown config 'recn'; did you mean 'recon'"):
        tasks_of(read(one(f"{ADA}, config: recn")))
