"""What can be wrong with a model is one line that says what to do; folders are never looked for on the network."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from avatarkit_ip2p import editor as ip2p_editor
from avatarkit_ip2p.editor import Ip2pEditor
from avatarkit_ip2p.options import Ip2pConfig
from avatarkit_ip2p.provider import instruct_pix2pix
from avatarkit_ip2p.source import NEEDED, VARIABLE, model_source
from safetensors.torch import load_file, save_file

from avatarkit.errors import AvatarkitError, EnvironmentProblem, FileFormatError, InputError, MissingDependency
from avatarkit.events import Run
from avatarkit.registry import registry
from avatarkit.testing.model_hub import ModelHub, files_below, serving_model

from .conftest import blocks, edited, editor, saved, square, step, tiny


def refused(kind: type[AvatarkitError], match: str, **options: Any) -> None:
    """Making the editor or its first edit raises ``kind`` in one line."""
    with pytest.raises(kind, match=match) as caught:
        edited(Ip2pEditor(Ip2pConfig(**{"size": 32, "steps": 2, **options})), blocks(1), square(1), step(1))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def copied(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder)
    return folder


def test_folders_that_hold_no_model(tmp_path: Path, tiny_model: Path) -> None:
    refused(InputError, "no such folder", model=str(tmp_path / "nothing"))
    refused(InputError, "no such folder", model="./ip2p")
    refused(InputError, r"no unet/config\.json there; expected a folder", model=str(tmp_path))
    for name in NEEDED:
        folder = copied(tiny_model, tmp_path / name.replace("/", "-"))
        (folder / name).unlink()
        refused(InputError, f"no {name} there", model=str(folder))


def test_pickles_are_not_read(tmp_path: Path, tiny_model: Path) -> None:
    folder = copied(tiny_model, tmp_path / "pickles")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    refused(InputError, "its weights are pickles, which are not read", model=str(folder))


def test_damaged_files(tmp_path: Path, tiny_model: Path) -> None:
    for part, file, data in (
        ("unet", "diffusion_pytorch_model.safetensors", None),
        ("text_encoder", "model.safetensors", None),
        ("vae", "config.json", b"{"),
        ("tokenizer", "tokenizer.json", b"{}"),
        ("scheduler", "scheduler_config.json", b"{"),
    ):
        folder = copied(tiny_model, tmp_path / f"{part}-damaged")
        chosen = folder / part / file
        chosen.write_bytes(chosen.read_bytes()[:1000] if data is None else data)
        refused(FileFormatError, "diffusers can load", model=str(folder))


@pytest.mark.parametrize(
    ("part", "file", "key"),
    [
        ("unet", "diffusion_pytorch_model.safetensors", "conv_in.weight"),
        ("text_encoder", "model.safetensors", "embeddings.token_embedding.weight"),
    ],
)
def test_weights_that_are_missing_are_not_made_up(
    tmp_path: Path, tiny_model: Path, part: str, file: str, key: str
) -> None:
    """The libraries would fill them with random numbers."""
    folder = copied(tiny_model, tmp_path / "lacking")
    weights = load_file(folder / part / file)
    del weights[key]
    save_file(weights, folder / part / file, metadata={"format": "pt"})
    refused(FileFormatError, f"the weights of {part} lack {key}", model=str(folder))


def test_models_that_are_no_instruct_pix2pix(tmp_path: Path) -> None:
    refused(
        FileFormatError, "its UNet takes 4 channels; expected 8", model=str(saved(tiny(channels=4), tmp_path / "sd"))
    )
    foretells = saved(tiny(prediction_type="sample"), tmp_path / "sample")
    refused(FileFormatError, "its UNet foretells 'sample'", model=str(foretells))


def test_a_tokenizer_that_reads_all_words_alike(tmp_path: Path, tiny_model: Path) -> None:
    """As one is that was made of a vocabulary file that it took no notice of."""
    folder = copied(tiny_model, tmp_path / "mute")
    file = folder / "tokenizer" / "tokenizer.json"
    data = json.loads(file.read_text())
    data["model"]["vocab"] = {word: k for word, k in data["model"]["vocab"].items() if k < 2}
    file.write_text(json.dumps(data))
    refused(FileFormatError, "reads all words alike", model=str(folder))
    data["model"]["vocab"] |= {f"{letter}</w>": 900 + k for k, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    file.write_text(json.dumps(data))
    refused(FileFormatError, "words that its text encoder of 54 does not know", model=str(folder))


def test_files_as_older_versions_wrote_them(tmp_path: Path, tiny_model: Path) -> None:
    """The model on the hub is of 2023: another scheduler, vocab.json and merges.txt, longer names in the text encoder."""
    folder = copied(tiny_model, tmp_path / "old")
    named = load_file(folder / "text_encoder" / "model.safetensors")
    older = {f"text_model.{name}": value for name, value in named.items()} | {
        "text_model.embeddings.position_ids": torch.arange(24)[None]
    }
    save_file(older, folder / "text_encoder" / "model.safetensors", metadata={"format": "pt"})
    tokenizer = folder / "tokenizer"
    vocabulary = json.loads((tokenizer / "tokenizer.json").read_text())["model"]["vocab"]
    (tokenizer / "tokenizer.json").unlink()
    (tokenizer / "vocab.json").write_text(json.dumps(vocabulary))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    scheduler = {
        "_class_name": "EulerAncestralDiscreteScheduler", "_diffusers_version": "0.12.0", "beta_start": 0.00085,
        "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "prediction_type": "epsilon",
    }  # fmt: skip
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    one, other = (edited(editor(model), blocks(1), square(1), step(1)) for model in (tiny_model, folder))
    assert torch.equal(one, other)


def test_options_out_of_range(tiny_model: Path) -> None:
    refused(InputError, "option 'size' of 'ip2p' is 8", model=str(tiny_model), size=8)
    refused(InputError, "is 100; expected a multiple of 8", model=str(tiny_model), size=100)
    refused(InputError, "option 'steps' of 'ip2p' is 1;", model=str(tiny_model), steps=1)
    refused(EnvironmentProblem, "'abacus' cannot be used", model=str(tiny_model), device="abacus")
    with pytest.raises(InputError, match="did you mean 'image_guidance'"):
        registry().create("editor", "ip2p", {"image_guidanc": 1.0})
    with pytest.raises(InputError, match="share"):
        registry().create("editor", "ip2p", {"model": str(tiny_model), "share": "everything"})


def test_offloading_without_what_it_needs(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(
        EnvironmentProblem,
        "moves networks off a CUDA device, and this one is 'cpu'",
        model=str(tiny_model),
        device="cpu",
        offload=True,
    )
    from avatarkit_ip2p import loading

    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingDependency, match=r"run: pip install 'avatarkit-ip2p\[offload\]'"):
        loading.can_offload(torch.device("cuda"))


def test_pictures_that_are_not_finite(tmp_path: Path, tiny_model: Path) -> None:
    """Weights that fp16 cannot hold the products of."""
    folder = copied(tiny_model, tmp_path / "large")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_out.weight"] *= 1e6
    save_file(weights, file, metadata={"format": "pt"})
    refused(
        EnvironmentProblem,
        "not finite in float16; set dtype=bf16 or dtype=fp32",
        model=str(folder),
        dtype="fp16",
        device="cpu",
    )


def test_too_little_memory_says_what_takes_less(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(ip2p_editor, "denoised", full)
    words = "cpu has too little memory for 6 views of 32 pixels at once; set batch=1, a smaller size, share=none or offload=true"
    refused(EnvironmentProblem, words, model=str(tiny_model), device="cpu", batch=6)


def test_without_diffusers(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    refused(MissingDependency, "pip install avatarkit-ip2p", model=str(tiny_model))


def test_a_model_of_another_kind_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub: Any = importlib.import_module("huggingface_hub")

    def snapshot_download(name: str, local_files_only: bool = False, **_: Any) -> str:
        if local_files_only:
            raise FileNotFoundError(name)
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    refused(FileFormatError, r"^edits/gguf: has no .* on the hub; expected a diffusers model", model="edits/gguf")


def test_which_model(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert model_source("").name == "timbrooks/instruct-pix2pix" and not model_source("").local
    assert "downloaded on first use" in instruct_pix2pix().found
    monkeypatch.setenv(VARIABLE, str(tiny_model))
    assert model_source("").local and "a folder" in instruct_pix2pix().found
    assert model_source("other/model").name == "other/model"
    monkeypatch.setenv(VARIABLE, "/nowhere/at/all")
    assert not instruct_pix2pix().ok and "no such folder" in instruct_pix2pix().found


@pytest.fixture
def hub(tiny_model: Path) -> Iterator[ModelHub]:
    """A model with everything that must not be fetched beside it."""
    files = files_below(tiny_model)
    files["unet/diffusion_pytorch_model.fp16.safetensors"] = files["unet/diffusion_pytorch_model.safetensors"]
    files["unet/diffusion_pytorch_model.bin"] = files["tiny.ckpt"] = files["unet/config.json"]
    with serving_model("edits/tiny", files) as server:
        yield server


FETCH = """
import os, sys
from avatarkit.errors import AvatarkitError
from avatarkit.events import Run
from avatarkit_ip2p.editor import Ip2pEditor
from avatarkit_ip2p.options import Ip2pConfig
for name in sys.argv[1:]:
    if name == "offline":
        os.environ["HF_HUB_OFFLINE"] = "1"
        continue
    told = []
    try:
        model = Ip2pEditor(Ip2pConfig(model=name, device="cpu"))._model(Run(sinks=(told.append,)))
        print("made", float(sum(p.double().sum() for p in model.unet.parameters())), [event.text for event in told])
    except AvatarkitError as error:
        print(type(error).__name__, error)
"""


def test_a_name_on_the_hub_is_fetched_once_and_then_needs_no_network(
    hub: ModelHub, tmp_path: Path, tiny_model: Path
) -> None:
    """The real client against a local server: one model, twice, one that is not there, a folder; then without the network."""
    env = {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    env.pop("HF_HUB_OFFLINE", None)
    names = ["edits/tiny", "edits/tiny", "edits/none", str(tiny_model), "offline", "edits/tiny", "edits/other"]
    done = subprocess.run([sys.executable, "-c", FETCH, *names], env=env, capture_output=True, text=True, timeout=200)
    lines = done.stdout.splitlines()
    assert len(lines) == 6, done.stdout + done.stderr
    assert (
        lines[0].startswith("made")
        and "downloading the model edits/tiny from the Hugging Face hub, once; no picture" in lines[0]
    )
    number = lines[0].split()[1]
    assert lines[1] == lines[3] == lines[4] == f"made {number} []"
    assert lines[2].startswith("EnvironmentProblem edits/none: the model could not be fetched from the hub")
    assert f"name a folder: {VARIABLE}=FOLDER" in lines[2]
    assert lines[5].startswith("EnvironmentProblem edits/other: not on this machine, and HF_HUB_OFFLINE forbids")
    fetched = [line for line in hub.asked if line.startswith("GET") and "/resolve/" in line]
    assert sum(line.endswith("/unet/diffusion_pytorch_model.safetensors") for line in fetched) == 1
    assert not any(end in line for line in fetched for end in (".bin", ".ckpt", ".fp16."))
    assert not any(
        "models/tiny" in line or "other" in line for line in hub.asked
    )  # a folder is looked for nowhere else


def test_the_first_edit_loads_and_the_next_does_not(tiny_model: Path) -> None:
    part = editor(tiny_model)
    assert part._loaded is None
    model = part._model(Run())
    edited(part, blocks(1), square(1), step(1))
    assert part._model(Run()) is model
