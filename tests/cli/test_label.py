"""``avatarkit label``: the labels that reconstruction gives, without reconstruction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from avatarkit.gaussians.avatar_file import load_avatar, save_avatar

Command = Callable[..., Any]


@pytest.fixture
def unlabelled(reconstructed: Path, tmp_path: Path) -> Path:
    avatar = load_avatar(reconstructed)
    path = tmp_path / "plain.avatar"
    bare = replace(avatar.gaussians, label_logits=torch.zeros_like(avatar.gaussians.label_logits))
    save_avatar(replace(avatar, gaussians=bare, meta={**avatar.meta, "segmenter": ""}), path)
    return path


def test_the_labels_of_reconstruction_come_back_and_nothing_else_changes(
    command: Command, reconstructed: Path, unlabelled: Path, tmp_path: Path
) -> None:
    target = tmp_path / "labelled.avatar"
    said = command("label", unlabelled, "-o", target, "--json", "-")
    assert said.code == 0, said.err
    assert said.json["before"] == {} and {"skin", "hair", "cloth"} <= set(said.json["after"])
    made, first, bare = load_avatar(target), load_avatar(reconstructed), load_avatar(unlabelled)
    same = made.gaussians.label_logits.argmax(1) == first.gaussians.label_logits.argmax(1)
    assert same.float().mean() > 0.97
    assert sum(said.json["after"].values()) == len(made.gaussians)
    for name, value in bare.gaussians.tensors().items():
        if name != "label_logits":
            assert torch.equal(value, made.gaussians.tensors()[name]), name
    assert made.meta == {**bare.meta, "segmenter": "head-regions"}


def test_in_place_where_no_output_is_named(command: Command, unlabelled: Path) -> None:
    said = command("label", unlabelled, "--views", "4")
    assert said.code == 0, said.err
    assert "labelled by head-regions" in said.err and "skin" in said.err
    assert bool(load_avatar(unlabelled).gaussians.label_logits.any())


def test_what_has_edits_is_left_as_it_is(command: Command, reconstructed: Path, tmp_path: Path) -> None:
    edited = tmp_path / "red.avatar"
    assert command("edit", reconstructed, "copper red hair", "-o", edited, "-q").code == 0
    before = edited.read_bytes()
    said = command("label", edited)
    assert said.code == 2 and said.err.count("\n") == 1 and "has been edited" in said.err
    assert edited.read_bytes() == before


def test_without_its_capture_or_with_another(
    command: Command, unlabelled: Path, tmp_path: Path, tiny_capture: Path
) -> None:
    avatar = load_avatar(unlabelled)
    names = tuple(f"other-{name}" for name in avatar.timestep_names)
    save_avatar(replace(avatar, source=str(tmp_path / "gone"), timestep_names=names), unlabelled)
    said = command("label", unlabelled)
    assert said.code == 2 and said.err.count("\n") == 1 and "--capture" in said.err
    assert f"the capture that it was made from ({tmp_path / 'gone'}) is not here; give it with" in said.err
    said = command("label", unlabelled, "--capture", tiny_capture)
    assert said.code == 2 and said.err.count("\n") == 1 and "another capture" in said.err
    assert "has other timesteps than this avatar: " in said.err
