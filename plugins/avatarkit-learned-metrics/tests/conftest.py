"""Tiny models, saved as transformers saves them: CLIP and OWLv2 of random weights, and an OWLv2 that knows colours.

The last is random too but for three layers: its text projection makes the texts of ``SAID`` orthogonal, its class head is fitted by
least squares to give each of them a colour, and its box head says nothing, so that every box is a cell of the grid.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from avatarkit.discovery import Source, _load
from avatarkit.registry import Registry

SIDE, PATCH, LENGTH, WIDTH = 64, 8, 32, 48
GRID = SIDE // PATCH
SAID = {"a red hat": (1.0, 0.0, 0.0), "a face": (0.0, 0.0, 1.0), "an earring": (0.0, 1.0, 0.0)}
WORDS = ["!", *(c + end for c in string.ascii_lowercase + string.digits for end in ("", "</w>"))]
WORDS += ["<|startoftext|>", "<|endoftext|>"]


def plugin_registry() -> Registry:
    """A registry of this plugin alone, installed or not."""
    return Registry(
        [_load(Source("learned-metrics", "avatarkit_learned_metrics.provider", "avatarkit-learned-metrics", "0"))]
    )


def tokenizer(pad: str) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer(
        vocab={word: k for k, word in enumerate(WORDS)}, merges=[], pad_token=pad, model_max_length=LENGTH
    )


def text_config(pad: int) -> dict[str, int]:
    return {
        "vocab_size": len(WORDS), "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "max_position_embeddings": LENGTH, "bos_token_id": len(WORDS) - 2, "eos_token_id": len(WORDS) - 1, "pad_token_id": pad,
    }  # fmt: skip


def vision_config(**changes: int) -> dict[str, int]:
    return {
        "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": SIDE,
        "patch_size": PATCH, **changes,
    }  # fmt: skip


def saved_clip(folder: Path, seed: int = 0, side: int = SIDE) -> Path:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    torch.manual_seed(seed)
    last = len(WORDS) - 1
    config = CLIPConfig(text_config=text_config(last), vision_config=vision_config(), projection_dim=24)
    CLIPModel(config).eval().save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    CLIPProcessor(pictures, tokenizer("<|endoftext|>")).save_pretrained(folder)
    return folder


def owlv2(seed: int = 0) -> Any:
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    torch.manual_seed(seed)
    config = Owlv2Config(text_config=text_config(0), vision_config=vision_config(), projection_dim=WIDTH)
    return Owlv2ForObjectDetection(config).eval()


def owlv2_processor() -> Any:
    from transformers import Owlv2ImageProcessor, Owlv2Processor

    return Owlv2Processor(Owlv2ImageProcessor(size={"height": SIDE, "width": SIDE}), tokenizer("!"))


def saved_owlv2(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    owlv2_processor().save_pretrained(folder)
    return folder


def painted(cells: Tensor) -> Tensor:
    """(B, GRID, GRID) colour numbers, 0 grey → (B, 3, SIDE, SIDE)."""
    palette = torch.tensor([(0.5, 0.5, 0.5), *SAID.values()])
    return palette[cells].permute(0, 3, 1, 2).repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)


def picture(**places: tuple[int, int]) -> Tensor:
    """(3, SIDE, SIDE): grey, with one cell (row, column) of red for hat, blue for face, green for ring."""
    cells = torch.zeros(1, GRID, GRID, dtype=torch.long)
    for name, (row, column) in places.items():
        cells[0, row, column] = ("hat", "face", "ring").index(name) + 1
    return painted(cells)[0]


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_clip(tmp_path_factory.mktemp("models") / "random-clip")


@pytest.fixture(scope="session")
def random_owl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_owlv2(owlv2(), tmp_path_factory.mktemp("models") / "random-owl")


@pytest.fixture(scope="session")
def colour_owl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, processor = owlv2(), owlv2_processor()
    texts = processor.tokenizer([f"image of {thing}" for thing in SAID], padding="max_length", return_tensors="pt")
    texts = {name: texts[name] for name in ("input_ids", "attention_mask")}
    draw = torch.Generator().manual_seed(1)
    classes = torch.randint(0, len(SAID) + 1, (96, GRID, GRID), generator=draw)
    classes *= torch.rand(classes.shape, generator=draw) < torch.rand(len(classes), 1, 1, generator=draw)
    with torch.no_grad():
        pooled = model.owlv2.text_model(**texts).pooler_output.double()
        axes = torch.eye(WIDTH, dtype=torch.float64)[: len(SAID) + 1]  # the last is what grey is
        model.owlv2.text_projection.weight.copy_(torch.linalg.lstsq(pooled, axes[:-1]).solution.T.float())
        pixels = processor.image_processor(images=list((painted(classes) * 255).to(torch.uint8)), return_tensors="pt")
        features = model.image_embedder(pixel_values=pixels["pixel_values"])[0].reshape(-1, WIDTH).double()
        known = torch.cat([features, torch.ones(len(features), 1)], 1)
        fit = torch.linalg.lstsq(known, axes[classes.reshape(-1) - 1]).solution.float()
        head = model.class_head
        head.dense0.weight.copy_(fit[:-1].T)
        head.dense0.bias.copy_(fit[-1])
        for layer, value in ((head.logit_shift, -0.7), (head.logit_scale, 19.0)):  # sigmoid(20 · (cosine − 0.7))
            layer.weight.zero_()
            layer.bias.fill_(value)
        model.box_head.dense2.weight.zero_()
        model.box_head.dense2.bias.zero_()
    return saved_owlv2(model, tmp_path_factory.mktemp("models") / "colour-owl")
