"""``avatarkit edit``: plans in the terminal, as JSON, by hand, and by a refiner that uses the network; edits, regions, undo."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from avatarkit.edit import job
from avatarkit.edit.asked import labels_shown, request_for
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.avatar_file import load_avatar, save_avatar
from avatarkit.gaussians.binding import pose_gaussians
from avatarkit.gaussians.head_of import head_of
from avatarkit.registry import Registry
from avatarkit.testing.language_servers import Reply, serving


@pytest.fixture
def plan(command: Callable[..., Any], reconstructed: Path) -> Callable[..., Any]:
    return lambda *arguments: command("edit", reconstructed, *arguments)


def test_a_prompt_becomes_a_table_and_json(plan: Callable[..., Any]) -> None:
    said = plan("copper red hair and round black glasses", "--plan-only", "--json", "-")
    assert said.code == 0, said.err
    assert [row["kind"] for row in said.json["operations"]] == ["recolour", "add"] and said.json["refiner"] == "rules"
    assert "make the hair copper" in said.err and "add round black glasses (#000000)" in said.err
    quiet = plan("pink hair", "--plan-only", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_a_plan_can_be_changed_by_hand(plan: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    assert plan("pink hair", "--plan-only", "--json", file).code == 0
    data = json.loads(file.read_text())
    data["operations"][0]["attributes"]["colour"] = "#123456"
    file.write_text(json.dumps(data))
    said = plan("--plan", file, "--plan-only", "--json", "-")
    assert said.code == 0 and said.json == data
    data["operations"][0]["target"] = "hairs"
    file.write_text(json.dumps(data))
    said = plan("--plan", file, "--plan-only")
    assert said.code == 2 and "plan.json: operations[0].target: unknown target 'hairs'" in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("pink hair",), 2, "give the file to write with -o, or look first with --plan-only or --show-region"),
        (("pink hair", "--undo", "-o", "b.avatar"), 2, "--undo takes the last edit back; it takes no prompt"),
        (("--undo", "-o", "b.avatar"), 2, "no edit"),
        (("pink hair", "-o", "b.avatar", "--mask-view", "front"), 2, "--mask-view front: expected TIMESTEP:CAMERA"),
        (("pink hair", "-o", "b.avatar", "--editor", "pain"), 2, "unknown editor 'pain'; did you mean 'paint'?"),
        (("pink hair", "-o", "b.avatar", "--discriminator", "hinge"), 2, "unknown discriminator 'hinge'"),
        (("pink hair", "-o", "b.avatar", "--discriminator-set", "r1=1"), 2, "no discriminator to set; name one with"),
        (("pink hair", "-o", "b.avatar", "--set", "outputs=25"), 2, "setting 'outputs' is 25; expected 1 to 24"),
        (("pink hair", "-o", "b.avatar", "--set", "step=3"), 2, "unknown key 'step'"),
        (("--plan-only",), 2, "give a prompt or --plan FILE"),
        (("pink hair", "--plan", "p.json", "--plan-only"), 2, "not both"),
        (("add a flamingo", "--plan-only"), 2, "'flamingo' was not understood"),
        (("remove the glasses", "--plan-only"), 2, "the avatar shows no glasses: nothing to remove"),
        (("pink hair", "--llm", "rulez", "--plan-only"), 2, "unknown refiner 'rulez'; did you mean 'rules'?"),
        (("pink hair", "--llm-set", "model=x", "--plan-only"), 2, "refiner 'rules' takes no options"),
        (("pink hair", "--llm-set", "model", "--plan-only"), 2, "expected key=value"),
        (("--plan", "gone.json", "--plan-only"), 2, "gone.json: no such file"),
    ],
)
def test_faults_are_one_line(plan: Callable[..., Any], arguments: tuple[str, ...], code: int, words: str) -> None:
    said = plan(*arguments)
    assert said.code == code and words in said.err and len(said.err.strip().splitlines()) == 1, said.err


def test_an_edit_is_written_beside_its_pictures_and_undone(
    command: Callable[..., Any], reconstructed: Path, tmp_path: Path
) -> None:
    pink, again = tmp_path / "pink.avatar", tmp_path / "again.avatar"
    said = command("edit", reconstructed, "pink hair", "-o", pink, "--set", "size=96", "--json", "-")
    assert said.code == 0, said.err
    assert [row["accepted"] for row in said.json["operations"]] == [True]
    names = {path.name for path in (tmp_path / "pink.edit").iterdir()}
    assert {"before-after.jpg", "plan.json", "result.json", "config.yaml", "events.jsonl"} <= names
    before, edited = load_avatar(reconstructed), load_avatar(pink)
    assert [entry["prompt"] for entry in edited.history] == ["pink hair"]
    assert not torch.equal(edited.gaussians.sh, before.gaussians.sh)
    said = command("edit", pink, "--undo", "-o", again)
    assert said.code == 0 and "without: pink hair" in said.err, said.err
    back = load_avatar(again)
    for name, value in before.gaussians.tensors().items():
        assert torch.equal(getattr(back.gaussians, name), value), name
    assert not back.history


def test_regions_are_shown_and_nothing_is_done(
    command: Callable[..., Any], reconstructed: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "where.png"
    said = command("edit", reconstructed, "pink hair and red lips", "--show-region", picture)
    assert said.code == 0 and [path.name for path in tmp_path.iterdir()] == ["where.png"], said.err
    with Image.open(picture) as shown:
        seen = np.asarray(shown.convert("RGB")).reshape(-1, 3).astype(int)
    assert bool(((seen[:, 0] > 150) & (seen[:, 1] < 120) & (seen[:, 2] > 150)).any())  # the ink of regions


def inked(picture: Path) -> int:
    """Pixels that have the ink of regions on them."""
    with Image.open(picture) as shown:
        seen = np.asarray(shown.convert("RGB")).reshape(-1, 3).astype(int)
    return int(((seen[:, 0] > 150) & (seen[:, 1] < 120) & (seen[:, 2] > 150)).sum())


@pytest.mark.parametrize(
    ("asked", "net"),
    [
        (("dark red lipstick",), True),
        (("pink hair",), False),  # an operator's: its masks are of Gaussians
        (("pink hair", "--set", "operators=false"), True),
        (("dark red lipstick", "--set", "mapping=false"), False),
    ],
)
def test_the_masks_that_are_shown_are_those_that_are_used(
    plan: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], net: bool
) -> None:
    """With a net that leaves nothing of a mask."""
    monkeypatch.setattr(job, "_mapping_masks", lambda *_: lambda *_: lambda place, mask: 0.0 * mask)
    said = plan(*asked, "--show-region", tmp_path / "where.png")
    assert said.code == 0, said.err
    assert (inked(tmp_path / "where.png") == 0) is net


def test_what_the_plan_is_unsure_of_is_said_before_it_is_carried_out(
    command: Callable[..., Any], reconstructed: Path, tmp_path: Path
) -> None:
    prompt, line = "pink hair and a flamingo", "unsure: 'flamingo' was not understood"
    said = command("edit", reconstructed, prompt, "--show-region", tmp_path / "where.png", "--json", "-")
    assert said.code == 0 and line in " ".join(said.err.split()), said.err
    out = tmp_path / "pink.avatar"
    said = command("edit", reconstructed, prompt, "-o", out, "--set", "size=96", "--json", "-")
    words = " ".join(said.err.split())
    assert said.code == 0 and words.index(line) < words.index("before and after"), said.err
    assert said.json["plan"]["ambiguities"] == ["'flamingo' was not understood"]
    assert line in (tmp_path / "pink.edit" / "events.jsonl").read_text()
    quiet = command("edit", reconstructed, prompt, "-o", tmp_path / "b.avatar", "--set", "size=96", "--quiet")
    assert (quiet.code, quiet.err) == (0, ""), quiet.err


EVIL = """
from pathlib import Path
Path(__file__).with_suffix(".ran").write_text("imported")
class Evil:
    def segment(self, images, views):
        raise RuntimeError("asked")
"""


def test_an_avatars_file_chooses_no_code(
    command: Callable[..., Any], reconstructed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The segmenter that a stranger's file names is not imported; one that the user names is."""
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text(EVIL)
    avatar = load_avatar(reconstructed)
    avatar.meta["segmenter"] = "evil.py:Evil"
    save_avatar(avatar, Path("theirs.avatar"))
    quick = (
        "--set",
        "size=96",
        "--set",
        "steps=2",
        "--set",
        "keyframes=3",
        "--set",
        "anchors=2",
        "--set",
        "corrections=0",
    )
    prompt = ("edit", "theirs.avatar", "dark red lipstick", "-o", "mine.avatar", *quick)
    said = command(*prompt)
    words = " ".join(said.err.split())
    assert not Path("evil.ran").exists()
    assert "the labels come from the segmenter 'evil.py:Evil'; name it with --set segmenter=NAME" in words, said.err
    command(*prompt, "--set", "segmenter=evil.py:Evil")
    assert Path("evil.ran").exists()


def painted(size: tuple[int, int], colour: int) -> Image.Image:
    picture = Image.new("L", size, 0)
    picture.paste(colour, (0, 0, size[0], size[1] // 2))
    return picture


def test_a_region_painted_by_hand(command: Callable[..., Any], reconstructed: Path, tmp_path: Path) -> None:
    """The upper half of a picture: only what lies there changes."""
    before = load_avatar(reconstructed)
    camera = before.cameras[0]
    painted((camera.width, camera.height), 255).save(tmp_path / "upper.png")
    out = tmp_path / "green.avatar"
    said = command("edit", reconstructed, "green hair", "-o", out, "--mask", tmp_path / "upper.png", "--set", "size=96")
    assert said.code == 0, said.err
    changed = (load_avatar(out).gaussians.sh != before.gaussians.sh).flatten(1).any(1)
    picture_rows = _rows(before)
    assert bool(changed.any()) and float((picture_rows[changed] > 0.6).float().mean()) < 0.02


def _rows(avatar: Avatar) -> torch.Tensor:
    """(N,) how far down in camera 0 at timestep 0 a Gaussian lies, as a share of the picture's height."""
    head = head_of(avatar.head)
    pose = head.pose(avatar.motion[[0]])
    means = pose_gaussians(avatar.gaussians, pose.vertices[0], pose.joints[0], head.faces, skin=pose.skin).means
    view, K = avatar.viewmats[0], avatar.Ks[0]
    pixels = (means @ view[:3, :3].T + view[:3, 3]) @ K.T
    return pixels[:, 1] / pixels[:, 2] / avatar.cameras[0].height


def test_faults_of_masks_and_sheets_are_one_line(
    command: Callable[..., Any], reconstructed: Path, tmp_path: Path
) -> None:
    (tmp_path / "note.png").write_text("no picture")
    painted((80, 80), 40).save(tmp_path / "dark.png")
    out, taken = tmp_path / "b.avatar", tmp_path / "taken.avatar"
    taken.mkdir()
    for arguments, words in (
        (("-o", out, "--mask", tmp_path / "note.png"), "note.png: not a picture"),
        (("-o", out, "--mask", tmp_path / "gone.png"), "gone.png: no such file"),
        (("-o", out, "--mask", tmp_path / "dark.png"), "dark.png: nothing in it is white; a region is white on black"),
        (("-o", out, "--mask", tmp_path / "dark.png", "--mask-view", "99:0"), "--mask-view 99:0: the avatar has 6 timesteps and 3 cameras"),
        (("--show-region", tmp_path / "where.txt"), "where.txt"),
        (("-o", taken), "is a folder; name a file to write with -o"),
    ):  # fmt: skip
        said = command("edit", reconstructed, "pink hair", *arguments)
        assert said.code == 2 and words in said.err and len(said.err.strip().splitlines()) == 1, said.err
    assert not out.exists()


def test_what_the_avatar_shows_is_told(reconstructed: Path) -> None:
    avatar = load_avatar(reconstructed)
    avatar.history.append({"prompt": "a hat"})
    request = request_for(avatar, "x")
    assert request.labels is not None and {"skin", "hair", "nose", "l_eye", "cloth"} <= request.labels
    assert "background" not in request.labels and request.history == ("a hat",)
    avatar.gaussians.label_logits.zero_()
    assert labels_shown(avatar.gaussians) is None


def test_a_plugin_that_returns_no_plan_is_a_plugin_error(plan: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("class Mine:\n    def refine(self, request, run):\n        return {'operations': []}\n")
    said = plan("pink hair", "--llm", f"{file}:Mine", "--plan-only")
    assert said.code == 3 and "returned dict, not an EditPlan" in said.err


@pytest.mark.skipif(sys.platform == "win32", reason="servers of this test close late there")
def test_a_refiner_of_the_network_sees_the_avatar_and_says_so(
    plan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("avatarkit_gpt4")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    rows = [{"kind": "recolour", "target": "hair", "attributes": {"colour": "#b5451f"}}]
    text = json.dumps({"operations": rows, "ambiguities": ["[/bold] which \x1b[31mred"]})
    body: dict[str, Any] = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    with serving(Reply(body), Reply({"error": {"message": "[/x] no"}}, 401)) as server:
        options = ("--llm", "gpt4", "--llm-set", f"base_url={server.address}/v1", "--plan-only")
        said = plan("red hair", *options, "--quiet", "--json", "-")
        assert said.code == 0 and said.json["refiner"] == "gpt4:gpt-4.1"
        assert "sending the prompt and what the avatar shows and a picture of the avatar" in " ".join(said.err.split())
        picture = server.requests[0]["messages"][1]["content"][1]["image_url"]["url"]
        assert picture.startswith("data:image/png;base64,") and len(picture) > 2000
        said = plan("red hair", *options)
        assert said.code == 0 and "nothing is sent" in said.err and "unsure: [/bold] which [31mred" in said.err
        assert len(server.requests) == 1
        said = plan("blue hair", *options, "--no-look")
        assert said.code == 3 and "refused the key (401); check OPENAI_API_KEY: [/x] no" in said.err
        assert isinstance(server.requests[1]["messages"][1]["content"], str)
        said = plan("green hair", *options, "--no-look", "--llm-fallback", "--json", "-")
        assert said.code == 0 and said.json["refiner"] == "rules"
        assert "planned by the rules instead" in " ".join(said.err.split())


TINT = """
class Tint:
    def edit(self, views, masks, step, *, references, cameras, correspondences, seed, run):
        print([text.instruction for text in step.texts])
        return views + masks * (views.new_tensor([0.1, 0.2, 0.9])[:, None, None] - views)
"""
QUICK = ["size=96", "steps=2", "keyframes=3", "anchors=2", "corrections=0", "mapping=false", "operators=false"]
PAINTED = [part for setting in QUICK for part in ("--set", setting)]


@pytest.fixture
def tint(tmp_path: Path) -> str:
    """An editor that reads its words and paints blue."""
    file = tmp_path / "tint.py"
    file.write_text(TINT)
    return f"{file}:Tint"


def blue_hair(tmp_path: Path) -> Path:
    file = tmp_path / "blue.json"
    row = {"kind": "recolour", "target": "hair", "attributes": {"colour": "#1a33e6"}}
    file.write_text(json.dumps({"version": 1, "prompt": "blue hair", "operations": [row], "ambiguities": []}))
    return file


def test_the_fallback_covers_the_whole_edit(
    plan: Callable[..., Any], tmp_path: Path, tint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key neither the plan nor the words for the editor come from the model."""
    pytest.importorskip("avatarkit_gpt4")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    asked = ("blue hair", "--llm", "gpt4", "-o", tmp_path / "blue.avatar", "--editor", tint, *PAINTED)
    said = plan(*asked, "--llm-fallback", "--json", tmp_path / "result.json")
    words = " ".join(said.err.split())
    assert said.code == 0, said.err
    assert "planned by the rules instead (--llm-fallback)" in words
    assert words.count("the words for the editor are the rules' (--llm-fallback)") == 1
    assert "make the hair blue" in said.out
    said = plan("--plan", blue_hair(tmp_path), *asked[1:])
    assert said.code == 3 and "gpt4 needs a key: set OPENAI_API_KEY" in " ".join(said.err.split())
    unread = plan("--plan", blue_hair(tmp_path), *asked[1:], "--editor", "paint")
    assert unread.code == 0 and "gpt4" not in unread.err, "paint reads no words: nobody is asked"


@pytest.mark.skipif(sys.platform == "win32", reason="servers of this test close late there")
def test_what_the_second_turn_sends_is_said_to_those_who_asked_for_silence_too(
    plan: Callable[..., Any], tmp_path: Path, tint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("avatarkit_gpt4")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    with serving(Reply({"error": {"message": "no"}}, 401)) as server:
        options = ("--llm", "gpt4", "--llm-set", f"base_url={server.address}/v1", "--editor", tint, "--quiet", *PAINTED)
        out = ("-o", tmp_path / "blue.avatar")
        said = plan("--plan", blue_hair(tmp_path), *options, *out, "--llm-fallback")
        words = " ".join(said.err.split())
        assert said.code == 0 and len(server.requests) == 1, said.err
        assert "sending the plan and where its regions lie and 3 pictures of the avatar" in words
        assert words.index("sending the plan") < words.index("the words for the editor are the rules'")
        said = plan("--plan", blue_hair(tmp_path), *options, *out)
        assert said.code == 3 and "refused the key (401)" in " ".join(said.err.split())


def test_a_segmenter_that_sends_pictures_is_said_to_those_who_asked_for_silence_too(
    plan: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Registry.get

    def get(self: Registry, role: Any, name: str) -> Any:
        found = real(self, role, name)
        return replace(found, network=True) if role == "segmenter" else found

    monkeypatch.setattr(Registry, "get", get)
    quick = [part for setting in QUICK if "mapping" not in setting for part in ("--set", setting)]
    asked = ("dark red lipstick", "-o", tmp_path / "red.avatar", *quick, "--set", "mapping_seconds=1", "--quiet")
    said = plan(*asked, "--set", "segmenter=head-regions")
    assert "the segmenter 'head-regions' sends pictures of the capture off this machine" in " ".join(said.err.split())


def test_a_discriminators_options_reach_it(plan: Callable[..., Any], tmp_path: Path, tint: str) -> None:
    pytest.importorskip("avatarkit_hinge_gan")
    asked = ("--plan", blue_hair(tmp_path), "-o", tmp_path / "b.avatar", "--editor", tint, *PAINTED)
    said = plan(*asked, "--discriminator", "hinge-gan", "--discriminator-set", "r1=-1")
    assert said.code == 2 and "'r1' of 'hinge-gan' is -1" in " ".join(said.err.split())
    said = plan(*asked, "--discriminator", "hinge-gan", "--discriminator-set", "r2=1")
    assert said.code == 2 and "options of 'hinge-gan': unknown key 'r2'" in " ".join(said.err.split())
    said = plan(*asked, "--discriminator", "hinge-gan", "--discriminator-set", "r1=10")
    assert said.code == 0 and "gan" in (tmp_path / "b.edit" / "events.jsonl").read_text()


STOPPING = """
class Stopping:
    def edit(self, views, masks, step, *, references, cameras, correspondences, seed, run):
        run.stop()
        raise KeyboardInterrupt
"""


def test_ctrl_c_keeps_what_was_done_before(plan: Callable[..., Any], tmp_path: Path) -> None:
    file, made = tmp_path / "stopping.py", tmp_path / "pink.avatar"
    file.write_text(STOPPING)
    quick = [part for setting in QUICK if "operators" not in setting for part in ("--set", setting)]
    options = ("-o", made, "--editor", f"{file}:Stopping", *quick)
    said = plan("dark red lipstick", *options)
    assert said.code == 130 and "interrupted: no avatar was written" in said.err and not made.exists()
    said = plan("pink hair and dark red lipstick", *options)
    assert said.code == 130 and "interrupted: what was done before is written" in said.err, said.err
    assert [row["accepted"] for row in load_avatar(made).history[-1]["operations"]] == [True, False]
