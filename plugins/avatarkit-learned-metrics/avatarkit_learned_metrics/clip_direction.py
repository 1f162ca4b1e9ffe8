"""Did the picture change the way the words did?  CLIP's directional similarity (Gal et al., StyleGAN-NADA, SIGGRAPH 2022), by which
Brooks et al. measure InstructPix2Pix (CVPR 2023)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from avatarkit.contracts import EditedViews, Measured
from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit_learned_metrics.loading import eight_bits, loaded
from avatarkit_learned_metrics.options import ClipDirectionConfig
from avatarkit_learned_metrics.source import CLIP

STILL = 1e-5
"""Length below which the way between two embeddings of length 1 is rounding."""


class ClipDirection:
    """``contracts.EditMetric``: the cosine between the ways from before to after of words and of pictures, a figure in [−1, 1]."""

    def __init__(self, config: ClipDirectionConfig | None = None) -> None:
        self.config = config or ClipDirectionConfig()
        if not 1 <= self.config.batch <= 1024:
            raise InputError(f"option 'batch' of 'clip-direction' is {self.config.batch}; expected 1 to 1024")
        self._with = loaded(CLIP, self.config.model, download=self.config.download, device=self.config.device)

    def score(self, edit: EditedViews, run: Run) -> tuple[Measured, ...]:
        """One figure, 0 for a view that did not change; none for an edit that has no words of its own, such as an expression."""
        if edit.source_caption == edit.target_caption:
            return ()
        texts, pictures = self._embeddings(
            [edit.source_caption, edit.target_caption], torch.cat([edit.before, edit.after]), run
        )
        wanted = texts[1] - texts[0]
        before, after = pictures.chunk(2)
        ways = after - before
        same = (eight_bits(edit.before) == eight_bits(edit.after)).flatten(1).all(1)  # whatever batches do to rounding
        still = same | (ways.norm(dim=1) < STILL) | (wanted.norm() < STILL)
        cosines = torch.where(still, 0.0, normalize(ways, dim=1) @ normalize(wanted, dim=0))
        return (Measured(f"clip-direction ({self._with.label})", tuple(cosines.clamp(-1, 1).tolist())),)

    def _embeddings(self, texts: list[str], pictures: Tensor, run: Run) -> tuple[Tensor, Tensor]:
        """Of length 1: (T, D) and (B, D), float64."""
        words = self._with.texts(texts)
        found, parts = torch.empty(0), []
        for some in pictures.split(self.config.batch):
            if run.stopping:
                raise KeyboardInterrupt
            with torch.inference_mode():
                out = self._with.model(pixel_values=self._with.pixels(some), **words)
            found = out.text_embeds.cpu().double()
            parts.append(out.image_embeds.cpu().double())
        return normalize(found, dim=1), normalize(torch.cat(parts), dim=1)
