"""The contracts of the replaceable parts: one Protocol per role.  This is the API that plugins implement.

Conventions (docs/conventions.md): metres, right-handed world, y up; OpenCV cameras, world-to-camera; pixel centres at +0.5;
quaternions wxyz; images float32 in [0, 1], (…, C, H, W); angles in radians; colours blend in sRGB.

No torch at import: tensors are named in annotations only.  ``API_VERSION`` is the version that a Provider states in ``api``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from avatarkit.cameras import Cameras
    from avatarkit.capture.capture import Capture
    from avatarkit.edit.expectations import Expectation
    from avatarkit.edit.plan import EditPlan, EditRequest, FinalRequest, KeyframeText, Operation
    from avatarkit.events import Run
    from avatarkit.gaussians.avatar import Avatar
    from avatarkit.head.parameters import HeadParams, HeadPose
    from avatarkit.track.sequence import Sequence as TrackedSequence

API_VERSION = 1


# --- rasterizing -------------------------------------------------------------------------------------------------------


@dataclass
class Render:
    """What a rasterizer returns for B cameras, N Gaussians and D feature channels.

    features: (B, D, H, W) float32, blended front to back; ``background`` is already composited where one was given.
    alpha:    (B, 1, H, W) in [0, 1].
    depth:    (B, 1, H, W) expected depth along the camera's z: Σ α·T·z / Σ α·T, metres; 0 where alpha is 0.
    means2d:  (B, N, 2) pixels, detached.     radii: (B, N) int32 pixels; 0 where a Gaussian reaches no
              pixel (behind the camera, beside the image, too faint); one that others hide has its radius.
    sums:     (B, M, N) Σ over pixels of mask_m·α·T, or None without ``masks``; detached.
    top:      (B, H, W) int32 index of the Gaussian with the largest α·T, −1 where none, or None unless asked for.
    mean2d_gradients: call it after ``backward``: (B, N, 2), ∂loss/∂means2d in pixels.
    """

    features: Tensor
    alpha: Tensor
    depth: Tensor
    means2d: Tensor
    radii: Tensor
    sums: Tensor | None = None
    top: Tensor | None = None
    mean2d_gradients: Callable[[], Tensor] | None = field(default=None, repr=False)


@runtime_checkable
class Rasterizer(Protocol):
    """Blends 3D Gaussians into images (Kerbl et al., SIGGRAPH 2023; EWA projection, Zwicker et al. 2001).

    ``capabilities`` is a set out of {"top", "antialiased", "camera_gradients", "absgrad"}.  An optional attribute ``device``, such as
    "cuda", says where it wants its tensors; without it that is the CPU.
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> frozenset[str]: ...

    def render(
        self,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        features: Tensor,
        cameras: Cameras,
        *,
        background: Tensor | None = None,
        masks: Tensor | None = None,
        antialiased: bool = False,
        top: bool = False,
        absgrad: bool = False,
    ) -> Render:
        """Render.

        means (N, 3) or (B, N, 3) world, metres; quats (…, 4) wxyz, any non-zero length; scales (…, 3) metres, > 0;
        opacities (N,) or (B, N) in [0, 1]; features (N, D) or (B, N, D); background (D,), (B, D) or (B, D, H, W);
        masks (B, M, H, W) float32 weights for ``Render.sums``.  ``absgrad``: accumulate |∂/∂means2d| per pixel instead of
        the signed sum.  Differentiable in means, quats, scales, opacities, features, background and both camera tensors.

        Conventions: low-pass 0.3 px² on the 2D covariance; ``antialiased``: 0.1 px², about what a pixel is wide, and opacity times
        √(det Σ / det(Σ + 0.1 I)), so that a head looks the same from farther away (Mip-Splatting, Yu et al. 2024, section 5.2);
        α < 1/255 is cut, α ≤ 0.999; near plane 0.01 m; a pixel stops once its transmittance falls below 1e-4.
        A Gaussian with a non-finite parameter, a zero quaternion or a non-positive scale is invisible; shapes or dtypes that
        do not fit raise InputError.
        """
        ...


# --- head models and tracking ------------------------------------------------------------------------------------------


@runtime_checkable
class HeadModel(Protocol):
    """Parametric head mesh: parameters → vertices and joints.

    name: "flame" or "bust" or a file's stem.        reference: what an avatar file stores to find the model again
    ({"name", "sha256", "vertices", "shape", "expr"}).
    faces (F, 3) int64, counterclockwise from outside; template (V, 3) float32; expr_names: one per expression mode, "" where a mode has no name;
    joint_names, parents (J,): joints are root, neck, jaw, l_eye, r_eye for both built-ins;
    regions: name → (V,) float32 weights in [0, 1] (see ``avatarkit.head.regions``);
    landmarks: embedding of MediaPipe landmarks, or None.
    """

    @property
    def name(self) -> str: ...

    @property
    def num_shape(self) -> int: ...

    @property
    def num_expr(self) -> int: ...

    @property
    def expr_names(self) -> tuple[str, ...]: ...

    @property
    def joint_names(self) -> tuple[str, ...]: ...

    @property
    def parents(self) -> tuple[int, ...]: ...

    @property
    def faces(self) -> Tensor: ...

    @property
    def template(self) -> Tensor: ...

    @property
    def regions(self) -> dict[str, Tensor]: ...

    @property
    def landmarks(self) -> LandmarkEmbedding | None: ...

    @property
    def reference(self) -> dict[str, Any]: ...

    def pose(self, params: HeadParams) -> HeadPose:
        """(T, V, 3) vertices and (T, J, 4, 4) joint transforms for T timesteps; differentiable in every parameter."""
        ...


@dataclass(frozen=True)
class LandmarkEmbedding:
    """Landmarks as points on the mesh.

    indices (L,) int64: which of the 478 MediaPipe landmarks; faces (L,) int64; barycentrics (L, 3) float32.
    """

    indices: Tensor
    faces: Tensor
    barycentrics: Tensor

    def points(self, vertices: Tensor, mesh_faces: Tensor) -> Tensor:
        """(…, V, 3) → (…, L, 3)."""
        corners = vertices[..., mesh_faces[self.faces], :]
        return (corners * self.barycentrics.to(corners)[:, :, None]).sum(-2)


@runtime_checkable
class Tracker(Protocol):
    """Head parameters for a capture."""

    def track(
        self, capture: Capture, head: HeadModel, run: Run, initial: TrackedSequence | None = None
    ) -> TrackedSequence:
        """Fit ``head`` to every timestep of ``capture``; ``initial``: parameters and cameras of the same capture to start from, which a tracker that
        needs none may leave out.  Raises InputError when no face is found."""
        ...


@dataclass(frozen=True)
class FaceLandmarks:
    """What a landmark detector found in one image.

    points (478, 3) float32: x, y in pixels, z in pixels relative to the head's centre (smaller is nearer);
    blendshapes: ARKit name → score in [0, 1]; count: how many faces the image has; score in [0, 1].
    """

    points: Any
    blendshapes: dict[str, float]
    count: int
    score: float


class LandmarkDetector(Protocol):
    """Finds face landmarks; what a landmark-based tracker plugin supplies to the core's fit."""

    def detect(self, images: Sequence[Any]) -> list[FaceLandmarks | None]:
        """images: uint8 (H, W, 3) arrays in time order.  None where no face was found."""
        ...


# --- segmenting, editing -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """Where an image was taken from, for parts that use geometry: camera (batch of one), timestep, posed head and its model."""

    cameras: Cameras
    timestep: int
    pose: HeadPose | None = None
    mask: Tensor | None = None  # (1, H, W) foreground
    head: HeadModel | None = None


@runtime_checkable
class Segmenter(Protocol):
    def segment(self, images: Tensor, views: Sequence[View]) -> Tensor:
        """images (B, 3, H, W) → label probabilities (B, 19, H, W) that sum to one; labels as in ``avatarkit.labels``."""
        ...


@runtime_checkable
class Refiner(Protocol):
    """Plans edits.  What it returns is checked by the core before anything is done, so a model's words can be passed on."""

    def refine(self, request: EditRequest, run: Run) -> EditPlan:
        """The plan of a prompt.

        Where nothing was understood: a plan without operations whose ``ambiguities`` say why.  A refiner that sends data off
        the machine says what and where with ``run.notice`` before it does.  Raises an AvatarkitError where it cannot plan.
        """
        ...


@runtime_checkable
class FinalisingRefiner(Refiner, Protocol):
    """A refiner that also takes the second turn; for one that does not, the core writes the texts itself."""

    def finalise(self, request: FinalRequest, run: Run) -> tuple[KeyframeText, ...]:
        """Once an operation's region is located: the final instruction and caption for each keyframe, in their order."""
        ...


@dataclass(frozen=True)
class Correspondences:
    """Where each pixel of B views lies on the head: the same triangle and place is the same point of the head, whatever its
    expression and wherever it is seen from.

    triangle (B, H, W) int32, −1 where the mesh does not show; barycentrics (B, H, W, 3) float32; rest (B, H, W, 3) float32:
    that point on the neutral head, metres, 0 where there is none.
    """

    triangle: Tensor
    barycentrics: Tensor
    rest: Tensor


@dataclass(frozen=True)
class EditStep:
    """What an editor is asked to paint into one batch of views.

    operation: of the plan; texts: the final words, one for each view; round: 0 for the first pass over a keyframe, then 1, 2;
    noise: in (0, 1], how much of the picture may be made anew (a diffusion editor starts that far up its schedule).
    latent: what a correction is to do, "" for none: "add" the thing that is missing in ``masks``, "delete" what is there,
    "reposition" it by ``shift`` (x right, y down, shares of the picture's width and height), "change" its attributes (Wu et al.,
    Self-correcting LLM-controlled diffusion models, CVPR 2024).  The views then show what is to be corrected.
    """

    operation: Operation
    texts: tuple[KeyframeText, ...]
    round: int = 0
    noise: float = 0.98
    latent: Literal["", "add", "delete", "reposition", "change"] = ""
    shift: tuple[float, float] = (0.0, 0.0)


@runtime_checkable
class Editor(Protocol):
    """Paints an operation into pictures.  The core registers, masks and judges what comes back, so an editor may do too much.

    Optional attributes: ``iterative`` (False): it makes pictures anew every time and is asked again, round after round; ``varies``
    (True): asked again after a failure it would paint something else; ``reads_words`` (True): it goes by ``step.texts``, for which a
    refiner is asked, and not by the operation alone; ``can_paint(operation)``: whether it would take one, without it that is yes.
    """

    def edit(
        self,
        views: Tensor,
        masks: Tensor,
        step: EditStep,
        *,
        references: Tensor | None,
        cameras: Cameras,
        correspondences: Correspondences | None,
        seed: int,
        run: Run,
    ) -> Tensor:
        """Edited views (B, 3, H, W), float32 in [0, 1]; the inputs are left as they are.

        views (B, 3, H, W) float32 in [0, 1]: the avatar before the edit, in a correction what the attempt before made of it (again
        the avatar before the edit, where it made nothing that was accepted); masks (B, 1, H, W) in [0, 1]: where the operation
        belongs; what a reposition moves may also change where it arrives.  references: None, or
        (B, 3, H, W): the avatar after it has learnt earlier views of this attempt, seen from the same places.  cameras: one a view.
        The same seed and inputs give the same pictures.  An editor that sends views off the machine says what and where with
        ``run.notice`` before it does; it emits Progress and gives up with KeyboardInterrupt once ``run.stopping``.  Raises an
        AvatarkitError where it cannot paint.
        """
        ...


@runtime_checkable
class Discriminator(Protocol):
    """Tells accepted keyframes from renders while an edit is fitted.  A ``torch.nn.Module``: the core makes its optimiser.

    ``condition`` (B, 4, H, W): the view before the edit (3) and the region mask (1).
    """

    def logits(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, 3, H, W) in [0, 1] → (B, …), one logit for each patch."""
        ...

    def d_loss(self, real: Tensor, fake: Tensor, condition: Tensor) -> Tensor:
        """E[relu(1 − D(real))] + E[relu(1 + D(fake))]; ``fake`` is detached by the implementation.  A penalty may be added."""
        ...

    def g_loss(self, fake: Tensor, condition: Tensor) -> Tensor:
        """−E[D(fake)]."""
        ...


@dataclass(frozen=True)
class EditedViews:
    """One edit as a metric sees it: B views of the avatar before and after.

    before, after (B, 3, H, W) float32 in [0, 1]; captions: a picture before and after in words, the same where words cannot tell them
    apart; expected: for each view what it should show now, empty where nothing of that can be told from it.
    """

    before: Tensor
    after: Tensor
    source_caption: str
    target_caption: str
    expected: tuple[tuple[Expectation, ...], ...]
    prompt: str = ""
    operations: tuple[Operation, ...] = ()


@dataclass(frozen=True)
class Measured:
    """One figure of an edit.

    name: what was measured, and by which model: "clip-direction (openai/clip-vit-large-patch14)".  views: a value for each view, None
    where that view cannot tell.  passed: whether the edit did what was asked; None where the metric has no threshold.
    """

    name: str
    views: tuple[float | None, ...]
    passed: bool | None = None


@runtime_checkable
class EditMetric(Protocol):
    """Judges what an edit did to pictures, mostly by a learned model.  It is made with its model and names it in every figure."""

    def score(self, edit: EditedViews, run: Run) -> tuple[Measured, ...]:
        """The figures of one edit, none where this metric has nothing to say about it; names are the same from edit to edit.

        Views that did not change have finite figures too.  A metric that sends views off the machine says what and where with
        ``run.notice`` before it does; it gives up with KeyboardInterrupt once ``run.stopping``.
        """
        ...


@runtime_checkable
class Exporter(Protocol):
    suffix: str

    def export(self, avatar: Avatar, path: Path, pose: HeadPose | None = None, **options: Any) -> None:
        """Write ``avatar`` (posed by ``pose``, or at rest) to ``path``, atomically."""
        ...


@dataclass(frozen=True)
class CheckResult:
    """One row of ``doctor``."""

    ok: bool
    found: str
    mend: str = ""
