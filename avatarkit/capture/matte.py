"""Mattes for a camera that stands still: which part of each pixel is the person, given the learned background.

Per frame: (1) difference to the background, in standard deviations; (2) a random walker that smooths it along edges that the
background does not have (background attenuation: Sun et al., Background Cut, ECCV 2006), which closes holes where a shirt has
the wall's colour; (3) at the rim, alpha from the known background and the nearby foreground colour, α = (I−B)·(F−B)/|F−B|²,
smoothed once more, so that hair stays soft.  The person is the component that holds the face, shoulders included.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import numpy as np
from scipy import ndimage

from avatarkit.capture.backdrop import with_backdrop
from avatarkit.capture.background import Background, face_ellipse, gain, head_boxes, learn_background
from avatarkit.capture.cache import CacheWriter, cached, in_order
from avatarkit.capture.capture import Capture
from avatarkit.capture.diffusion import double, fill, halve, over_channels, relax
from avatarkit.capture.motion import require_static
from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit.types import ByteArray, Float32Array, FloatArray, Json

EVEN = 3.5  # squared deviation a channel at which a pixel is as likely person as wall
STEEPNESS = 0.35  # of the data term by squared deviation
STRONGEST = 3.0  # the data term of a pixel that is surely either
COUPLING = 4.0  # of neighbours with the same colour
CONTRAST = 12.0  # levels of 255 at which neighbours come apart
# where alpha may be fractional, in face widths: into the person, among hair, outside
RIM_IN, RIM_DEEP, RIM_OUT = 0.018, 0.12, 0.12
OPAQUE = 0.6  # alpha below which a neighbourhood inside the outline shows the wall through hair
DARKEST = 0.8  # of the wall's brightness that a shadow on it may leave
CLIP_LOW, CLIP_HIGH = 0.08, 0.93  # alpha beyond which the rest is noise


def matte(image: ByteArray, background: Background, head: np.ndarray, face: FloatArray | None = None) -> ByteArray:
    """(H, W) uint8 alpha of one image (H, W, 3) uint8; head: a face box (4,) or a bool mask (H, W) of the head; face (4,): the
    face box where the mask holds shoulders too.

    A NaN box or an empty mask (no face found): the largest component is kept.
    """
    height, width = image.shape[:2]
    core = _core(head, height, width)
    face_width = float(np.sqrt(core.sum() * 0.9)) or 0.4 * width
    wall = background.confident & ~ndimage.binary_dilation(core, iterations=max(2, int(0.1 * face_width)))
    pixels = image.astype(np.float32)
    light = background.colour * gain(image, background.colour, wall)
    chin = _chin(head if face is None else face, height)
    light = light * _shading(pixels, light, background.noise, face_width, chin)[..., None]
    deviation = over_channels((pixels - light) ** 2) / (3.0 * background.noise**2)
    person = _component(_likely(pixels, light, deviation, core) > 0.5, core, deviation, chin)
    if not person.any():
        return np.zeros((height, width), np.uint8)
    return _soft(pixels, light, background.noise, person, core, face_width, chin)


def with_mattes(
    capture: Capture, heads: np.ndarray, run: Run | None = None, faces: FloatArray | None = None
) -> Capture:
    """``capture`` with a matte for every frame: its own masks win; else they are computed once and cached beside the frames.

    heads: per frame, (F, 4) face boxes in pixels (NaN where no face was found) or (F, H, W) bool head masks.  faces (F, 4): the face
    boxes where masks hold shoulders too, beside which little wall would be left to learn and to see a camera move by.  Raises
    InputError for a moving camera, and where the background cannot be learned.
    """
    if capture.masked:
        return capture
    if len(heads) != len(capture):
        raise InputError(f"{capture.name}: {len(heads)} head boxes for {len(capture)} frames")
    if not capture.static_camera:
        raise InputError(f"{capture.name}: a moving camera needs masks; give an image folder with masks/")
    heads = np.asarray(heads)
    boxes = np.asarray(head_boxes(heads) if faces is None else faces, np.float64)
    known = np.ascontiguousarray(heads).tobytes() + boxes.tobytes()
    digest = sha256(known + f"{heads.shape} matte/2 {capture.cache_key}".encode())

    def build(writer: CacheWriter) -> Json:
        for camera in range(len(capture.cameras)):
            _camera_mattes(writer, capture, camera, heads, boxes)
        return {}

    order = [i for c in range(len(capture.cameras)) for i, frame in enumerate(capture.frames) if frame.camera == c]
    key = digest.hexdigest()[:32]
    cache = cached(key, build, cache_dir=capture.cache_dir or None, run=run, total=len(capture), stage="matte")
    position = {frame: i for i, frame in enumerate(order)}
    return with_backdrop(replace(capture, mask=lambda index: cache.mask(position[index]), masked=True))


def _camera_mattes(writer: CacheWriter, capture: Capture, camera: int, heads: np.ndarray, faces: FloatArray) -> None:
    rows = [i for i, frame in enumerate(capture.frames) if frame.camera == camera]
    if not rows:
        return
    boxes = faces[rows]
    name = f"{capture.name} ({capture.cameras[camera].name})" if len(capture.cameras) > 1 else capture.name
    found = np.flatnonzero(np.isfinite(boxes).all(1))
    if not len(found):
        raise InputError(f"{name}: no face in any frame; the person cannot be told from the background; give masks")
    chosen = found[np.unique(np.linspace(0, len(found) - 1, 48).round().astype(int))]
    sample = np.stack([capture.image(rows[i]) for i in chosen])
    require_static(sample, boxes[chosen], name)
    background = learn_background(sample, heads[rows][chosen], boxes[chosen])
    for alpha in in_order(lambda i: matte(capture.image(i), background, heads[i], faces[i]), rows, threads=2):
        writer.add(None, alpha)


def _core(head: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) bool: pixels that are surely head."""
    if head.ndim == 2:
        return ndimage.binary_erosion(head, iterations=2)
    if not np.isfinite(head).all():
        return np.zeros((height, width), bool)
    return face_ellipse(head, height, width, 0.9)


def _chin(head: np.ndarray, height: int) -> int:
    """The row below which there is only body: holes in a shirt that has the wall's colour are closed there."""
    bottom = float(head_boxes(head[None])[0, 3])
    return int(bottom) if np.isfinite(bottom) else height


def _shading(
    image: Float32Array, light: Float32Array, noise: Float32Array, face_width: float, chin: int
) -> Float32Array:
    """(H, W) in [DARKEST, 1]: the shadow that the head throws on the wall in this frame, smooth as shadows are.

    Only pixels of the wall's hue that are even in themselves are asked, and none far below the chin, where a pale shirt would pass
    for a shaded wall.
    """
    size = over_channels(light**2) + 1.0
    ratio = over_channels(image * light) / size
    hue = over_channels((image - ratio[..., None] * light) ** 2) / (3.0 * noise**2)
    mean = ndimage.uniform_filter(ratio, 5)
    uneven = np.sqrt(np.maximum(ndimage.uniform_filter(ratio**2, 5) - mean**2, 0))
    wall = ((ratio > DARKEST) & (ratio < 1.03) & (hue < 2.0) & (uneven < 0.02)).astype(np.float32)
    wall[chin + round(0.3 * face_width) :] = 0.0
    reach = max(2.0, 0.03 * face_width)
    weight = ndimage.gaussian_filter(wall, reach)
    field = (ndimage.gaussian_filter(wall * np.minimum(ratio, 1.0), reach) + 0.02) / (weight + 0.02)
    return np.clip(field, DARKEST, 1.0).astype(np.float32)


def _likely(image: Float32Array, light: Float32Array, deviation: Float32Array, core: np.ndarray) -> Float32Array:
    """(H, W) in [0, 1]: person (1) or wall (0), smooth inside both; solved at half resolution where the image is large."""
    height, width = core.shape
    small = min(height, width) > 256
    if small:
        planes = [image, light, deviation[..., None], core[..., None].astype(np.float32)]
        stack = halve(np.concatenate(planes, -1))
        image, light, deviation, core = stack[..., :3], stack[..., 3:6], stack[..., 6], stack[..., 7] > 0.5
    lean = np.clip(STEEPNESS * (deviation - EVEN), -STRONGEST, STRONGEST)
    target = (lean > 0).astype(np.float32)
    weight = np.abs(lean).astype(np.float32)
    target[core], weight[core] = 1.0, STRONGEST
    right, down = _edges(image, light, COUPLING)
    solved = relax(target, target, weight, right, down, np.ones(core.shape, np.bool_), 50)
    return double(solved[..., None], height, width)[..., 0] if small else solved


def _edges(image: Float32Array, light: Float32Array, strength: float) -> tuple[Float32Array, Float32Array]:
    """How strongly a pixel holds to its right and lower neighbour; edges that the background has too do not part them."""
    weights = []
    for axis in (1, 0):
        step = over_channels(np.diff(image, axis=axis) ** 2)
        own = over_channels(np.diff(light, axis=axis) ** 2)
        along = strength * np.exp(-np.maximum(step - own, 0) / (2 * 3 * CONTRAST**2))
        weights.append(np.pad(along, [(0, 1) if a == axis else (0, 0) for a in (0, 1)]).astype(np.float32))
    return weights[0], weights[1]


def _component(person: np.ndarray, core: np.ndarray, deviation: Float32Array, chin: int) -> np.ndarray:
    """The component that holds the face (or the largest), without holes other than those that clearly show the wall beside
    the face, such as an earring's."""
    labels, count = ndimage.label(person)
    if not count:
        return person
    inside = np.bincount(labels[core & person], minlength=count + 1) if core.any() else np.bincount(labels.ravel())
    inside[0] = 0
    kept = labels == int(inside.argmax())
    holes, count = ndimage.label(ndimage.binary_fill_holes(kept) & ~kept)
    if count:
        index = np.arange(1, count + 1)
        area = ndimage.sum_labels(np.ones_like(deviation), holes, index)
        unlike = ndimage.median(deviation, holes, index) > 1.2
        low = np.array([row > chin for row, _ in ndimage.center_of_mass(holes > 0, holes, index)])
        kept |= np.isin(holes, index[(area < 0.0008 * kept.sum()) | unlike | low])
    return kept


def _soft(
    image: Float32Array,
    light: Float32Array,
    noise: Float32Array,
    person: np.ndarray,
    core: np.ndarray,
    face_width: float,
    chin: int,
) -> ByteArray:
    """Alpha: 1 inside, 0 outside, by known-background matting in the rim between."""
    inner = max(2, round(RIM_IN * face_width))
    deep, outer = (max(4, round(share * face_width)) for share in (RIM_DEEP, RIM_OUT))
    depth = ndimage.distance_transform_edt(np.pad(person, 1, mode="edge"))[1:-1, 1:-1]
    reach = ndimage.distance_transform_edt(~person)
    # flying hair makes the component an envelope that shows the wall: only what resembles the inside is surely foreground
    alpha, _ = _against(image, light, (depth > 2 * deep) | core)
    alpha = ndimage.median_filter(alpha, 5)
    sure = core | ((depth > inner) & (alpha > OPAQUE)) | ((depth > deep) & (alpha > 0.5 * OPAQUE))
    sure |= ndimage.binary_fill_holes(sure) & (depth > inner) & ((alpha > 0.1) | (np.arange(len(sure)) > chin)[:, None])
    rim = ~sure & (reach <= outer)
    alpha, length = _against(image, light, sure)
    trust = length / (length + (6.0 * noise) ** 2)
    # where foreground and wall have one colour, the segmentation decides
    prior = np.where(person, 1.0, 0.0)
    target = (trust * alpha + 0.25 * (1 - trust) * prior) / (trust + 0.25 * (1 - trust) + 1e-6)
    weight = (trust + 0.25 * (1 - trust)).astype(np.float32)
    right, down = _edges(image, light, 0.35)
    start = np.where(rim, target, sure).astype(np.float32)
    solved = relax(start, target.astype(np.float32), weight, right, down, rim, 12)
    solved = np.clip((solved - CLIP_LOW) / (CLIP_HIGH - CLIP_LOW), 0, 1)
    labels, _ = ndimage.label(solved > 0.1)
    attached = np.unique(labels[person & (solved > 0.1)])
    solved[~np.isin(labels, attached[attached > 0])] = 0.0
    return (solved * 255 + 0.5).astype(np.uint8)


def _against(image: Float32Array, light: Float32Array, sure: np.ndarray) -> tuple[Float32Array, Float32Array]:
    """Alpha (H, W) with the foreground's colour continued from ``sure``, and how far, squared, that is from the wall's."""
    toward = fill(image, sure.astype(np.float32)) - light
    length = over_channels(toward**2)
    away = image - light
    along = np.clip(over_channels(away * toward) / np.maximum(length, 1.0), 0, 1)
    # off the line between wall and nearby foreground lies foreground of another colour: an earring, a collar
    off = np.sqrt(over_channels((away - along[..., None] * toward) ** 2))
    return np.maximum(along, np.clip((off - 14.0) / 40.0, 0, 1)), length
