"""What can be wrong with a model is one line that says what to do; folders are never looked for on the network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from avatarkit_face_parsing.classes import label_of_channels
from avatarkit_face_parsing.options import FaceParsingConfig
from avatarkit_face_parsing.parser import FaceParser
from avatarkit_face_parsing.provider import face_parser
from avatarkit_face_parsing.source import VARIABLE, model_source

from avatarkit.errors import AvatarkitError, EnvironmentProblem, FileFormatError, InputError, MissingDependency
from avatarkit.labels import LABELS
from avatarkit.registry import registry
from avatarkit.testing.model_hub import ModelHub, files_below, serving_model

from .conftest import NAMES, saved, tiny

pytest.importorskip("transformers", reason="transformers is not installed")


def refused(kind: type[AvatarkitError], match: str, **options: object) -> None:
    with pytest.raises(kind, match=match) as caught:
        FaceParser(FaceParsingConfig(**options))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_celebamaskhq_and_plain_names_are_known() -> None:
    assert [LABELS[k] for k in label_of_channels(dict(enumerate(NAMES)), "m")] == list(LABELS)
    spoken = {0: "background", 1: "skin.png", 2: "Left Eyebrow", 3: "upper lip", 4: "eyeglasses"}
    assert [LABELS[k] for k in label_of_channels(spoken, "m")] == ["background", "skin", "l_brow", "u_lip", "glasses"]


def test_classes_without_names_or_with_strange_ones(tmp_path: Path) -> None:
    refused(FileFormatError, "names no classes", model=str(saved(tiny(("LABEL_0", "LABEL_1")), tmp_path / "a")))
    refused(FileFormatError, "'tree' is none of", model=str(saved(tiny(("background", "tree")), tmp_path / "b")))
    refused(
        FileFormatError,
        "none of its classes is the background",
        model=str(saved(tiny(("skin", "hair")), tmp_path / "c")),
    )


def test_folders_that_hold_no_model(tmp_path: Path, random_model: Path) -> None:
    refused(InputError, "no such folder", model=str(tmp_path / "nothing"))
    refused(InputError, "no such folder", model="./face-parsing")
    refused(InputError, r"no config\.json there", model=str(tmp_path))
    without = tmp_path / "without"
    shutil.copytree(random_model, without)
    (without / "model.safetensors").unlink()
    refused(InputError, r"no model\.safetensors there", model=str(without))


def test_damaged_files(tmp_path: Path, random_model: Path) -> None:
    for name, file, data in (
        ("cut", "model.safetensors", None),
        ("json", "config.json", b"{"),
        ("type", "config.json", b"{}"),
    ):
        shutil.copytree(random_model, tmp_path / name)
        chosen = tmp_path / name / file
        chosen.write_bytes(chosen.read_bytes()[:1000] if data is None else data)
        refused(FileFormatError, "not a model that transformers can load", model=str(tmp_path / name))


def test_a_net_without_its_last_layers_is_not_used_as_if_it_had_them(tmp_path: Path) -> None:
    """transformers would fill them with random numbers."""
    model = tiny()
    saved(model, tmp_path / "backbone")
    model.segformer.save_pretrained(tmp_path / "backbone")
    config = json.loads((tmp_path / "backbone" / "config.json").read_text())
    assert config["architectures"] == ["SegformerModel"]
    refused(FileFormatError, "its weights lack decode_head", model=str(tmp_path / "backbone"))


def test_options_out_of_range(random_model: Path) -> None:
    refused(InputError, "option 'size' of 'face-parsing' is 8", model=str(random_model), size=8)
    refused(EnvironmentProblem, "'abacus' cannot be used", model=str(random_model), device="abacus")
    with pytest.raises(InputError, match="did you mean 'margin'"):
        registry().create("segmenter", "face-parsing", {"margins": 1.0})


def test_without_transformers(monkeypatch: pytest.MonkeyPatch, random_model: Path) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    refused(MissingDependency, "pip install avatarkit-face-parsing", model=str(random_model))


def test_which_model(monkeypatch: pytest.MonkeyPatch, random_model: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert model_source("").name == "jonathandinu/face-parsing" and not model_source("").local
    assert "downloaded on first use" in face_parser().found
    monkeypatch.setenv(VARIABLE, str(random_model))
    assert model_source("").local and "a folder" in face_parser().found
    assert model_source("other/model").name == "other/model"
    monkeypatch.setenv(VARIABLE, "/nowhere/at/all")
    assert not face_parser().ok and "no such folder" in face_parser().found


@pytest.fixture
def hub(random_model: Path) -> Iterator[ModelHub]:
    with serving_model("faces/tiny", files_below(random_model)) as server:
        yield server


FETCH = """
import os, sys
from avatarkit_face_parsing.options import FaceParsingConfig
from avatarkit_face_parsing.parser import FaceParser
from avatarkit.errors import AvatarkitError
for name in sys.argv[1:]:
    if name == "offline":
        os.environ["HF_HUB_OFFLINE"] = "1"
        continue
    try:
        part = FaceParser(FaceParsingConfig(model=name, size=64))
        print("made", float(sum(p.double().sum() for p in part._model.parameters())))
    except AvatarkitError as error:
        print(type(error).__name__, error)
"""


def test_a_name_on_the_hub_is_fetched_once_and_then_needs_no_network(
    hub: ModelHub, tmp_path: Path, random_model: Path
) -> None:
    """The real client against a local server: one model, twice, one that is not there, a folder; then without the network."""
    env = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    env.pop("HF_HUB_OFFLINE", None)
    names = ["faces/tiny", "faces/tiny", "faces/none", str(random_model), "offline", "faces/tiny", "faces/other"]
    done = subprocess.run([sys.executable, "-c", FETCH, *names], env=env, capture_output=True, text=True, timeout=200)
    lines = done.stdout.splitlines()
    assert len(lines) == 6, done.stdout + done.stderr
    assert lines[0].startswith("made") and lines[0] == lines[1] == lines[3] == lines[4]
    assert lines[2].startswith("EnvironmentProblem faces/none: the model could not be fetched from the hub")
    assert lines[5].startswith("EnvironmentProblem faces/other: not on this machine, and HF_HUB_OFFLINE forbids")
    assert sum(line.startswith("GET") and line.endswith("/model.safetensors") for line in hub.asked) == 1
    assert not any("random" in line or "other" in line for line in hub.asked)  # a folder is looked for nowhere else


def test_threads_are_left_alone(random_model: Path) -> None:
    before = torch.get_num_threads()
    FaceParser(FaceParsingConfig(model=str(random_model), size=64))
    assert torch.get_num_threads() == before
