"""``bust``: a parametric human head, neck and shoulders made entirely by code; no data files and nobody's licence."""

from __future__ import annotations

from avatarkit.head.bust.curves import Curves
from avatarkit.head.bust.model import BustModel

__all__ = ["BustModel", "Curves"]
