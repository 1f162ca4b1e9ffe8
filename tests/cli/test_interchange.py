"""Avatars carried to other heads and other tools, through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

Command = Callable[..., Any]


def test_reenactment_between_two_avatars_of_one_head(command: Command, reconstructed: Path, tmp_path: Path) -> None:
    """Driven by itself under another name: the same motion, nothing added."""
    said = command(
        "render", reconstructed, "-o", tmp_path / "a.png", "--motion", reconstructed, "--sheet", 2, "--json", "-", "--fps", 25
    )  # fmt: skip
    assert said.code == 0, said.err
    found = said.json
    assert set(found) == {"output", "frames", "motion", "notices", "reenactment"} and found["frames"] == 2
    assert found["reenactment"]["excess_jitter"] == pytest.approx(0.0, abs=0.05 * found["reenactment"]["jitter"] + 1e-6)
    assert found["reenactment"]["shape_drift"] < 1e-3
    assert "identity drift" in said.err and "beyond its driver's" in said.err


def test_reenactment_between_flame_and_bust_goes_by_arkit_names(
    command: Command, reconstructed: Path, test_data: Path, tmp_path: Path
) -> None:
    """A FLAME avatar drives a bust, and the bust drives it: the mouth opens on both; what cannot be shown is said."""
    from dataclasses import replace

    from avatarkit.events import collect
    from avatarkit.gaussians.avatar import Avatar
    from avatarkit.gaussians.avatar_file import load_avatar, save_avatar
    from avatarkit.gaussians.gaussians import Gaussians
    from avatarkit.head.loading import load_head
    from avatarkit.head.parameters import HeadParams
    from avatarkit.track.motion import read_motion

    file = test_data / "flame2023_open" / "flame2023_open_arkit.npz"
    flame, bust = load_head(str(file)), load_head("bust")
    count = len(flame.faces)
    gaussians = Gaussians.fresh(
        torch.zeros(count, 3), torch.full((count, 3), -0.5), 0.9, torch.full((count, 3), 0.6), torch.arange(count)
    )
    motion = HeadParams.zeros(3, flame.num_shape, flame.num_expr)
    motion.expr[1, flame.expr_names.index("jawOpen")] = 0.8
    motion.expr[2, flame.expr_names.index("mouthSmileLeft")] = 0.6
    motion.rotation[2] = torch.tensor([0.0, 0.3, 0.0])
    avatar = Avatar(
        gaussians, {**flame.reference, "path": str(file)}, replace(motion, dynamic_offset=torch.full((3, len(flame.template), 3), 1e-3)),
        ("0", "1", "2"), (), (), torch.zeros(0, 4, 4), torch.zeros(0, 3, 3),
    )  # fmt: skip
    save_avatar(avatar, tmp_path / "flame.avatar")
    run, events = collect()
    carried = read_motion(tmp_path / "flame.avatar", bust, run)
    assert float(carried.params.expr[1, bust.expr_names.index("jawOpen")]) == pytest.approx(0.8)
    assert float(carried.params.expr[2, bust.expr_names.index("mouthSmileLeft")]) == pytest.approx(0.6)
    assert torch.equal(carried.params.rotation, motion.rotation)
    assert any("offsets of single vertices" in event.text for event in events)
    options = ("--camera", "front", "--size", 64, "--frame", 1, "-q", "--json", "-")
    for driven, driver in ((reconstructed, tmp_path / "flame.avatar"), (tmp_path / "flame.avatar", reconstructed)):
        said = command("render", driven, "-o", tmp_path / "x.png", "--motion", driver, *options)
        assert said.code == 0, said.err
        assert said.json["reenactment"]["timesteps"] == len(load_avatar(driver).motion)


def test_expressions_that_a_head_lacks_are_named() -> None:
    """A mode that moves what no landmark sees, an ear, under a name that the other head does not have."""
    from dataclasses import replace

    from avatarkit.events import collect
    from avatarkit.head.bust import BustModel
    from avatarkit.head.parameters import HeadParams
    from avatarkit.track.motion import transferred

    bust = BustModel()

    class Eared:
        name, expr_names = "eared", ("earWiggle", *bust.expr_names[1:])
        reference = {**bust.reference, "sha256": "0" * 64}

        def __getattr__(self, name: str) -> Any:
            return getattr(bust, name)

        def pose(self, params: HeadParams) -> Any:
            return bust.pose(replace(params, expr=torch.cat([torch.zeros(len(params), 1), params.expr[:, 1:]], 1)))

    source = Eared()
    motion = HeadParams.zeros(2, source.num_shape, source.num_expr)
    motion.expr[1, :2] = torch.tensor([1.0, 0.5])
    run, events = collect()
    found = transferred(motion, source, bust, run)  # type: ignore[arg-type]
    assert float(found.expr[1, 1]) == pytest.approx(0.5)
    said = [event.text for event in events if "cannot show" in event.text]
    assert len(said) == 1 and said[0].endswith("cannot show 1 of the expressions of 'eared' in this motion: earWiggle")


def test_export_says_what_it_cannot_do(command: Command, reconstructed: Path, tmp_path: Path) -> None:
    for options, words in {
        ("-o", tmp_path / "a.glb"): "no exporter writes '.glb'",
        ("-o", tmp_path / "a.ply", "--format", "plyy"): "unknown exporter 'plyy'; did you mean 'ply'",
        ("-o", tmp_path / "a.ply", "--frame", 99): "the avatar has timesteps 0 to 5",
        ("-o", tmp_path / "a.ply", "--frame", 1, "--rest"): "give --frame or --rest, not both",
    }.items():
        said = command("export", reconstructed, *options)
        assert said.code == 2 and words in said.err and len(said.err.strip().splitlines()) == 1, said.err
    assert not list(tmp_path.iterdir())
    assert command("import", "headstudio", tmp_path, "-o", tmp_path / "a.avatar").code == 2


def test_an_imported_avatar_is_scored_by_its_own_parameters(
    command: Command, reconstructed: Path, tiny_capture: Path, tmp_path: Path
) -> None:
    """The published system tunes the parameters of its training timesteps and renders with them."""
    from dataclasses import replace

    from avatarkit.gaussians.avatar_file import load_avatar, save_avatar

    avatar = load_avatar(reconstructed)
    scores = {}
    for name, motion in (
        ("tuned", avatar.motion),
        ("moved", avatar.motion.map(lambda value: value.clone())),
        ("shorter", avatar.motion[0]),
    ):
        if name == "moved":
            motion.translation[:, 0] += 0.02
        timesteps = avatar.timestep_names[: len(motion)]
        save_avatar(
            replace(avatar, motion=motion, timestep_names=timesteps, frames=(), source=""), tmp_path / f"{name}.avatar"
        )
        export = command(
            "export", tmp_path / f"{name}.avatar", "-o", tmp_path / name, "--format", "gaussianavatars", "-q"
        )
        assert export.code == 0, export.err
        back = tmp_path / f"{name}-back.avatar"
        assert command("import", "gaussianavatars", tmp_path / name, "-o", back, "--head", "bust", "-q").code == 0
        said = command("eval", back, tiny_capture, "--split", "val", "--json", "-")
        words = " ".join(said.err.split())
        assert ("its own head parameters, of as many timesteps, are used" in words) == (name != "shorter"), words
        assert ("the capture's head parameters are used" in words) == (name == "shorter"), words
        scores[name] = said.json["psnr"]
    assert scores["moved"] < scores["tuned"] - 3.0 and scores["shorter"] == pytest.approx(scores["tuned"], abs=0.01), (
        scores
    )


def test_the_avatar_of_a_reconstruction_goes_there_and_back(
    command: Command, reconstructed: Path, tiny_capture: Path, tmp_path: Path
) -> None:
    """Scored on the capture after the round trip: free Gaussians and view-dependent colour cost next to nothing."""
    said = command("export", reconstructed, "-o", tmp_path / "x", "--format", "gaussianavatars")
    assert said.code == 0 and "free Gaussians ride on joints" in " ".join(said.err.split()), said.err
    back = tmp_path / "back.avatar"
    assert command("import", "gaussianavatars", tmp_path / "x", "-o", back, "--head", "bust", "-q").code == 0
    scores = [
        command("eval", file, tiny_capture, "--split", "val", "--json", "-", "-q").json["psnr"]
        for file in (reconstructed, back)
    ]
    assert np.isfinite(scores).all() and scores[1] > scores[0] - 1.0, scores
