"""Flat drawing styles: cartoon, anime, comic, pop art, pencil.

Tones come from the smoothed picture by fixed steps; lines from its edges; hatching and dots lie on the head (``Surface.sheet``), so
that they stay where they are when the head turns.
"""

from __future__ import annotations

import numpy as np

from avatarkit.edit.paint.brief import Brief
from avatarkit.edit.paint.canvas import Canvas, details, edge_lines, outline, smoothed
from avatarkit.edit.paint.noise import noise, octaves, resolved
from avatarkit.edit.paint.oklab import lab_of, mix, smoothstep
from avatarkit.types import Float32Array

INK = "#17130f"
PAPER, GRAPHITE = "#f4f1ea", "#2b2b2e"
HATCH = 0.0030  # metres between lines of a pencil
DOT = 0.0042  # metres between dots of a print
RIM = 0.55  # strength of the line around the whole: each view draws it elsewhere on the head
POP = (
    ("#1c1463", "#e6007e", "#ffd400", "#fff6d8"),
    ("#3a0f4a", "#00a7e1", "#ff7fb2", "#f9ffe0"),
    ("#123524", "#ff5a1f", "#9be564", "#fdf3e3"),
    ("#30124f", "#12b5a6", "#ffb000", "#fff2f8"),
)
"""Palettes from dark to light; the seed picks one."""


def cartoon(canvas: Canvas, brief: Brief) -> Float32Array:
    """(h, w, 3) OKLab: few soft tones, strong colours, dark outlines."""
    flat, light, fine = _tones(canvas, brief, 0.0035)
    light = stepped(light, 0.13, 0.25) + 0.8 * fine
    made = np.concatenate([(0.05 + 1.0 * light)[..., None], 1.35 * flat[..., 1:]], -1)
    lines = np.maximum(edge_lines(canvas, 0.0011), RIM * outline(canvas, 0.0009))
    return mix(made, lab_of(brief.colour or INK), 0.9 * lines)


def anime(canvas: Canvas, brief: Brief) -> Float32Array:
    """(h, w, 3) OKLab: light and one shade, clear edges between them, pale skin, fine lines."""
    flat, light, fine = _tones(canvas, brief, 0.0045)
    light = stepped(light, 0.2, 0.12) + 1.1 * fine
    made = np.concatenate([(0.13 + 0.92 * light)[..., None], 1.35 * flat[..., 1:]], -1)
    lines = np.maximum(edge_lines(canvas, 0.0008, sensitivity=0.9), RIM * outline(canvas, 0.0006))
    return mix(made, lab_of(brief.colour or "#2a1a24"), 0.85 * lines)


def comic(canvas: Canvas, brief: Brief) -> Float32Array:
    """(h, w, 3) OKLab: print colours, half tones of dots in the shade, blacks and bold outlines in ink."""
    flat, light, fine = _tones(canvas, brief, 0.0035)
    toned = 0.12 + 0.92 * (stepped(light, 0.2, 0.12) + 0.8 * fine)
    made = np.concatenate([toned[..., None], 1.5 * flat[..., 1:]], -1)
    shade = smoothstep(0.72, 0.40, light)
    darker = made * np.array([0.74, 1.1, 1.1], np.float32)
    made = mix(made, darker, halftone(canvas, shade) * smoothstep(0.02, 0.12, shade))
    ink = np.maximum(edge_lines(canvas, 0.0013, sensitivity=1.2), smoothstep(0.27, 0.21, light + fine))
    ink = np.maximum(ink, RIM * outline(canvas, 0.0012))
    return mix(made, lab_of(brief.colour or INK), 0.95 * ink)


def pop_art(canvas: Canvas, brief: Brief) -> Float32Array:
    """(h, w, 3) OKLab: four flat inks by lightness, the two middle ones joined by dots."""
    dark, shade, middle, light = POP[abs(brief.seed) % len(POP)]
    _, tone, fine = _tones(canvas, brief, 0.0028)
    tone = tone + fine
    inks = [lab_of(one) for one in (dark, shade, brief.colour or middle, light)]
    made = np.broadcast_to(inks[2], canvas.lab.shape).astype(np.float32)
    made = mix(made, inks[3], smoothstep(0.775, 0.80, tone))
    made = mix(made, inks[1], halftone(canvas, smoothstep(0.68, 0.48, tone)))
    made = mix(made, inks[1], smoothstep(0.48, 0.46, tone))
    return mix(made, inks[0], np.maximum(smoothstep(0.36, 0.34, tone), edge_lines(canvas, 0.0012)))


def sketch(canvas: Canvas, brief: Brief) -> Float32Array:
    """(h, w, 3) OKLab: pencil on paper; hatching in three directions, the denser the darker, along the head; fine contours."""
    seed, tone = brief.seed, brief.gain * canvas.lab[..., 0]
    tone = tone + 1.1 * (tone - canvas.blurred(tone, 0.006))
    dark = smoothstep(0.92, 0.12, tone)[canvas.inside]
    sheet, points = canvas.surface.sheet[canvas.inside], canvas.points
    wobble = 0.0013 * noise(points, 0.018, seed + 5)
    pressure = 0.75 + 0.45 * octaves(points, 0.009, seed + 6, 2)
    grain = 0.5 + 0.5 * noise(points, 0.0016, seed + 7) * resolved(0.0016, canvas.pitch)
    ink = np.zeros(len(points), np.float32)
    for angle, low, high in ((0.75, 0.10, 0.75), (-0.55, 0.38, 0.90), (1.35, 0.60, 1.0)):
        along = sheet[:, 0] * np.sin(angle) - sheet[:, 1] * np.cos(angle) + wobble
        thick = np.clip((dark - low) / (high - low), 0.0, 1.0) * pressure
        ink = np.maximum(ink, _lines(along, HATCH, 0.60 * thick, canvas.pitch) * smoothstep(0.0, 0.3, thick))
    wash = 0.62 * smoothstep(0.12, 1.0, dark)
    contour = np.maximum(edge_lines(canvas, 0.0009, sensitivity=1.1), RIM * outline(canvas, 0.0007))[canvas.inside]
    hatched = wash + (1.0 - wash) * (0.62 * ink * canvas.trust + 0.2 * (1.0 - canvas.trust) * dark)
    share = np.maximum(hatched, 0.92 * contour) * (0.80 + 0.20 * grain)
    return canvas.spread(mix(lab_of(PAPER)[None], lab_of(brief.colour or GRAPHITE)[None], np.clip(share, 0.0, 0.95)))


def _tones(canvas: Canvas, brief: Brief, metres: float) -> tuple[Float32Array, Float32Array, Float32Array]:
    """The picture without what is smaller than ``metres`` (h, w, 3), its lightness as if well lit (h, w), and the details lost."""
    flat = smoothed(canvas, metres, 0.045, 2)
    return flat, brief.gain * flat[..., 0], brief.gain * details(canvas, flat)


def stepped(values: Float32Array, step: float, soft: float) -> Float32Array:
    """Values in steps, with ``soft`` of each step as a slope between them."""
    at = values / step
    whole = np.floor(at)
    return ((whole + smoothstep(0.5 - 0.5 * soft, 0.5 + 0.5 * soft, at - whole)) * step).astype(np.float32)


def halftone(canvas: Canvas, share: Float32Array) -> Float32Array:
    """(h, w) in [0, 1]: dots on the head that cover ``share`` (h, w) of it; an even tone where pixels are too coarse for them."""
    sheet = canvas.surface.sheet
    turned = np.stack([sheet[..., 0] + sheet[..., 1], sheet[..., 1] - sheet[..., 0]], -1) / (np.sqrt(2.0) * DOT)
    away = np.hypot(*(np.moveaxis(turned - np.round(turned), -1, 0)))
    radius = np.sqrt(np.clip(share, 0.0, 1.0) / np.pi)
    soft = 0.5 * canvas.pitch / DOT
    dots = smoothstep(soft, -soft, away - radius) * (share > 0.004)
    shown = resolved(DOT, canvas.pitch) * canvas.surface.trust
    return (dots * shown + share * (1.0 - shown)).astype(np.float32)


def _lines(along: Float32Array, apart: float, thick: Float32Array, pitch: float) -> Float32Array:
    """(N,) in [0, 1]: lines ``apart`` metres from each other, of which ``thick`` is the inked share."""
    at = along / apart
    away = np.abs(at - np.round(at)) * 2.0
    soft = max(0.15, 1.2 * pitch / apart)
    return smoothstep(0.5 * soft, -0.5 * soft, away - thick) * (thick > 0.01)
