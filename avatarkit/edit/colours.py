"""Colours as people name them: sRGB "#rrggbb", and shades by perception (OKLab, Björn Ottosson 2020)."""

from __future__ import annotations

import math
import re

# What things of a material look like under white light, where no colour is said.
MATERIAL_COLOURS: dict[str, str] = {
    "gold": "#d4a63a", "silver": "#c3c6cb", "copper": "#b8693d", "bronze": "#8c6a3a", "steel": "#8f959c", "metal": "#9a9ea3",
    "pearl": "#efe8dc", "diamond": "#dfeaf2", "gemstone": "#2f5fb3", "plastic": "#3a3a3e", "wood": "#8a5f38",
    "leather": "#6b432a", "wool": "#8a8478", "felt": "#5d5a57", "denim": "#3d5a80", "cotton": "#d9d5cc", "silk": "#c9b8a8",
    "velvet": "#5e1f38", "straw": "#d9b976", "fur": "#7a6550", "glass": "#cfe0e4", "stone": "#8d8a84", "ceramic": "#e6e2da",
    "rubber": "#2b2b2d",
}  # fmt: skip

HEX = re.compile(r"#[0-9a-f]{6}")
Triple = tuple[float, float, float]


def oklab(colour: str) -> Triple:
    """ "#rrggbb" → lightness in [0, 1], a (green to red), b (blue to yellow)."""
    red, green, blue = (_linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    medium = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def from_oklab(lightness: float, a: float, b: float) -> str:
    """The nearest "#rrggbb" of that hue and lightness: chroma shrinks until sRGB has it."""
    lightness = min(1.0, max(0.0, lightness))
    low, high = 0.0, 1.0
    if _inside(rgb := _linear_rgb(lightness, a, b)):
        return _hex(rgb)
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(_linear_rgb(lightness, a * middle, b * middle)) else (low, middle)
    return _hex(_linear_rgb(lightness, a * low, b * low))


def shaded(colour: str, lightness: float, chroma: float = 0.0) -> str:
    """Move ``colour`` by these shares of the way to white and to twice its chroma (negative: to black, to grey)."""
    light, a, b = oklab(colour)
    light += lightness * (1 - light if lightness > 0 else light)
    return from_oklab(light, a * (1 + chroma), b * (1 + chroma))


def mixed(first: str, second: str) -> str:
    """Half way between two colours, by perception."""
    one, other = oklab(first), oklab(second)
    light, a, b = ((x + y) / 2 for x, y in zip(one, other, strict=True))
    return from_oklab(light, a, b)


def css_colours() -> dict[str, str]:
    """CSS colour names → "#rrggbb"; Pillow's table."""
    from PIL import ImageColor

    table = {}
    for name in ImageColor.colormap:
        red, green, blue = ImageColor.getrgb(name)[:3]
        table[name] = f"#{red:02x}{green:02x}{blue:02x}"
    return table


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _linear_rgb(lightness: float, a: float, b: float) -> Triple:
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _inside(rgb: Triple) -> bool:
    return all(-1e-4 <= channel <= 1 + 1e-4 for channel in rgb)


def _hex(rgb: Triple) -> str:
    channels = []
    for value in rgb:
        value = min(1.0, max(0.0, value))
        encoded = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
        channels.append(round(encoded * 255))
    return "#" + "".join(f"{channel:02x}" for channel in channels)
