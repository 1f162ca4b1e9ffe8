"""Self-attention across views, so that one edit looks the same in all of them.

Two things are done in every self-attention layer of the UNet, as video editors do for frames and DGE (Chen et al., ECCV 2024) does
for views of a splat scene with this very model:

* Extended attention (Wu et al., Tune-A-Video, ICCV 2023; Geyer et al., TokenFlow, ICLR 2024): a view's queries see its own keys and
  values and those of the views beside it.  It agrees on what is painted: which red, which frame of glasses.
* Blending of the layer's outputs between tokens that show the same point (TokenFlow's propagation).  It agrees on where.  TokenFlow
  finds these tokens by likeness of features and DGE on epipolar lines; we know them from the mesh, across expressions too
  (``matching.py``).  A coarse layer whose tokens lie further apart than ``reach`` has no matches and is left alone.

Views that do not show the same surface do neither, so they cannot disturb each other.

A step of many views runs in parts of ``batch``.  Those of the first part lead: what their layers were given and gave is kept, and
later parts attend to it and are blended with it.  Kept are 2 × 3 × tokens × channels numbers for each leading view and layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from avatarkit.contracts import Correspondences
from avatarkit_ip2p.framing import Frame
from avatarkit_ip2p.matching import Match, TokenPoints, match, token_points

COMMON = 0.1
"""The least part of the head that a view must have in common with another to listen to it.  Front and back meet at the outline."""


class Sharing:
    """What B views tell each other.

    partners: for each view those whose keys and values it sees too.  matches: number of a layer's tokens → (view, other view) →
    Match; a layer whose number is not there is not blended.  leading: how many views, from the first, lead.
    """

    def __init__(
        self, partners: Sequence[frozenset[int]], matches: dict[int, dict[tuple[int, int], Match]], leading: int
    ) -> None:
        self.partners = partners
        self.matches = matches
        self.leading = leading
        self._kept: dict[str, dict[int, tuple[Tensor, Tensor]]] = {}

    def attended(
        self, layer: str, views: Sequence[int], given: Tensor, attend: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """What ``layer`` makes of ``given`` (n · len(views), N, C), the same views n times over.

        attend: (n, N, C) queries' states and (n, M, C) keys' and values' → (n, N, C).
        """
        tokens = given.unflatten(0, (-1, len(views)))
        states = {view: states for view, (states, _) in self._kept.get(layer, {}).items()}
        states |= {view: tokens[:, at] for at, view in enumerate(views)}
        made = {view: outputs for view, (_, outputs) in self._kept.get(layer, {}).items()}
        for view in views:
            seen = [view, *sorted(other for other in self.partners[view] if other in states)]
            made[view] = attend(states[view], torch.cat([states[other] for other in seen], 1))
        blended = {view: self._blended(view, made) for view in views}
        if views[0] < self.leading < len(self.partners):
            self._kept[layer] = {view: (states[view], blended[view]) for view in views}
        return torch.stack([blended[view] for view in views], 1).flatten(0, 1)

    def _blended(self, view: int, made: dict[int, Tensor]) -> Tensor:
        own = made[view]
        matches = self.matches.get(own.shape[1], {})
        total, weights = own, torch.ones(own.shape[1], 1).to(own)
        for other, outputs in made.items():
            if (view, other) in matches:
                found = matches[view, other]
                weight = found.weight.to(own)[:, None]
                total = total + weight * outputs[:, found.index]
                weights = weights + weight
        return total / weights


class Link:
    """Between the one who calls the UNet and its attention layers: which views the call holds, and what they share."""

    def __init__(self) -> None:
        self.sharing: Sharing | None = None
        self.views: Sequence[int] = ()

    @contextmanager
    def of(self, sharing: Sharing | None, views: Sequence[int]) -> Iterator[None]:
        """The UNet is called with ``views``, each of the three branches in their order."""
        self.sharing, self.views = sharing, views
        try:
            yield
        finally:
            self.sharing, self.views = None, ()


class LinkedAttention:
    """A processor of diffusers around the one that a self-attention layer has; that one does the attending."""

    def __init__(self, layer: str, own: Any, link: Link) -> None:
        self.layer, self.own, self.link = layer, own, link

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        sharing = self.link.sharing
        if sharing is None or encoder_hidden_states is not None:
            return self.own(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        attend = lambda states, seen: self.own(attn, states, seen)  # noqa: E731
        return sharing.attended(self.layer, self.link.views, hidden_states, attend)


def linked(unet: Any) -> Link:
    """Put every self-attention layer of ``unet`` (``attn1`` of its transformer blocks) on a link; nothing changes until it is used."""
    link = Link()
    unet.set_attn_processor(
        {
            name: LinkedAttention(name, own, link) if name.endswith("attn1.processor") else own
            for name, own in unet.attn_processors.items()
        }
    )
    return link


def shared(
    mode: str,
    correspondences: Correspondences | None,
    views: int,
    frame: Frame,
    levels: int,
    reach: float,
    batch: int,
    device: torch.device,
) -> Sharing | None:
    """What ``views`` views share; None where each is painted alone.

    mode, reach, batch: the options.  levels: resolutions of the UNet, whose layers have down/cell × across/cell tokens, a quarter
    of them, and so on.
    """
    if views < 2 or mode == "none":
        return None
    if mode == "extended":
        return Sharing([frozenset(range(views)) - {view} for view in range(views)], {}, batch)
    if correspondences is None:
        return None
    hears = [
        (one, other)
        for one in range(views)
        for other in range(views)
        if one != other and (other < batch or one // batch == other // batch)
    ]
    matches: dict[int, dict[tuple[int, int], Match]] = {}
    for level in range(levels):
        down, across = (side // frame.cell // 2**level for side in (frame.down, frame.across))
        points = token_points(correspondences, frame, down, across, reach)
        found = {(one, other): match(points[one], points[other], reach) for one, other in hears}
        if level == 0:
            hears = [(one, other) for one, other in hears if _common(found[one, other], points[one]) >= COMMON]
        matches[down * across] = {pair: found[pair].to(device) for pair in hears}
    together = [frozenset(other for one, other in hears if one == view) for view in range(views)]
    return Sharing(together, matches, batch) if hears else None


def _common(found: Match, points: TokenPoints) -> float:
    """The share of a view's tokens on the head that the other view shows too."""
    return float((found.weight > 0).sum() / points.shown.sum().clamp(min=1))
