"""Options of the editor; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Ip2pConfig:
    """Settings of InstructPix2Pix."""

    model: str = ""
    """A folder that diffusers' save_pretrained wrote, or a name on the Hugging Face hub, which is downloaded once.  Default: what
    AVATARKIT_IP2P says, else timbrooks/instruct-pix2pix."""
    size: int = 512
    """Pixels of the longer side of what the model is shown, a multiple of 8.  The picture keeps its shape; its edges are repeated
    until the model's grids come out even."""
    steps: int = 20
    """Denoising steps of a full schedule; an edit that starts lower takes its part of them, at least two."""
    guidance: float = 7.5
    """How strongly the instruction is followed: s_T of InstructPix2Pix."""
    image_guidance: float = 1.5
    """How strongly the picture is kept: s_I of InstructPix2Pix."""
    share: Literal["correspondence", "extended", "none"] = "correspondence"
    """What views tell each other.  ``correspondence``: views that show the same parts of the head attend to each other, and places
    that are the same point of the head are averaged.  ``extended``: all views attend to all.  ``none``: each is painted alone."""
    reach: float = 0.02
    """How far apart on the neutral head two places may lie to count as the same, metres."""
    grow: int = 1
    """Latent pixels (of 8 pixels each) by which the mask is widened while painting; the result is cut with the mask itself."""
    batch: int = 4
    """Views that the model sees at once, each three times (for guidance).  With more views the first ones lead the rest."""
    dtype: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """Precision of the networks: ``auto`` is fp16 on CUDA, else fp32."""
    device: str = "auto"
    """``auto``: the GPU where there is one; or a device of torch, such as ``cpu`` or ``cuda:1``."""
    offload: bool = False
    """Keep only the network that works on the GPU, the others in main memory: slower, for small GPUs.  Needs CUDA and accelerate."""
