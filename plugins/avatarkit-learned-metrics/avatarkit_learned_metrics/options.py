"""Options of the metrics; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClipDirectionConfig:
    """Settings of the CLIP direction."""

    model: str = ""
    """A folder that transformers' save_pretrained wrote, or a name on the Hugging Face hub.  Default: what AVATARKIT_CLIP says; no model
    is chosen for you."""
    download: bool = False
    """Fetch a model of the hub that is not on this machine."""
    batch: int = 8
    """Pictures that the model sees at once."""
    device: str = "auto"
    """``auto``: the GPU where there is one; or a device of torch, such as ``cpu`` or ``cuda:1``."""


@dataclass(frozen=True)
class Owlv2Config:
    """Settings of the detector.  Thresholds are those of the published benchmark of self-correcting diffusion."""

    model: str = ""
    """A folder that transformers' save_pretrained wrote, or a name on the Hugging Face hub.  Default: what AVATARKIT_OWLV2 says; no
    model is chosen for you."""
    download: bool = False
    """Fetch a model of the hub that is not on this machine."""
    attribute_threshold: float = 0.45
    """Score from which a thing counts as seen with its colour, material or form."""
    threshold: float = 0.2
    """Score from which a thing counts as seen where its place or number is asked, or its absence."""
    overlap: float = 0.15
    """IoU above which two boxes of one text are one thing."""
    hold: float = 0.5
    """Share of the views that can tell in which an edit must hold to pass."""
    device: str = "auto"
    """``auto``: the GPU where there is one; or a device of torch, such as ``cpu`` or ``cuda:1``."""
