"""CIEDE2000 against the published pairs, CIELAB against published primaries, round trips."""

from __future__ import annotations

import pytest
import torch

from avatarkit.losses.colour_difference import (
    chroma,
    ciede2000,
    hue,
    hue_difference,
    lab,
    linear_from_srgb,
    luminance,
    srgb_from_linear,
)

# Sharma, Wu, Dalal 2005, table 1: a selection that holds every branch.
PAIRS = [
    ((50.0000, 2.6772, -79.7751), (50.0000, 0.0000, -82.7485), 2.0425),
    ((50.0000, 3.1571, -77.2803), (50.0000, 0.0000, -82.7485), 2.8615),
    ((50.0000, -1.3802, -84.2814), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, 0.0000, 0.0000), (50.0000, -1.0000, 2.0000), 2.3669),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0009), 7.1792),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0011), 7.2195),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0009, -2.4900), 4.8045),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0011, -2.4900), 4.7461),
    ((50.0000, 2.5000, 0.0000), (50.0000, 0.0000, -2.5000), 4.3065),
    ((50.0000, 2.5000, 0.0000), (73.0000, 25.0000, -18.0000), 27.1492),
    ((50.0000, 2.5000, 0.0000), (61.0000, -5.0000, 29.0000), 22.8977),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("first", "second", "expected"), PAIRS)
def test_published_pairs(first: tuple[float, ...], second: tuple[float, ...], expected: float) -> None:
    a, b = torch.tensor(first, dtype=torch.float64), torch.tensor(second, dtype=torch.float64)
    assert float(ciede2000(a, b)) == pytest.approx(expected, abs=1e-4)
    assert float(ciede2000(b, a)) == pytest.approx(expected, abs=1e-4)


def test_primaries_in_lab() -> None:
    """CIELAB of sRGB's primaries and white, D65 (Lindbloom's calculator)."""
    colours = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    expected = [
        [100, 0, 0],
        [0, 0, 0],
        [53.2408, 80.0925, 67.2032],
        [87.7347, -86.1827, 83.1793],
        [32.2970, 79.1875, -107.8602],
    ]
    assert torch.allclose(lab(colours), torch.tensor(expected, dtype=torch.float64), atol=0.03)


def test_transfer_curve_there_and_back() -> None:
    values = torch.linspace(0, 1, 257, dtype=torch.float64)
    assert torch.allclose(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-6)
    assert float(linear_from_srgb(torch.tensor(0.5))) == pytest.approx(0.21404, abs=1e-4)
    assert float(luminance(torch.ones(3))) == pytest.approx(1.0, abs=1e-6)


def test_hue_goes_round() -> None:
    assert float(hue_difference(torch.tensor(355.0), torch.tensor(10.0))) == pytest.approx(15.0)
    red = lab(torch.tensor([1.0, 0.0, 0.0]))
    assert float(hue(red)) == pytest.approx(40.0, abs=0.1) and float(chroma(red)) == pytest.approx(104.55, abs=0.1)


def test_same_colours_do_not_differ() -> None:
    colours = lab(torch.rand(50, 3, generator=torch.Generator().manual_seed(0)))
    assert float(ciede2000(colours, colours).max()) == 0.0
