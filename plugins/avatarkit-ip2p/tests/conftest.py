"""Tiny InstructPix2Pix pipelines, saved as diffusers saves them: UNet and text encoder of random weights, and a VAE that is known.

Its weights are written by hand so that three latents are the mean colours of 2 × 2 pixels, in [−1, 1], and decoding repeats them.
What an edit does to latents can then be read from pictures, and the other way round.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
import torch
from avatarkit_ip2p.editor import Ip2pEditor
from avatarkit_ip2p.options import Ip2pConfig
from torch import Tensor

from avatarkit.contracts import Correspondences, EditStep
from avatarkit.edit.plan import KeyframeText, Operation
from avatarkit.events import Run
from avatarkit.testing.scenes import cameras

LENGTH = 24  # tokens
SCALING = 2.0


def blocks(count: int, side: int = 32, seed: int = 0) -> Tensor:
    """(count, 3, side, side) pictures in [0.1, 0.9] whose 2 × 2 pixels have one colour: the VAE gives them back."""
    colours = torch.rand(count, 3, side // 2, side // 2, generator=torch.Generator().manual_seed(seed))
    return (0.1 + 0.8 * colours).repeat_interleave(2, 2).repeat_interleave(2, 3)


def known_vae() -> Any:
    """Latents 0, 1, 2 are mean red, green, blue of 2 × 2 pixels, 3 is 0; to about 1e-4.

    GroupNorm and SiLU stand in the way: a pair of channels at ±100 makes the norm's deviation all but constant, and far from zero
    SiLU is the identity.  Residual blocks and attention add nothing.
    """
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        block_out_channels=[16, 16], down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=4, norm_num_groups=1, scaling_factor=SCALING,
    ).eval()  # fmt: skip
    large, gain, far = 100.0, 100.0, 20.0
    deviation = large * (10 / 16) ** 0.5  # of 5 channels at +large, 5 at −large, 6 near 0
    with torch.no_grad():
        for name, weight in vae.named_parameters():
            if "norm" not in name:
                weight.zero_()
        for coder in (vae.encoder, vae.decoder):
            for k in range(3):
                coder.conv_in.weight[k, k, 1, 1], coder.conv_in.weight[3 + k, k, 1, 1] = 1.0, -1.0
                coder.conv_out.weight[k, k, 1, 1] = deviation / gain
                coder.conv_out.bias[k] = -far * deviation / gain
            coder.conv_in.bias[6:11], coder.conv_in.bias[11:16] = large, -large
            coder.conv_norm_out.weight.fill_(gain)
            coder.conv_norm_out.bias.fill_(far)
        for k in range(16):
            vae.encoder.down_blocks[0].downsamplers[0].conv.weight[k, k, :2, :2] = 0.25
            vae.decoder.up_blocks[0].upsamplers[0].conv.weight[k, k, 1, 1] = 1.0
        for k in range(8):
            vae.quant_conv.weight[k, k] = 1.0
        for k in range(4):
            vae.post_quant_conv.weight[k, k] = 1.0
    return vae


def tiny(channels: int = 8, **training: Any) -> Any:
    """A StableDiffusionInstructPix2PixPipeline of some hundred thousand weights."""
    from diffusers import DDIMScheduler, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    words = ["<|startoftext|>", "<|endoftext|>", *string.ascii_lowercase, *(f"{c}</w>" for c in string.ascii_lowercase)]
    # of a vocabulary in a file CLIPTokenizer takes no notice since transformers 5: all words would be one
    tokenizer = CLIPTokenizer(vocab={word: k for k, word in enumerate(words)}, merges=[], model_max_length=LENGTH)
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=channels, out_channels=4, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=16, attention_head_dim=4,
        norm_num_groups=8,
    )  # fmt: skip
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=LENGTH,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, **training)
    return StableDiffusionInstructPix2PixPipeline(
        known_vae(), text_encoder, tokenizer, unet, scheduler, None, None, requires_safety_checker=False
    )


def saved(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tiny(), tmp_path_factory.mktemp("models") / "tiny")


def editor(model: Path, **options: Any) -> Ip2pEditor:
    """Small and quick; what the options do not say is as it comes."""
    return Ip2pEditor(Ip2pConfig(model=str(model), **{"size": 32, "steps": 4, "grow": 0, "device": "cpu", **options}))


def square(count: int, side: int = 32, low: int = 8, high: int = 24) -> Tensor:
    """(count, 1, side, side): 1 in the rows and columns low … high − 1."""
    masks = torch.zeros(count, 1, side, side)
    masks[:, :, low:high, low:high] = 1.0
    return masks


def step(count: int, words: str = "red hair", negative: str = "", **fields: Any) -> EditStep:
    operation = Operation("restyle", "hair", prompt=words, source_caption="a head", target_caption="a red head")
    texts = tuple(KeyframeText(f"k{at}", words, f"a {words} head", negative) for at in range(count))
    return EditStep(fields.pop("operation", operation), texts, **fields)


def edited(
    part: Ip2pEditor,
    views: Tensor,
    masks: Tensor,
    said: EditStep,
    seed: int = 1,
    run: Run | None = None,
    references: Tensor | None = None,
    correspondences: Correspondences | None = None,
) -> Tensor:
    return part.edit(
        views, masks, said, references=references, cameras=cameras(len(views), views.shape[-1], views.shape[-2]),
        correspondences=correspondences, seed=seed, run=run or Run(),
    )  # fmt: skip
