"""The synthetic subject: ``bust`` with a shape of its own, dressed in the parts of an ``Appearance``.

The head model that is fitted to it knows neither its displacement nor hair, brows, lashes, beard, clothes or jewellery.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np
import torch
from scipy.spatial import cKDTree

from avatarkit.head.bust import BustModel
from avatarkit.head.parameters import HeadParams, HeadPose
from avatarkit.synthetic import face
from avatarkit.synthetic.accessories import accessory_parts
from avatarkit.synthetic.anatomy import rest
from avatarkit.synthetic.appearance import Appearance
from avatarkit.synthetic.clothing import shirt_parts
from avatarkit.synthetic.facial_hair import beard_parts, brow_parts, lash_parts
from avatarkit.synthetic.hair import hair_parts, presses
from avatarkit.synthetic.materials import (
    ALBEDO,
    ATTRIBUTES,
    DETAIL,
    GLOSS,
    NORMAL,
    OCCLUSION,
    SUN,
    TANGENT,
    TEXTURE,
    Lighting,
)
from avatarkit.synthetic.mesh_renderer import Camera, ShadowMap, Surface, View, render_surface, shadow_map
from avatarkit.synthetic.parts import Part, unit, vertex_normals
from avatarkit.types import Float32Array, FloatArray

AMBIENT_DIRECTIONS = 48
_SHADOWS: dict[object, tuple[tuple[ShadowMap, ...], tuple[ShadowMap, ...]]] = {}


@lru_cache(maxsize=1)
def bust() -> BustModel:
    """The head model; built once."""
    return BustModel()


def shape_coefficients(seed: int) -> Float32Array:
    """(S,) the subject's true coefficients of ``bust``'s identity modes."""
    return np.clip(np.random.default_rng([seed, 5]).normal(0.0, 0.55, bust().num_shape), -1.2, 1.2).astype(np.float32)


@lru_cache(maxsize=64)
def off_model_shape(seed: int, strength: float) -> Float32Array:
    """(V, 3) metres: the displacement, less all that the identity modes can express (least squares over the vertices)."""
    wanted = face.sculpted(seed, strength)
    modes = bust().arrays.shapedirs.astype(np.float64).reshape(wanted.size, -1)
    known, *_ = np.linalg.lstsq(modes, wanted.ravel(), rcond=None)
    left = (wanted.ravel() - modes @ known).reshape(wanted.shape)
    bust_parts = rest()
    for side in (1.0, -1.0):  # eyeballs stay spheres: each moves as a whole
        ball = bust_parts.parts["eyeball"] & (bust_parts.points[:, 0] * side > 0)
        left[ball] = left[ball].mean(0)
    return left.astype(np.float32)


@dataclass(frozen=True)
class SubjectParams:
    """One timestep of the subject: ``bust``'s parameters without the displacement.

    expr (E,); rotation, translation, neck_pose, jaw_pose (3,); eyes_pose (6,): radians and metres.
    """

    expr: FloatArray
    rotation: FloatArray
    translation: FloatArray
    neck_pose: FloatArray
    jaw_pose: FloatArray
    eyes_pose: FloatArray


def neutral() -> SubjectParams:
    """Everything at rest."""
    return SubjectParams(np.zeros(bust().num_expr), *(np.zeros(n) for n in (3, 3, 3, 3, 6)))


class Subject:
    """A subject that can be posed and drawn.  Building it takes about two seconds; ``subject`` keeps the last few."""

    def __init__(self, look: Appearance, lighting: Lighting | None = None) -> None:
        self.appearance = look
        self.lighting = lighting or Lighting()
        self.head = bust()
        self.shape = shape_coefficients(look.identity)
        self.offset = off_model_shape(look.identity, look.identity_strength)
        self.faces = self.head.faces.numpy()
        self.count = len(self.offset)
        still = self.pose_head(neutral())
        self.rest_vertices = still.vertices[0].numpy().astype(np.float64)
        self._template = self.head.template.numpy().astype(np.float64)
        self._warp_tree = cKDTree(self._template)
        rng = lambda part: np.random.default_rng([look.identity, part])  # noqa: E731 - one stream a part: an edit moves no other
        self.parts: list[Part] = [
            *shirt_parts(look), *hair_parts(look, rng(1)), *brow_parts(look, rng(2)), *lash_parts(look, rng(3)),
            *beard_parts(look, rng(4)), *accessory_parts(look),
        ]  # fmt: skip
        for part in self.parts:
            part.points = self._warped(part.points)
        self._assemble()
        self._measure_light()

    def pose_head(self, params: SubjectParams) -> HeadPose:
        """The naked head with its own shape."""
        with _POSING:  # one at a time: the head model keeps its last neutral shape
            return _posed(self.head, self.shape, self.offset, (params,))[0]

    def _warped(self, points: FloatArray) -> FloatArray:
        """Points designed on ``bust``'s template, carried to this subject's head: the displacement of the 12 nearest vertices."""
        away, near = self._warp_tree.query(points, k=12)
        weight = 1.0 / (away + 2e-3) ** 2
        weight /= weight.sum(1, keepdims=True)
        moved = self.rest_vertices - self._template
        return points + (weight[..., None] * moved[near]).sum(1)

    def _assemble(self) -> None:
        """One mesh out of head and parts, with what each frame needs to pose it."""
        colours = face.complexion(self.appearance)
        starts = np.cumsum([self.count] + [len(p.points) for p in self.parts])
        total = int(starts[-1])
        self.rest_points = np.concatenate([self.rest_vertices, *(p.points for p in self.parts)])
        self.all_faces = np.concatenate(
            [self.faces, *(p.faces + s for p, s in zip(self.parts, starts[:-1], strict=True))]
        ).astype(np.int32)
        attributes = np.zeros((total, ATTRIBUTES), np.float32)
        head = slice(0, self.count)
        attributes[head, NORMAL : NORMAL + 3] = vertex_normals(self.rest_vertices, self.faces)
        attributes[head, ALBEDO : ALBEDO + 3] = colours.albedo
        attributes[head, TEXTURE : TEXTURE + 3] = colours.texture
        attributes[head, GLOSS], attributes[head, DETAIL] = colours.gloss, colours.freckles
        labels, opacity = [face.face_labels(self.appearance)], [np.ones(len(self.faces))]
        materials, material = list(colours.materials), [colours.material]
        neck = np.zeros(total)
        self._rooted = np.zeros(total, bool)
        root_face, root_bary = np.zeros(total, np.int64), np.zeros((total, 3))
        casts = [np.ones(len(self.faces), bool)]
        for part, start in zip(self.parts, starts[:-1], strict=True):
            rows = slice(int(start), int(start) + len(part.points))
            attributes[rows, NORMAL : NORMAL + 3], attributes[rows, TANGENT : TANGENT + 3] = part.normals, part.tangents
            attributes[rows, ALBEDO : ALBEDO + 3], attributes[rows, TEXTURE : TEXTURE + 3] = part.albedo, part.texture
            attributes[rows, GLOSS] = part.gloss
            if part.root_face is not None:
                self._rooted[rows] = True
                root_face[rows], root_bary[rows] = part.root_face, part.root_bary
            else:
                neck[rows] = part.neck
            labels.append(part.labels)
            opacity.append(np.full(len(part.faces), part.opacity))
            material.append(np.full(len(part.faces), len(materials)))
            materials.append(part.material)
            casts.append(np.full(len(part.faces), part.casts))
        self._attributes, self._neck = attributes, neck
        self._labels = np.concatenate(labels).astype(np.uint8)
        self._opacity = np.concatenate(opacity).astype(np.float32)
        self._material, self._materials = np.concatenate(material).astype(np.int32), tuple(materials)
        self._casts = np.concatenate(casts)
        self._root_face, self._root_bary = root_face[self._rooted], root_bary[self._rooted]
        frames, origins = self._root_frames(self.rest_vertices)
        self._local = _turned_back(frames, self.rest_points[self._rooted] - origins)
        self._local_normal = _turned_back(frames, attributes[self._rooted, NORMAL : NORMAL + 3])
        self._local_tangent = _turned_back(frames, attributes[self._rooted, TANGENT : TANGENT + 3])
        self._carried = ~self._rooted
        self._carried[: self.count] = False
        self._measured = colours.occlusion

    def _root_frames(self, vertices: FloatArray) -> tuple[FloatArray, FloatArray]:
        corners = vertices[self.faces[self._root_face]]
        first = unit(corners[:, 1] - corners[:, 0])
        normal = unit(np.cross(first, corners[:, 2] - corners[:, 0]))
        frames = np.stack([first, normal, np.cross(first, normal)], 2)
        return frames, (self._root_bary[..., None] * corners).sum(1)

    def _measure_light(self) -> None:
        """Ambient occlusion and the key light's shadow, measured once at rest; accessories receive but do not cast."""
        around, towards_key = self._shadows()
        normals = self._attributes[:, NORMAL : NORMAL + 3].astype(np.float64)
        at = self.rest_points + 0.0012 * normals
        strand = np.abs(self._attributes[:, TANGENT : TANGENT + 3]).sum(1) > 0
        seen, total, sun = np.zeros(len(at)), np.zeros(len(at)), np.zeros(len(at))
        for shadow in around:
            facing = np.maximum(normals @ shadow.basis[2], 0.0)
            facing = np.where(strand, 0.35 + 0.65 * facing, facing)
            seen += facing * shadow.visibility(at)
            total += facing
        for shadow in towards_key:
            sun += shadow.visibility(at) / len(towards_key)
        occlusion = seen / np.maximum(total, 1e-9)
        fixed = np.concatenate([self._measured, np.full(len(at) - self.count, -1.0)])
        self._attributes[:, OCCLUSION] = np.where(fixed >= 0, fixed, 0.10 + 0.90 * occlusion**0.85)
        self._attributes[:, SUN] = np.where(fixed >= 0, fixed * 0.7, 0.10 + 0.90 * sun)

    def _shadows(self) -> tuple[tuple[ShadowMap, ...], tuple[ShadowMap, ...]]:
        """Shadows from all around and from around the key light.  Kept for every look that casts the same ones: edits of
        colour and accessories, mostly."""
        look = self.appearance
        key = (look.identity, look.identity_strength, look.hair_style, look.shirt, presses(look), self.lighting)
        if key not in _SHADOWS:
            casters = self.all_faces[self._casts]
            share = (np.arange(AMBIENT_DIRECTIONS) + 0.5) / AMBIENT_DIRECTIONS
            polar, turn = np.arccos(1 - 2 * share), np.pi * (1 + 5**0.5) * np.arange(AMBIENT_DIRECTIONS)
            around = np.stack([np.sin(polar) * np.cos(turn), np.cos(polar), np.sin(polar) * np.sin(turn)], 1)
            lamp, rng = unit(np.array(self.lighting.key)), np.random.default_rng(0)
            near_key = [lamp, *(lamp + 0.16 * rng.normal(size=3) for _ in range(11))]
            made = tuple(
                tuple(shadow_map(self.rest_points, casters, d, size=size) for d in directions)
                for directions, size in ((around, 224), (near_key, 320))
            )
            while len(_SHADOWS) >= 8:
                _SHADOWS.pop(next(iter(_SHADOWS)))
            _SHADOWS[key] = (made[0], made[1])
        return _SHADOWS[key]

    def pose(self, params: SubjectParams) -> Surface:
        """The whole subject in the world, ready to draw."""
        with _POSING:
            posed, upright = _posed(self.head, self.shape, self.offset, (params, _upright(params)))
        vertices = posed.vertices[0].numpy().astype(np.float64)
        joints = posed.joints[0].numpy().astype(np.float64)
        # joints shift a little with the expression, the skull does not: carry parts as skinning does, from where the joints
        # of this very expression are before they turn
        homes = upright.joints[0].numpy().astype(np.float64)
        points = np.empty_like(self.rest_points)
        attributes = self._attributes.copy()
        points[: self.count] = vertices
        attributes[: self.count, NORMAL : NORMAL + 3] = vertex_normals(vertices, self.faces)
        frames, origins = self._root_frames(vertices)
        points[self._rooted] = origins + _turned(frames, self._local)
        attributes[self._rooted, NORMAL : NORMAL + 3] = _turned(frames, self._local_normal)
        attributes[self._rooted, TANGENT : TANGENT + 3] = _turned(frames, self._local_tangent)
        rest = self.rest_points[self._carried]
        share = self._neck[self._carried][:, None]
        moves = [joints[k] @ np.linalg.inv(homes[k]) for k in (0, 1)]
        ends = [rest @ m[:3, :3].T + m[:3, 3] for m in moves]
        points[self._carried] = (1 - share) * ends[0] + share * ends[1]
        for column in (NORMAL, TANGENT):
            old = self._attributes[self._carried, column : column + 3]
            turned = [old @ m[:3, :3].T for m in moves]
            attributes[self._carried, column : column + 3] = (1 - share) * turned[0] + share * turned[1]
        return Surface(
            points.astype(np.float32),
            self.all_faces,
            attributes,
            self._material,
            self._labels,
            self._opacity,
            self._materials,
        )

    def draw(
        self,
        surface: Surface,
        camera: Camera,
        *,
        samples: int = 3,
        background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> View:
        """What ``camera`` sees of an already posed ``surface``."""
        return render_surface(surface, camera, self.lighting, samples=samples, background=background)

    def view(
        self,
        params: SubjectParams,
        camera: Camera,
        *,
        samples: int = 3,
        background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> View:
        """What ``camera`` sees of the subject posed by ``params``."""
        return self.draw(self.pose(params), camera, samples=samples, background=background)


_POSING = Lock()


def _upright(params: SubjectParams) -> SubjectParams:
    """The same expression with no joint turned."""
    return SubjectParams(params.expr, *(np.zeros(n) for n in (3, 3, 3, 3, 6)))


def _posed(
    head: BustModel, shape: Float32Array, offset: Float32Array, moments: tuple[SubjectParams, ...]
) -> tuple[HeadPose, ...]:
    def rows(name: str) -> torch.Tensor:
        return torch.tensor(np.stack([np.asarray(getattr(moment, name), np.float32) for moment in moments]))

    with torch.no_grad():
        pose = head.pose(
            HeadParams(
                torch.tensor(shape), rows("expr"), rows("rotation"), rows("translation"), rows("neck_pose"),
                rows("jaw_pose"), rows("eyes_pose"), torch.tensor(offset),
            )
        )  # fmt: skip
    return tuple(pose[k] for k in range(len(moments)))


def _turned(frames: FloatArray, vectors: FloatArray) -> FloatArray:
    return np.einsum("nab,nb->na", frames, vectors)


def _turned_back(frames: FloatArray, vectors: FloatArray) -> FloatArray:
    return np.einsum("nba,nb->na", frames, vectors)


@lru_cache(maxsize=6)
def subject(look: Appearance) -> Subject:
    """The subject with this appearance; the last six are kept."""
    return Subject(look)
