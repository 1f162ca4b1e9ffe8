"""What an editor returned, before anything is learnt from it: registered, composited inside the region, judged.

A view is rejected if it changed what lies far from the region, if nothing happened in it, or if it disagrees with what the other views say of
the same Gaussians.  What spilled over the region's edge is no reason: the composite cuts it off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from avatarkit.edit.config import EditConfig
from avatarkit.edit.keyframes import Keyframe
from avatarkit.edit.lifting import lifted_change
from avatarkit.edit.region import mask_core
from avatarkit.edit.registration import Registration, aligned, register
from avatarkit.edit.scene import Scene
from avatarkit.losses.colour_difference import ciede2000, lab

UNTOUCHED = 0.02
"""Mask below which a pixel is outside the region."""
MARGIN = 0.012
"""Of the longer side: how far outside the region changes are no spill but its soft edge."""
UNCHANGED = 2.0
"""CIEDE2000 inside the region (``strong_change``) below which a view shows no edit."""
NO_CHANGE = "nothing changed in the region"
LEAST_DISAGREEMENT = 0.035
"""Mean difference of colour (sRGB) below which views agree, whatever the others do."""


@dataclass(frozen=True)
class Judged:
    """One view after the gate.

    keyframe: its mask is where the view may differ; view (3, H, W): what is learnt from it; accepted; reason: why not, in words; outside: share of pixels that changed far from the region;
    inside: CIEDE2000 in the region (``strong_change``); disagreement: with the other views, mean difference of colours.
    """

    keyframe: Keyframe
    view: Tensor
    registration: Registration
    accepted: bool
    reason: str
    outside: float
    inside: float
    disagreement: float = 0.0

    def row(self) -> dict[str, object]:
        """For the log."""
        return {
            "view": self.keyframe.place.name, "accepted": self.accepted, "reason": self.reason, "outside": round(self.outside, 4),
            "inside": round(self.inside, 2), "disagreement": round(self.disagreement, 4),
            "shift": [round(v, 2) for v in self.registration.shift], "zoom": round(self.registration.zoom, 4),
        }  # fmt: skip


def judge(keyframe: Keyframe, edited: Tensor, config: EditConfig, shift: tuple[float, float] = (0.0, 0.0)) -> Judged:
    """One edited view (3, H, W) against what the editor was given, and the edit in it against the avatar before.

    shift: by which shares of the picture's width (right) and height (down) the editor was to move what is in the mask; where it
    arrives belongs to the region too.
    """
    keyframe = replace(keyframe, mask=with_arrival(keyframe.mask, shift))
    source, mask, given = keyframe.source, keyframe.mask, keyframe.given
    if not config.gate:
        inside = _inside(source, edited, mask)
        return Judged(keyframe, edited, Registration(), True, "", 0.0, inside)
    longer = max(source.shape[1:])
    reach = max(1, round(MARGIN * longer))
    near = max_pool2d(mask[None], 2 * reach + 1, 1, reach)[0]
    outside = (near < UNTOUCHED).float()
    spill = max(reach, round(config.spill * longer))
    far = max_pool2d(mask[None], 2 * spill + 1, 1, spill)[0] < UNTOUCHED
    registration = register(given, edited, outside)
    straight = aligned(edited, registration)
    changed = _difference(_smooth(given), _smooth(straight)) > config.outside_delta
    share = float((changed & far[0]).sum()) / changed.numel()  # colour that runs over the edge is cut off
    view = composited(source, straight, mask, config.feather)
    inside = _inside(source, view, mask)
    reason = ""
    if share > config.outside_share:
        reason = f"{100 * share:.1f} % of the picture changed far from the region"
    elif inside < UNCHANGED:
        reason = NO_CHANGE
    return Judged(keyframe, view, registration, not reason, reason, share, inside)


def composited(source: Tensor, edited: Tensor, mask: Tensor, feather: float) -> Tensor:
    """``edited`` inside the mask (1, H, W), ``source`` outside, with a seam of ``feather`` of the longer side."""
    reach = max(1, round(feather * max(source.shape[1:])))
    core = mask_core(mask).float()[None, None]
    eroded = -_grown(-core, reach)
    thin = core * (1.0 - _grown(eroded, reach))  # brows, frames: a seam as wide as they are would leave little of them
    soft = torch.maximum(_blurred(mask[None], reach), _blurred(_grown(thin, reach), reach))[0].clamp(0.0, 1.0)
    return source + soft * (edited - source)


def with_arrival(mask: Tensor, shift: tuple[float, float]) -> Tensor:
    """A mask (1, H, W), and where it comes to lie when it is moved by shares of its width (right) and height (down)."""
    height, width = mask.shape[1:]
    x, y = (round(max(-1.0, min(1.0, share)) * size) for share, size in zip(shift, (width, height), strict=True))
    moved = torch.zeros_like(mask)
    moved[:, max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)] = mask[
        :, max(-y, 0) : height + min(-y, 0), max(-x, 0) : width + min(-x, 0)
    ]
    return torch.maximum(mask, moved)


def _grown(mask: Tensor, reach: int) -> Tensor:
    return max_pool2d(mask, 2 * reach + 1, 1, reach)


def _blurred(mask: Tensor, reach: int) -> Tensor:
    return avg_pool2d(mask, 2 * reach + 1, 1, reach, count_include_pad=False)


def agreed(scene: Scene, views: list[Judged], config: EditConfig) -> list[Judged]:
    """``views`` with those rejected that stand alone: what each says of the Gaussians' change, against the median of all.

    Needs three accepted views, since two that differ cannot tell which is wrong.
    """
    judged = [i for i, view in enumerate(views) if view.accepted]
    if len(judged) < 3 or not config.gate:
        return views
    # An edit that keeps shading asks the same change of all views, one that paints it over the same colours: either is agreement.
    apart = torch.minimum(
        _apart(scene, [(views[i].keyframe, views[i].view) for i in judged]),
        _apart(scene, [(_over_black(views[i].keyframe), views[i].view) for i in judged]),
    )
    limit = max(LEAST_DISAGREEMENT, config.consensus * float(apart.median()))
    result = list(views)
    for i, value in zip(judged, apart.tolist(), strict=True):
        wrong = value > limit
        reason = "it disagrees with the other views" if wrong else ""
        result[i] = replace(views[i], disagreement=value, accepted=not wrong, reason=reason)
    return result


def _apart(scene: Scene, views: list[tuple[Keyframe, Tensor]]) -> Tensor:
    """(V,): how far what each view says of the Gaussians lies from the median of all, in the mean; 0 where too few see the same."""
    changes, weights = zip(*(lifted_change(scene, keyframe, view) for keyframe, view in views), strict=True)
    change, weight = torch.stack(changes), torch.stack(weights)
    use = (weight > 0.5) & ((weight > 0.5).sum(0) >= 3)
    hidden = torch.where((weight > 0.5)[..., None], change, torch.full_like(change, float("nan")))
    difference = (change - hidden.nanmedian(0).values).abs().mean(-1).nan_to_num() * use
    return (difference * weight).sum(1) / (use * weight).sum(1).clamp(min=1e-6)


def _over_black(keyframe: Keyframe) -> Keyframe:
    return replace(keyframe, source=torch.zeros_like(keyframe.source))


def _smooth(picture: Tensor) -> Tensor:
    return avg_pool2d(picture[None], 3, 1, 1, count_include_pad=False)[0]


def _difference(first: Tensor, second: Tensor) -> Tensor:
    """(H, W) CIEDE2000 of two (3, H, W) pictures."""
    return ciede2000(lab(first.permute(1, 2, 0)), lab(second.permute(1, 2, 0)))


def _inside(source: Tensor, edited: Tensor, mask: Tensor) -> float:
    core = mask_core(mask)
    if not bool(core.any()):
        return 0.0
    first, second = source[:, core].T, edited[:, core].T
    return strong_change(ciede2000(lab(first), lab(second)))


def strong_change(differences: Tensor) -> float:
    """What the twentieth part of the pixels (M,) that changed most changed by at least: a line or a mole is little of its region."""
    return float(differences.sort().values[int(0.95 * (len(differences) - 1))])
