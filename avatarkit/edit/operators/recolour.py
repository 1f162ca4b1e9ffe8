"""Another colour for a part, its shading kept.

Light that comes from a surface is its colour times how much light falls on it, plus what it mirrors.  The part's own colour is where
most of its lit Gaussians lie: the chroma is their median, the brightness the ``LIT`` quantile.  Each Gaussian is then so much
of that colour, and the rest, which is paler than the colour can be, is a highlight; with the new colour in the old one's place both stay
what they were.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avatarkit.edit.colours import MATERIAL_COLOURS
from avatarkit.edit.membership import HAIRY, colours
from avatarkit.edit.operators.thin import ENOUGH, FILLED, as_seen, where_thin
from avatarkit.edit.pieces import face_coordinates
from avatarkit.edit.plan import Attributes, Operation
from avatarkit.edit.region import Located, region_mask
from avatarkit.edit.scene import Scene
from avatarkit.edit.visibility import spread_places, visibility
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.losses.colour_difference import linear_from_srgb, luminance, srgb_from_linear
from avatarkit.render.sh import Y00

LIT = 0.9
"""Quantile of brightness at which a part shows its colour in full: on a test head the hair's is at 0.95 of it there, skin's at 1."""
THIN_LIT = 0.8
"""The same for Gaussians, whose brightest make up for dark neighbours."""
OVEREXPOSED = 1.4
"""How much brighter than its colour a surface gets by light alone; more is a highlight."""
FULL = (0.25, 0.75)
"""Memberships from which on a Gaussian begins to take the new colour, and has it."""
IRIS, IRIS_EDGE = 0.105, 0.012
"""Radius of an iris in eye distances (6.5 mm), and half its edge."""
BLACK = 0.004
"""Luminance that is added to all before a part's colour is divided by: black has no shading that could be told from nothing."""
EVENNESS = 0.1
"""Dark things show more contrast than light ones of the same make, because what they mirror weighs more: on a test head's hair the spread of
ln(brightness) falls from 0.92 (black) over 0.66 (brown) to 0.49 (blonde)."""
GLINT = (0.8, 1.4)
"""Brightness, of the own colour, from which on a pale spot begins to be a highlight, and is one."""
GREY = 0.12
"""Least spread of the linear channels, as a share of their mean, for which colour and highlight can be told apart."""
EYES = ("l_eye", "r_eye", "eyes")


def recolour(scene: Scene, operation: Operation, located: Located) -> Avatar:
    """The avatar with the region in the colour of ``operation.attributes``, by ``operation.strength``."""
    weights = located.weights
    if operation.target in EYES:
        weights = weights * iris(scene)
    own = seen_colour(scene, weights)
    old = colours(scene.avatar)
    new = recoloured(old, own, operation.attributes)
    member = ((weights - FULL[0]) / (FULL[1] - FULL[0])).clamp(0.0, 1.0)
    share = operation.strength * member[:, None]
    edited = replace(scene.avatar, gaussians=with_colours(scene.avatar.gaussians, old, old + share * (new - old)))
    thin = [] if operation.target in HAIRY else where_thin(scene, weights)  # skin shows between hairs, and stays
    if not thin:
        return edited
    core = torch.cat([one.core for one in thin])
    shown = own_colour(linear_from_srgb(core), torch.ones(len(core)), THIN_LIT)

    def wanted(pixels: Tensor) -> Tensor:
        return pixels + operation.strength * (recoloured(pixels, shown, operation.attributes) - pixels)

    return as_seen(scene, edited, member, thin, wanted)


def seen_colour(scene: Scene, weights: Tensor) -> Tensor:
    """(3,) linear: the own colour of a region, from the pixels that it fills.

    Pixels, not Gaussians: one Gaussian's colour goes far beyond what is seen, because its neighbours make up for it.  Only what is thinner than
    a pixel (a brow's hairs, a frame of wire) fills none, and is known by its Gaussians alone.
    """
    light, filled, all_of_it = [], 0.0, 0.0
    for place in spread_places(scene):
        mask = region_mask(scene, weights, place)[0]
        part = mask > FILLED
        light.append(linear_from_srgb(scene.picture(place).permute(1, 2, 0)[part]))
        filled, all_of_it = filled + float(mask[part].sum()), all_of_it + float(mask.sum())
    if filled > ENOUGH * all_of_it:
        pixels = torch.cat(light)
        return own_colour(pixels, torch.ones(len(pixels)))
    sure = weights * visibility(scene, spread_places(scene)) * (weights > FULL[1])
    return own_colour(linear_from_srgb(colours(scene.avatar)), sure, THIN_LIT)


def recoloured(old: Tensor, own: Tensor, attributes: Attributes) -> Tensor:
    """(N, 3) sRGB: ``old`` (N, 3) with its ``own`` colour (3,), linear, replaced, highlights kept."""
    light = linear_from_srgb(old)
    new = wanted_colour(own, attributes)
    if not attributes.colour and not attributes.material:  # a shade of what is there: its own variety stays
        return srgb_from_linear(light * (new / own.clamp(min=1e-4)).clamp(0.05, 20.0))
    black = BLACK * own / luminance(own)
    amount, highlight = split_highlight(light + black, own + black)
    amount = amount ** float((luminance(own) / luminance(new)).clamp(0.05, 20.0) ** EVENNESS)
    return srgb_from_linear((amount[:, None] * new + highlight[:, None]).clamp(max=1.0))


def own_colour(light: Tensor, weights: Tensor, lit: float = LIT) -> Tensor:
    """(3,) linear: the colour of a part in full light.  light (N, 3) linear, weights (N,) ≥ 0; white where there is nothing."""
    if not len(light) or float(weights.sum()) <= 0.0:
        return torch.ones(3)
    bright = luminance(light)
    level = weighted_quantile(bright, weights, lit)
    typical = weights * ((bright > 0.3 * level) & (bright < OVEREXPOSED * level)).float()
    chroma = light / bright.clamp(min=1e-5)[:, None]
    middle = torch.stack([weighted_quantile(chroma[:, k], typical, 0.5) for k in range(3)])
    middle = middle / luminance(middle).clamp(min=1e-5) if float(luminance(middle)) > 1e-3 else torch.ones(3)
    return (middle * level).clamp(min=1e-4)


def wanted_colour(own: Tensor, attributes: Attributes) -> Tensor:
    """(3,) linear: the asked colour, or a shade of the own one."""
    if attributes.colour or attributes.material:
        said = attributes.colour or MATERIAL_COLOURS[attributes.material]
        base = torch.tensor([int(said[i : i + 2], 16) / 255.0 for i in (1, 3, 5)])
    else:
        base = srgb_from_linear(own)
    if attributes.saturation:
        light = luminance(linear_from_srgb(base))
        grey = srgb_from_linear(light).expand(3)
        richer = 1.0 + (1.5 if attributes.saturation > 0 else 1.0) * attributes.saturation
        pure = linear_from_srgb((grey + (base - grey) * richer).clamp(0.0, 1.0))
        base = srgb_from_linear((pure * light / luminance(pure).clamp(min=1e-4)).clamp(max=1.0))  # as light as before
    towards = torch.ones(3) if attributes.lightness > 0 else torch.zeros(3)
    return linear_from_srgb(base + abs(attributes.lightness) * (towards - base)).clamp(min=1e-4)


def split_highlight(light: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """amount (N,) and highlight (N,), both ≥ 0, such that light ≈ amount · own + highlight · white (least squares).

    A grey ``own`` cannot be told from white: then all is amount up to ``OVEREXPOSED``, and highlight beyond.
    """
    bright = luminance(light) / luminance(own)
    if float((own.max() - own.min()) / own.mean()) < GREY:
        amount = bright.clamp(max=OVEREXPOSED)
        return amount, (bright - amount) * luminance(own)
    white = torch.ones(3)
    oo, ow, ww = own @ own, own @ white, white @ white
    lo, lw = light @ own, light @ white
    determinant = oo * ww - ow * ow
    amount, highlight = (lo * ww - lw * ow) / determinant, (lw * oo - lo * ow) / determinant
    amount = torch.where(highlight < 0, lo / oo, amount).clamp(min=0.0)
    # what is pale without being bright is mixed with its neighbours or badly lit, no mirror
    mirrored = ((bright - GLINT[0]) / (GLINT[1] - GLINT[0])).clamp(0.0, 1.0)
    highlight = highlight.clamp(min=0.0)
    amount, highlight = amount + (1.0 - mirrored) * highlight / luminance(own), mirrored * highlight
    # a patch of another hue leaves nothing for ``own``; it keeps its brightness, so that no shape is lost
    amount = torch.maximum(amount, (0.6 * bright).clamp(max=1.0))
    over = (amount - OVEREXPOSED).clamp(min=0.0)
    return amount - over, highlight + over * luminance(own)


def iris(scene: Scene) -> Tensor:
    """(N,) in [0, 1]: the coloured part of the eyes, straight in front of the eyeballs' centres at rest."""
    head, rest = scene.head, scene.rest
    unit = face_coordinates(head, rest.vertices).unit
    found = torch.zeros(len(rest.means))
    for name in ("l_eye", "r_eye"):
        ball = rest.vertices[head.regions[name] > 0.5]
        centre = 0.5 * (ball.min(0).values + ball.max(0).values)
        radius = (rest.means[:, :2] - centre[:2]).norm(dim=1) / unit
        found = torch.maximum(found, ((IRIS + IRIS_EDGE - radius) / (2 * IRIS_EDGE)).clamp(0.0, 1.0))
    return found


def with_colours(gaussians: Gaussians, old: Tensor, new: Tensor) -> Gaussians:
    """The Gaussians with colours (N, 3) sRGB ``new`` where they had ``old``; view-dependent terms scale along."""
    sh = gaussians.sh.clone()
    moved = (new - old).abs().amax(1) > 0
    sh[moved, 0] = ((new - 0.5) / Y00)[moved]
    if sh.shape[1] > 1:
        factor = ((new + 0.02) / (old + 0.02)).clamp(0.0, 3.0)
        sh[moved, 1:] = (sh[:, 1:] * factor[:, None])[moved]
    return replace(gaussians, sh=sh)


def weighted_quantile(values: Tensor, weights: Tensor, share: float) -> Tensor:
    """The value below which ``share`` of the weight lies."""
    ordered, order = values.sort()
    total = weights[order].cumsum(0)
    at = torch.searchsorted(total, share * total[-1]).clamp(max=len(values) - 1)
    return ordered[at]
