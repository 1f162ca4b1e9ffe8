"""How different two colours look: CIELAB and CIEDE2000 (CIE 142-2001; Sharma, Wu, Dalal, Color Research & Application 30, 2005).

sRGB after IEC 61966-2-1, white point D65 of the 2° observer.  Channels stand last.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

WHITE = (0.95047, 1.0, 1.08883)
TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
LUMINANCE = TO_XYZ[1]
DELTA = 6.0 / 29.0
_25_7 = 25.0**7


def linear_from_srgb(colours: Tensor) -> Tensor:
    """sRGB → linear light, elementwise; values below 0 count as 0."""
    c = colours.clamp(min=0.0)
    return torch.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(light: Tensor) -> Tensor:
    """The inverse of ``linear_from_srgb``."""
    c = light.clamp(min=0.0)
    return torch.where(c <= 0.0031308, 12.92 * c, 1.055 * c.clamp(min=1e-8) ** (1.0 / 2.4) - 0.055)


def luminance(light: Tensor) -> Tensor:
    """Relative luminance (…) of linear colours (…, 3)."""
    return light @ torch.tensor(LUMINANCE).to(light)


def lab(colours: Tensor) -> Tensor:
    """sRGB (…, 3) in [0, 1] → CIELAB (…, 3): L* in [0, 100], a*, b*."""
    matrix = torch.tensor(TO_XYZ).to(colours)
    ratio = linear_from_srgb(colours) @ matrix.T / torch.tensor(WHITE).to(colours)
    f = torch.where(ratio > DELTA**3, ratio.clamp(min=1e-12) ** (1.0 / 3.0), ratio / (3 * DELTA**2) + 4.0 / 29.0)
    x, y, z = f.unbind(-1)
    return torch.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], -1)


def hue(lab_colours: Tensor) -> Tensor:
    """Hue angle (…) of CIELAB colours (…, 3), degrees in [0, 360)."""
    return torch.rad2deg(torch.atan2(lab_colours[..., 2], lab_colours[..., 1])) % 360.0


def chroma(lab_colours: Tensor) -> Tensor:
    """Chroma C* (…) of CIELAB colours (…, 3)."""
    return torch.hypot(lab_colours[..., 1], lab_colours[..., 2])


def hue_difference(first: Tensor, second: Tensor) -> Tensor:
    """Angle between two hues in degrees, in [0, 180]."""
    return ((first - second + 180.0) % 360.0 - 180.0).abs()


def ciede2000(first: Tensor, second: Tensor) -> Tensor:
    """ΔE00 (…) between CIELAB colours (…, 3); Sharma et al. 2005, equations 2 to 22."""
    l1, a1, b1 = first.unbind(-1)
    l2, a2, b2 = second.unbind(-1)
    mean_chroma = 0.5 * (torch.hypot(a1, b1) + torch.hypot(a2, b2))
    g = 0.5 * (1.0 - (mean_chroma**7 / (mean_chroma**7 + _25_7)).sqrt())
    a1, a2 = (1.0 + g) * a1, (1.0 + g) * a2
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = (torch.rad2deg(torch.atan2(b, a)) % 360.0 for a, b in ((a1, b1), (a2, b2)))
    grey = c1 * c2 == 0.0
    turn = h2 - h1
    turn = torch.where(turn > 180.0, turn - 360.0, torch.where(turn < -180.0, turn + 360.0, turn))
    turn = torch.where(grey, torch.zeros_like(turn), turn)
    d_l, d_c = l2 - l1, c2 - c1
    d_h = 2.0 * (c1 * c2).sqrt() * torch.sin(torch.deg2rad(0.5 * turn))
    mean_l, mean_c = 0.5 * (l1 + l2), 0.5 * (c1 + c2)
    total = h1 + h2
    apart = (h1 - h2).abs() > 180.0
    mean_h = torch.where(apart, torch.where(total < 360.0, 0.5 * (total + 360.0), 0.5 * (total - 360.0)), 0.5 * total)
    mean_h = torch.where(grey, total, mean_h)
    t = (
        1.0
        - 0.17 * _cos(mean_h - 30.0)
        + 0.24 * _cos(2.0 * mean_h)
        + 0.32 * _cos(3.0 * mean_h + 6.0)
        - 0.20 * _cos(4.0 * mean_h - 63.0)
    )
    s_l = 1.0 + 0.015 * (mean_l - 50.0) ** 2 / (20.0 + (mean_l - 50.0) ** 2).sqrt()
    s_c, s_h = 1.0 + 0.045 * mean_c, 1.0 + 0.015 * mean_c * t
    bend = 30.0 * torch.exp(-(((mean_h - 275.0) / 25.0) ** 2))
    r = -2.0 * (mean_c**7 / (mean_c**7 + _25_7)).sqrt() * torch.sin(torch.deg2rad(2.0 * bend))
    l, c, h = d_l / s_l, d_c / s_c, d_h / s_h
    return (l * l + c * c + h * h + r * c * h).clamp(min=0.0).sqrt()


def _cos(degrees: Tensor) -> Tensor:
    return torch.cos(degrees * (math.pi / 180.0))
