"""What can be wrong with a model is one line that says what to do; nothing is fetched unless that was asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from avatarkit_learned_metrics.loading import loaded
from avatarkit_learned_metrics.provider import chosen_model
from avatarkit_learned_metrics.source import CLIP, OWLV2, Kind, label, model_source
from safetensors.torch import load_file, save_file

from avatarkit.errors import (
    AvatarkitError,
    EnvironmentProblem,
    FileFormatError,
    InputError,
    MissingAsset,
    MissingDependency,
)
from avatarkit.testing import conformance
from avatarkit.testing.model_hub import ModelHub, files_below, serving_model

from .conftest import owlv2_processor, plugin_registry, saved_clip

pytest.importorskip("transformers", reason="transformers is not installed")
PLUGIN = Path(__file__).resolve().parents[1]


def refused(
    error: type[AvatarkitError], match: str, model: str | Path, kind: Kind = CLIP, **options: bool | str
) -> None:
    with pytest.raises(error, match=match) as caught:
        loaded(kind, str(model), **{"download": False, "device": "cpu", **options})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def copied(folder: Path, place: Path) -> Path:
    return Path(shutil.copytree(folder, place))


def test_no_model_is_chosen_for_anybody(monkeypatch: pytest.MonkeyPatch, clip_folder: Path) -> None:
    monkeypatch.delenv("AVATARKIT_CLIP", raising=False)
    refused(
        MissingAsset, "'clip-direction' needs a model and chooses none by itself; name a folder .* AVATARKIT_CLIP", ""
    )
    provider = plugin_registry().get("metric", "clip-direction")
    assert [(r.ok, r.skipped) for r in conformance.check(provider, "metric")] == [(True, True)]
    assert chosen_model(CLIP).ok and "no model chosen (AVATARKIT_CLIP)" in chosen_model(CLIP).found
    monkeypatch.setenv("AVATARKIT_CLIP", str(clip_folder))
    assert model_source(CLIP, "").local and "random-clip (a folder)" in chosen_model(CLIP).found
    assert model_source(CLIP, "other/model").name == "other/model"
    monkeypatch.setenv("AVATARKIT_CLIP", "/nowhere/at/all")
    assert not chosen_model(CLIP).ok and "no such folder" in chosen_model(CLIP).found


def test_folders_that_hold_no_model(tmp_path: Path, clip_folder: Path) -> None:
    refused(InputError, "no such folder", tmp_path / "nothing")
    refused(InputError, "no such folder", "./clip")
    refused(InputError, r"no config\.json there", tmp_path)
    for name, words in (
        ("model.safetensors", r"no model\.safetensors there; expected a folder"),
        ("processor_config.json", r"no preprocessor_config\.json there"),
        ("tokenizer.json", r"no tokenizer\.json there"),
    ):
        without = copied(clip_folder, tmp_path / name)
        (without / name).unlink()
        refused(InputError, words, without)
    (tmp_path / "model.safetensors" / "pytorch_model.bin").write_bytes(b"no")
    refused(InputError, "its weights are pickles, which are not read", tmp_path / "model.safetensors")


def test_a_model_of_another_type(clip_folder: Path, random_owl: Path) -> None:
    refused(
        FileFormatError, "holds a model of type 'owlv2'; metric 'clip-direction' needs one of type 'clip'", random_owl
    )
    refused(
        FileFormatError, "holds a model of type 'clip'; metric 'owlv2' needs one of type 'owlv2'", clip_folder, OWLV2
    )


def test_damaged_files(tmp_path: Path, clip_folder: Path) -> None:
    cut = copied(clip_folder, tmp_path / "cut")
    weights = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    refused(FileFormatError, "cut: not a model that transformers can load", cut)
    strange = copied(clip_folder, tmp_path / "strange")
    (strange / "config.json").write_text('{"model_type": "abacus"}')
    refused(FileFormatError, "strange: not a model that transformers can load", strange)
    poor = copied(clip_folder, tmp_path / "poor")
    kept = load_file(poor / "model.safetensors")
    del kept["visual_projection.weight"]
    save_file(kept, poor / "model.safetensors", metadata={"format": "pt"})
    refused(FileFormatError, "its weights lack visual_projection", poor)


def test_settings_of_another_model(tmp_path: Path, clip_folder: Path) -> None:
    refused(
        FileFormatError,
        "its picture settings make 32x32 pixels and its weights take 64x64",
        saved_clip(tmp_path / "a", side=32),
    )
    more = copied(clip_folder, tmp_path / "b")
    processor = owlv2_processor()
    processor.tokenizer.add_tokens([f"extra{k}" for k in range(9)])
    processor.tokenizer.save_pretrained(more)
    refused(FileFormatError, r"its tokenizer has \d+ tokens and its weights know \d+", more)


def test_a_device_that_is_not_there(clip_folder: Path) -> None:
    refused(
        EnvironmentProblem, "option 'device' of 'clip-direction': 'abacus' cannot be used", clip_folder, device="abacus"
    )


def test_without_transformers(monkeypatch: pytest.MonkeyPatch, clip_folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    refused(MissingDependency, "pip install avatarkit-learned-metrics", clip_folder)


def test_a_folder_is_called_by_its_name_and_its_weights_sum(tmp_path: Path, clip_folder: Path) -> None:
    import hashlib

    sha256 = hashlib.sha256((clip_folder / "model.safetensors").read_bytes()).hexdigest()
    assert label(model_source(CLIP, str(clip_folder))) == f"random-clip, {sha256[:8]}"
    assert label(model_source(CLIP, "openai/clip-vit-large-patch14")) == "openai/clip-vit-large-patch14"


def test_weights_are_float32_and_frozen(clip_folder: Path) -> None:
    half = loaded(CLIP, str(clip_folder), download=False, device="cpu").model
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in half.parameters()) and not half.training


def test_the_entry_module_is_light_and_named_by_the_distribution() -> None:
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["avatarkit"] == {"learned-metrics": "avatarkit_learned_metrics.provider"}
    code = (
        "import sys, avatarkit_learned_metrics.provider as p, avatarkit_learned_metrics.options; "
        "print([x.name for x in p.avatarkit_metrics()], [c.name for c in p.avatarkit_checks() if c.check().ok], "
        "[m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    env = {name: value for name, value in os.environ.items() if name not in ("AVATARKIT_CLIP", "AVATARKIT_OWLV2")}
    env["PYTHONPATH"] = os.pathsep.join([str(PLUGIN), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "['clip-direction', 'owlv2'] ['clip-direction', 'owlv2'] []"


@pytest.fixture
def hub(clip_folder: Path) -> Iterator[ModelHub]:
    """A model with pickles beside it, which must not be fetched."""
    files = files_below(clip_folder)
    files["pytorch_model.bin"] = files["tf_model.h5"] = files["config.json"]
    with serving_model("clips/tiny", files) as server:
        yield server


FETCH = """
import os, sys, urllib.request
from avatarkit.errors import AvatarkitError
from avatarkit_learned_metrics.loading import loaded
from avatarkit_learned_metrics.source import CLIP
for word in sys.argv[1:]:
    if word == "offline":
        os.environ["HF_HUB_OFFLINE"] = "1"
        continue
    if word == "mark":
        urllib.request.urlopen(urllib.request.Request(os.environ["HF_ENDPOINT"] + "/api/models/clips/tiny?mark")).read()
        continue
    name, _, download = word.partition("+")
    try:
        made = loaded(CLIP, name, download=bool(download), device="cpu")
        print("made", made.label, float(sum(p.double().sum() for p in made.model.parameters())))
    except AvatarkitError as error:
        print(type(error).__name__, error)
"""


def test_the_hub_is_asked_once_and_only_when_told_to(hub: ModelHub, tmp_path: Path, clip_folder: Path) -> None:
    """The real client against a local server: not without ``download``, then with it, then from what is here."""
    env = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    env |= {"HF_HUB_DISABLE_XET": "1", "PYTHONPATH": os.pathsep.join([str(PLUGIN), *sys.path])}
    env.pop("HF_HUB_OFFLINE", None)
    words = [
        "clips/tiny",
        str(clip_folder),
        "mark",
        "clips/tiny+download",
        "mark",
        "clips/tiny",
        "clips/tiny+download",
        "mark",
    ]
    words += ["clips/none+download", "offline", "clips/tiny", "clips/other+download"]
    done = subprocess.run([sys.executable, "-c", FETCH, *words], env=env, capture_output=True, text=True, timeout=200)
    lines = done.stdout.splitlines()
    assert len(lines) == 8, done.stdout + done.stderr
    assert lines[0].startswith(
        "MissingAsset clips/tiny: not on this machine; let metric 'clip-direction' fetch it with its option"
    )
    assert lines[2].startswith("made clips/tiny ") and lines[2] == lines[3] == lines[4] == lines[6]
    assert lines[1].startswith("made random-clip, ") and lines[1].split()[-1] == lines[2].split()[-1]
    assert lines[5].startswith("EnvironmentProblem clips/none: the model could not be fetched from the hub")
    assert "name a folder: AVATARKIT_CLIP=FOLDER" in lines[5]
    assert lines[7].startswith("EnvironmentProblem clips/other: not on this machine, and HF_HUB_OFFLINE forbids")
    marks = [k for k, line in enumerate(hub.asked) if line.endswith("?mark")]
    assert marks[0] == 0 and marks[2] == marks[1] + 1  # nothing without download, nothing once it is here
    fetched = [
        line.rpartition("/")[2] for line in hub.asked[: marks[1]] if line.startswith("GET") and "/resolve/" in line
    ]
    assert sorted(fetched) == sorted(path.name for path in clip_folder.iterdir())  # no pickles, each file once
    assert "downloading the model clips/tiny from the Hugging Face hub, once; no picture is sent" in done.stderr
