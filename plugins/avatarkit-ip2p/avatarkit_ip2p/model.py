"""The networks of InstructPix2Pix, and what is asked of them: encode, decode, put words in numbers, foretell the noise.

Brooks et al., InstructPix2Pix, CVPR 2023.  Networks work in ``dtype`` on ``device``; what goes in and comes out is float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avatarkit.errors import FileFormatError
from avatarkit_ip2p.sharing import Link

BRANCHES = 3  # words and picture, picture alone, neither


@dataclass
class Model:
    """unet, vae, text_encoder, tokenizer: of diffusers and transformers.  alphas: (T,) float64, the share ᾱ_t of the picture's
    variance at each training time.  velocity: the UNet foretells v (Salimans and Ho, ICLR 2022) and not the noise.  link: through
    which the UNet's self-attention is told what views share.  pipeline: of diffusers, where it moves the networks; else None."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    alphas: Tensor
    velocity: bool
    link: Link
    device: torch.device
    dtype: torch.dtype
    pipeline: Any = None

    @property
    def scaling(self) -> float:
        """Latents that are denoised are the encoder's times this; those that the UNet is shown are the encoder's own."""
        return float(self.vae.config.scaling_factor)

    @property
    def cell(self) -> int:
        """Pixels for each latent pixel, on a side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def levels(self) -> int:
        """Resolutions of the UNet, each half the one before."""
        return len(self.unet.config.block_out_channels)

    def encoded(self, pictures: Tensor, batch: int) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 4, H/cell, W/cell), unscaled: the mode, as the UNet was trained to see it."""
        parts = [
            self.vae.encode((2.0 * some - 1.0).to(self.device, self.dtype)).latent_dist.mode().float()
            for some in pictures.split(batch)
        ]
        return torch.cat(parts)

    def decoded(self, latents: Tensor, batch: int) -> Tensor:
        """(B, 4, h, w) scaled latents → (B, 3, h·cell, w·cell); a picture where the model did well, so not clamped."""
        parts = [
            self.vae.decode((some / self.scaling).to(self.device, self.dtype), return_dict=False)[0].float()
            for some in latents.split(batch)
        ]
        return torch.cat(parts) / 2.0 + 0.5

    def tokens(self, texts: Sequence[str]) -> tuple[Tensor, list[bool]]:
        """(B, L) ids, and which of the texts were too long for them."""
        length = self.longest
        given = {"padding": "max_length", "max_length": length, "truncation": True, "return_tensors": "pt"}
        cut = [len(self.tokenizer(text).input_ids) > length for text in texts]
        return self.tokenizer(list(texts), **given).input_ids, cut

    @property
    def longest(self) -> int:
        """How many tokens the text encoder reads."""
        return min(int(self.tokenizer.model_max_length), int(self.text_encoder.config.max_position_embeddings))

    def embedded(self, texts: Sequence[str]) -> Tensor:
        """(B, L, C), in the networks' dtype."""
        ids, _ = self.tokens(texts)
        return self.text_encoder(ids.to(self.device))[0].to(self.dtype)

    def noise(
        self, latents: Tensor, shown: Tensor, time: int, words: Tensor, guidance: float, image_guidance: float
    ) -> Tensor:
        """What the UNet takes for noise in ``latents`` (B, 4, h, w) at ``time``, guided by words and picture (eq. 3):

            e(z, ∅, ∅) + s_I·(e(z, c_I, ∅) − e(z, ∅, ∅)) + s_T·(e(z, c_I, c_T) − e(z, c_I, ∅))

        shown (B, 4, h, w): c_I; words (2, B, L, C): c_T and what stands for ∅, the negative words.  For a model that foretells v
        the same is done with v.
        """
        wanted, unwanted = words
        given = torch.cat([latents.repeat(BRANCHES, 1, 1, 1), torch.cat([shown, shown, torch.zeros_like(shown)])], 1)
        states = torch.cat([wanted, unwanted, unwanted])
        found = self.unet(given.to(self.dtype), time, encoder_hidden_states=states, return_dict=False)[0].float()
        full, picture, neither = found.chunk(BRANCHES)
        return neither + image_guidance * (picture - neither) + guidance * (full - picture)

    def release(self) -> None:
        """Let go of the GPU between edits, where networks are moved."""
        if self.pipeline is not None:
            self.pipeline.maybe_free_model_hooks()


def checked(model: Model, name: str) -> Model:
    """``model``, if it is an InstructPix2Pix that can read.  Raises FileFormatError."""
    channels, expected = int(model.unet.config.in_channels), 2 * int(model.vae.config.latent_channels)
    if channels != expected:
        raise FileFormatError(
            f"{name}: its UNet takes {channels} channels; expected {expected}, latents and a picture: an InstructPix2Pix model"
        )
    ids, _ = model.tokens(("red hair", "a blue hat"))
    if torch.equal(ids[0], ids[1]):
        raise FileFormatError(f"{name}: its tokenizer reads all words alike; expected CLIP's vocabulary in tokenizer/")
    if int(ids.max()) >= int(model.text_encoder.config.vocab_size):
        raise FileFormatError(
            f"{name}: its tokenizer has words that its text encoder of {model.text_encoder.config.vocab_size} does not know"
        )
    return model
