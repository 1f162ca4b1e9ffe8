"""The light on a head, and how things look in it.

A trained avatar's light is baked into its colours.  What is put on it has to be lit alike, or it looks pasted on.  Over skin,
whose own colour changes little, colour is albedo times irradiance, and irradiance is to within a percent a polynomial of second
degree in the normal (Ramamoorthi and Hanrahan, "An efficient representation for irradiance environment maps", SIGGRAPH 2001):
nine coefficients, by robust regression.  Luminance only: whether a red cast is the light's or the skin's cannot be told from
skin, and a colour is asked for as the thing should look under white light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from avatarkit.edit.accessories.anatomy import VISIBLE, Anatomy
from avatarkit.edit.accessories.vectors import smooth_step, unit
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.labels import LABEL_INDEX
from avatarkit.losses.colour_difference import LUMINANCE, linear_from_srgb, srgb_from_linear
from avatarkit.render.sh import Y00, sh_basis
from avatarkit.types import BoolArray, FloatArray

NOT_BARE = ("l_eye", "r_eye", "l_eye_region", "r_eye_region", "l_brow", "r_brow", "u_lip", "l_lip", "mouth", "jaw")
FEWEST = 200  # Gaussians of skin that say anything about the light
NEUTRAL = (0.62, 0.48, (0.15, 0.55, 0.8))  # ambient, directed, where from
# Pull of each term towards the neutral light, as a share of all the evidence: faces do not show normals to the back.
PULL = np.array([0.0, *[0.02] * 3, *[0.04] * 5])
BRIGHTEST, DARKEST = 1.9, 0.32  # bounds of irradiance relative to its mean over what faces the front
ROUNDS = 8
# How far brightness may be corrected: down, up, and up for metal.  More would flatten the shading of what is nearly white.
LEAST_GAIN, MOST_GAIN, METAL_GAIN = 0.55, 1.2, 1.8


@dataclass(frozen=True)
class Finish:
    """What a surface does with light.

    metal: share of mirrored surroundings in its own colour; gloss: strength of white highlights; sharpness: of highlights, the
    exponent of a lobe; sheen: brightening of what is turned away from the front (velvet), as a share.
    """

    metal: float = 0.0
    gloss: float = 0.0
    sharpness: float = 30.0
    sheen: float = 0.0


@dataclass(frozen=True)
class Light:
    """coefficients (9,): irradiance by normal, basis of ``avatarkit.render.sh``; its mean over normals that face the front,
    each by what is seen of it, is 1.  estimated: False for the neutral light."""

    coefficients: FloatArray
    estimated: bool = False

    def irradiance(self, normals: FloatArray) -> FloatArray:
        """(…,) of unit ``normals`` (…, 3)."""
        return np.clip(_basis(normals) @ self.coefficients, DARKEST, BRIGHTEST)

    @property
    def direction(self) -> FloatArray:
        """(3,) unit: where most of the light comes from; from in front and above where it comes from all sides."""
        _, y, z, x = self.coefficients[:4]
        towards = np.array([-x, -y, z]) + 0.15 * np.array(NEUTRAL[2])
        # A highlight has to be on the side that is seen.
        towards[2] = max(towards[2], 0.25 * float(np.linalg.norm(towards)), 1e-3)
        return unit(towards)

    def shade(
        self, normals: FloatArray, albedo: FloatArray, finish: Finish, *, weights: FloatArray, shadow: FloatArray
    ) -> FloatArray:
        """sRGB colours (N, 3) of N pieces of one thing: its colour as asked is their mean as seen from the front.

        normals (N, 3) unit; albedo (N, 3): sRGB in [0, 1]; shadow (N,): share of the light that gets there; weights (N,): area
        of each piece.
        """
        own = linear(albedo)
        seen = weights * np.clip(normals[:, 2], 0.0, None)
        seen = seen if seen.sum() > 0 else weights
        lit = self.irradiance(normals)
        mirrored, highlights = self._reflected(normals, finish)
        # What shines shares the head's light a little: a mirror in the shade mirrors the shade.
        body = (1 - finish.metal) * lit + finish.metal * mirrored * (0.5 + 0.5 * lit)
        facing = np.clip(normals @ unit(np.array([0.0, 0.1, 1.0])), 0.0, 1.0)
        body *= 1 + finish.sheen * (1.4 * (1 - facing) ** 2 - 0.5)
        body *= shadow
        added = (finish.gloss * highlights * shadow)[:, None]
        asked = (albedo * seen[:, None]).sum(0) / seen.sum()
        gain, most = np.ones(3), MOST_GAIN + (METAL_GAIN - MOST_GAIN) * finish.metal
        for _ in range(ROUNDS):
            shown = encoded(spilled(gain * own * body[:, None] + added))
            mean = (shown * seen[:, None]).sum(0) / seen.sum()
            gain = np.clip(gain * (linear(asked) + 1e-3) / (linear(mean) + 1e-3), LEAST_GAIN, most)
        return encoded(spilled(gain * own * body[:, None] + added))

    def _reflected(self, normals: FloatArray, finish: Finish) -> tuple[FloatArray, FloatArray]:
        """What a mirror with these normals shows, mean about 1, and the highlights on varnish.

        Colours are baked and the eye moves: for each normal it is taken to stand half way between the front and straight before
        it.
        """
        eye = unit(np.array([0.0, 0.0, 1.0]) + 0.6 * normals)
        mirrored = 2 * (normals * eye).sum(1, keepdims=True) * normals - eye
        key = self.direction
        fill = unit(key * np.array([-1.0, 0.6, 1.0]) + np.array([0.0, 0.15, 0.0]))
        up = mirrored[:, 1]
        sky = 0.45 + 0.75 * smooth_step(-0.15, 0.55, up) - 0.32 * np.exp(-(((up + 0.02) / 0.2) ** 2))
        lamps = np.exp(finish.sharpness * (mirrored @ key - 1))
        lamps = lamps + 0.45 * np.exp(0.6 * finish.sharpness * (mirrored @ fill - 1))
        return sky + 1.1 * lamps, lamps


def neutral_light() -> Light:
    """Soft light from in front and above."""
    ambient, directed, towards = NEUTRAL
    x, y, z = unit(np.array(towards)) * directed / 0.4886025119029199
    return Light(_normalised(np.array([ambient / Y00, -y, z, -x, 0, 0, 0, 0, 0])))


def estimate(anatomy: Anatomy, gaussians: Gaussians | None) -> Light:
    """The light that the skin of ``gaussians`` shows; the neutral one where there is too little skin to tell.

    Skin are the Gaussians labelled so; where nothing is labelled, those on the face without eyes, brows, lips and jaw.
    """
    neutral = neutral_light()
    if gaussians is None:
        return neutral
    bound = gaussians.binding.numpy() >= 0
    own = bound & (torch.sigmoid(gaussians.opacity_logits).detach().numpy() > VISIBLE)
    triangles = np.where(bound, gaussians.binding.numpy(), 0)
    logits = gaussians.label_logits
    if bool((logits != 0).any()):
        own &= np.isin(logits.argmax(1).numpy(), [LABEL_INDEX["skin"], LABEL_INDEX["nose"]])
    else:
        own &= _bare_face(anatomy)[triangles]
    if own.sum() < FEWEST:
        return neutral
    corners = anatomy.skin.vertices[anatomy.skin.faces[triangles[own]]]
    crossed = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    colours = np.clip(0.5 + Y00 * gaussians.sh[own, 0].detach().double().numpy(), 0.0, 1.0)
    luminances = linear(colours) @ np.array(LUMINANCE)
    sizes = gaussians.log_scales[own].detach().exp().double().numpy()
    weights = np.sort(sizes, axis=1)[:, 1:].prod(1) * np.linalg.norm(crossed, axis=1)
    fitted = _regressed(unit(crossed), luminances, np.minimum(weights, 4 * np.median(weights)), neutral.coefficients)
    return neutral if fitted is None else Light(fitted, True)


def _regressed(
    normals: FloatArray, luminances: FloatArray, weights: FloatArray, neutral: FloatArray
) -> FloatArray | None:
    """Nine coefficients by reweighted least squares with Huber's weights; None where the light comes out dark or not finite."""
    basis = _basis(normals)
    typical = float(np.median(luminances))
    if typical < 1e-4:
        return None
    values = luminances / typical
    prior = neutral * (np.median(values) / np.median(basis @ neutral))
    found, trusted = prior, weights
    for _ in range(ROUNDS):
        left = basis.T * trusted
        pull = np.diag(PULL * trusted.sum())
        found = np.linalg.solve(left @ basis + pull, left @ values + pull @ prior)
        gaps = np.abs(values - basis @ found)
        spread = 1.5 * 1.4826 * float(np.median(gaps)) + 1e-6
        trusted = weights * np.minimum(1.0, spread / np.maximum(gaps, 1e-9))
    lit = _basis(_FRONT) @ found
    if not np.isfinite(found).all() or lit.mean() < 0.2:
        return None
    return _normalised(found)


def _bare_face(anatomy: Anatomy) -> BoolArray:
    """(F,) triangles of the face that are neither eye, brow nor lip, nor where a beard grows."""
    regions = anatomy.regions
    bare = regions["face"].copy() if "face" in regions else np.ones(len(anatomy.skin.vertices), bool)
    for name in NOT_BARE:
        if name in regions:
            bare &= ~regions[name]
    return np.all(bare[anatomy.skin.faces], axis=1)


def _basis(normals: FloatArray) -> FloatArray:
    return sh_basis(torch.from_numpy(np.ascontiguousarray(normals, dtype=np.float64)), 2).numpy()


def _front_normals(count: int = 600) -> FloatArray:
    """Normals spread over the half sphere so that each stands for the same part of a ball's picture from the front."""
    index = np.arange(count) + 0.5
    radius, turn = np.sqrt(index / count), np.pi * (1 + 5**0.5) * index
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), np.sqrt(1 - radius**2)], 1)


_FRONT = _front_normals()


def _normalised(coefficients: FloatArray) -> FloatArray:
    return coefficients / (_basis(_FRONT) @ coefficients).mean()


def linear(colours: FloatArray) -> FloatArray:
    """sRGB → linear light."""
    return linear_from_srgb(torch.from_numpy(colours)).numpy()


def encoded(light: FloatArray) -> FloatArray:
    """Linear light → sRGB, clipped to [0, 1]."""
    return srgb_from_linear(torch.from_numpy(light).clamp(0.0, 1.0)).numpy()


def spilled(light: FloatArray) -> FloatArray:
    """Light beyond 1 in one channel bleeds into the others, as on film: strong highlights turn white."""
    return np.minimum(light, 1.0) + 0.3 * np.clip(light - 1.0, 0.0, None).mean(-1, keepdims=True)
