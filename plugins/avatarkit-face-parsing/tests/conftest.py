"""Tiny SegFormers, saved as transformers saves them: one of random weights, and one that knows colours.

The second is a random net too but for its last layer, which is fitted by least squares to rectangles on grey: each class that
``COLOURS`` names has a colour, and what has none of them is the background.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

NAMES = (
    "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip",
    "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
COLOURS = {"background": (1.0, 1.0, 1.0), "skin": (0.5, 0.5, 0.5), "l_eye": (1.0, 0.0, 0.0), "r_eye": (0.0, 1.0, 0.0), "ear_r": (0.0, 0.0, 1.0)}  # fmt: skip


def tiny(names: tuple[str, ...] = NAMES, seed: int = 0) -> Any:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    torch.manual_seed(seed)
    id2label = dict(enumerate(names))
    config = SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[16, 16, 16, 16], num_attention_heads=[1, 1, 1, 1], decoder_hidden_size=192,
        id2label=id2label, label2id={name: k for k, name in id2label.items()}, initializer_range=0.2,
    )  # fmt: skip
    return SegformerForSemanticSegmentation(config).eval()


def saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tiny(), tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="session")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tiny()
    seen: list[torch.Tensor] = []
    hook = model.decode_head.classifier.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    draw = torch.Generator().manual_seed(1)
    palette, channels = torch.tensor(list(COLOURS.values())), torch.tensor([NAMES.index(name) for name in COLOURS])
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    classes = torch.full(
        (160, 24, 24), list(COLOURS).index("skin")
    )  # a quarter of the picture's 96 pixels, as the net's output
    for picture in classes[:95]:
        for _ in range(int(torch.randint(1, 5, (1,), generator=draw))):
            (top, left), (high, wide) = torch.randint(0, 22, (2, 2), generator=draw).tolist()
            picture[top : top + 2 + high // 3, left : left + 2 + wide // 3] = int(
                torch.randint(5, (1,), generator=draw)
            )
    pictures = ((palette[classes] - mean) / std).permute(0, 3, 1, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)
    with torch.no_grad():
        model(pixel_values=pictures)
        hook.remove()
        features = seen[0].permute(0, 2, 3, 1).reshape(-1, seen[0].shape[1])
        wanted = torch.full((len(features), len(NAMES)), -5.0)
        wanted[torch.arange(len(features)), channels[classes.reshape(-1)]] = 5.0
        known = torch.cat([features, torch.ones(len(features), 1)], 1).double()
        fit = torch.linalg.lstsq(known, wanted.double()).solution.float()
        model.decode_head.classifier.weight.copy_(fit[:-1].T[:, :, None, None])
        model.decode_head.classifier.bias.copy_(fit[-1])
    return saved(model, tmp_path_factory.mktemp("models") / "colour")
