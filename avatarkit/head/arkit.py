"""ARKit's 52 expression names, and what a head makes of them.

Motion comes as named weights (ARKit's blendshape locations; MediaPipe's scores carry the same names).  A head whose expression
modes have these names takes them as they are.  For any other head the motion of each named weight on a *source* head is fitted
by least squares with the target's own means, which are its expression modes and its jaw and eye joints: over the vertices of the
face where both heads have FLAME's topology, else over the MediaPipe landmarks that both embed, in units of the head's size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.errors import InputError
from avatarkit.head.arkit_names import ARKIT_NAMES
from avatarkit.head.flame import FLAME_VERTICES, FlameModel
from avatarkit.head.parameters import HeadParams

# Gaze at full weight where no mode makes it: radians, of an eye whose rest looks along +z (+x turns it down, +y to its left).
LOOK_ANGLE = 0.45
LOOKS = {"Down": (0, 1.0), "Up": (0, -1.0), "In": (1, 1.0), "Out": (1, -1.0)}  # axis and sign for the right eye
JAW_STEP = 0.25  # radians: the secant over which the jaw's motion counts as linear
RIDGE = 1e-3  # of the mean square of a column: keeps principal components within what faces do


@dataclass(frozen=True)
class ExpressionMap:
    """A linear map from named weights to a head's parameters.

    names: the K weights, in order; expr (E, K), jaw (3, K), eyes (6, K: left, right; axis-angle).
    """

    names: tuple[str, ...]
    expr: Tensor
    jaw: Tensor
    eyes: Tensor

    def __call__(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """weights (T, K) → expr (T, E), jaw_pose (T, 3), eyes_pose (T, 6)."""
        return weights @ self.expr.T, weights @ self.jaw.T, weights @ self.eyes.T

    def reordered(self, names: tuple[str, ...]) -> ExpressionMap:
        """The same map for weights in the order of ``names``; names that it does not know move nothing."""
        columns = [self.names.index(name) if name in self.names else -1 for name in names]
        pick = torch.tensor(columns)
        known = (pick >= 0).to(self.expr)
        return ExpressionMap(names, self.expr[:, pick] * known, self.jaw[:, pick] * known, self.eyes[:, pick] * known)


def retarget_matrix(source: HeadModel, target: HeadModel) -> ExpressionMap:
    """Expression of ``source`` → expression, jaw and gaze of ``target``; K is the source's number of modes.

    Modes that both have by name go over as they are; the others are fitted.  Raises InputError when neither shared topology
    nor shared landmarks allow a fit and no name is shared.
    """
    result = _empty(tuple(source.expr_names), target)
    known = {name: index for index, name in enumerate(target.expr_names) if name}
    open_columns = []
    for column, name in enumerate(source.expr_names):
        if name in known:
            result.expr[known[name], column] = 1.0
        else:
            _look(result, column, name)  # the eyeballs; the lids are fitted like any other skin
            open_columns.append(column)
    if not open_columns:
        return result
    shared = _shared_points(source, target)
    if shared is None:
        if len(open_columns) == source.num_expr:
            raise InputError(
                f"expression cannot go from head model '{source.name}' to '{target.name}': no mode names, topology or landmarks in common"
            )
        return result
    return _fitted(result, source, target, shared, open_columns)


def fit_named_expressions(head: HeadModel, source: HeadModel | None = None) -> ExpressionMap:
    """What ARKit's weights do on ``head``; K = 52, in the order of ``ARKIT_NAMES``.

    source: the head whose named modes are imitated; default: ``head`` itself where it has the names, else the registered
    ``flame`` if its modes are named, else ``bust``.
    """
    if source is None:
        source = head if _is_named(head) else _named_source()
    if _is_named(head) and source is head:
        names = tuple(head.expr_names)
        own = _empty(names, head)
        own.expr.copy_(torch.eye(head.num_expr))
        missing = own.reordered(ARKIT_NAMES)
        for column, name in enumerate(ARKIT_NAMES):
            if name not in names:
                _look(missing, column, name)
                _jaw_by_joint(missing, column, name)
        return missing
    fitted = retarget_matrix(source, head).reordered(ARKIT_NAMES)
    for column, name in enumerate(ARKIT_NAMES):
        if name not in source.expr_names:
            _look(fitted, column, name)
            _jaw_by_joint(fitted, column, name)
    return fitted


def _is_named(head: HeadModel) -> bool:
    return len(set(head.expr_names) & set(ARKIT_NAMES)) >= 20


def _named_source() -> HeadModel:
    from avatarkit.errors import MissingAsset
    from avatarkit.head.loading import load_head, registered_flame

    try:
        flame = registered_flame()
        if _is_named(flame):
            return flame
    except MissingAsset:
        pass
    return load_head("bust")


def _empty(names: tuple[str, ...], target: HeadModel) -> ExpressionMap:
    count = len(names)
    return ExpressionMap(names, torch.zeros(target.num_expr, count), torch.zeros(3, count), torch.zeros(6, count))


def _look(result: ExpressionMap, column: int, name: str) -> None:
    """Gaze by the eye joints, for ``eyeLook…`` weights."""
    for look, (axis, sign) in LOOKS.items():
        for side, offset in (("Left", 0), ("Right", 3)):
            if name == f"eyeLook{look}{side}":
                mirrored = -sign if axis == 1 and side == "Left" else sign
                result.eyes[offset + axis, column] = LOOK_ANGLE * mirrored


def _jaw_by_joint(result: ExpressionMap, column: int, name: str) -> None:
    """Jaw weights by the jaw joint alone, for a source without such modes (0.35 rad opens a mouth wide)."""
    motion = {"jawOpen": (0, 0.35), "jawLeft": (1, 0.12), "jawRight": (1, -0.12)}
    if name in motion:
        axis, angle = motion[name]
        result.jaw[axis, column] = angle


def _shared_points(source: HeadModel, target: HeadModel) -> tuple[Tensor, Tensor, float] | None:
    """Rows (N, V) … as index tensors: what to compare on either head, and the target's size over the source's."""
    if isinstance(source, FlameModel) and isinstance(target, FlameModel):
        face = sum(target.regions[name][:FLAME_VERTICES] for name in ("face", "mouth")) > 0
        rows = torch.nonzero(face)[:, 0]
        return rows, rows, 1.0
    if source.landmarks is None or target.landmarks is None:
        return None
    ours, theirs = source.landmarks.indices.tolist(), target.landmarks.indices.tolist()
    both = [index for index in ours if index in theirs]
    if len(both) < 40:
        return None
    rows = torch.tensor([ours.index(index) for index in both]), torch.tensor([theirs.index(index) for index in both])
    spread = [
        (points - points.mean(0)).norm()
        for points in (_points(source, source.template)[rows[0]], _points(target, target.template)[rows[1]])
    ]
    return rows[0], rows[1], float(spread[1] / spread[0])


def _points(head: HeadModel, vertices: Tensor) -> Tensor:
    assert head.landmarks is not None
    return head.landmarks.points(vertices, head.faces)


def _fitted(
    result: ExpressionMap,
    source: HeadModel,
    target: HeadModel,
    shared: tuple[Tensor, Tensor, float],
    columns: list[int],
) -> ExpressionMap:
    """Least squares with a small ridge: target's modes and jaw → what the source's modes ``columns`` do."""
    source_rows, target_rows, scale = shared
    by_vertex = isinstance(source, FlameModel) and isinstance(target, FlameModel)

    def motion(head: HeadModel, params: HeadParams, rows: Tensor) -> Tensor:
        vertices = head.pose(params).vertices
        points = vertices if by_vertex else _points(head, vertices)
        return (points[1:, rows] - points[:1, rows]).flatten(1).double()

    with torch.no_grad():
        given = HeadParams.zeros(len(columns) + 1, source.num_shape, source.num_expr)
        given.expr[torch.arange(len(columns)) + 1, torch.tensor(columns)] = 1.0
        wanted = scale * motion(source, given, source_rows)
        means = HeadParams.zeros(target.num_expr + 4, target.num_shape, target.num_expr)
        means.expr[1 : target.num_expr + 1] = torch.eye(target.num_expr)
        means.jaw_pose[target.num_expr + 1 :] = JAW_STEP * torch.eye(3)
        basis = motion(target, means, target_rows)
        basis[target.num_expr :] /= JAW_STEP
        gram = basis @ basis.T
        ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        solution = torch.linalg.solve(gram + ridge, basis @ wanted.T).float()
    expr, jaw = result.expr.clone(), result.jaw.clone()
    expr[:, columns], jaw[:, columns] = solution[: target.num_expr], solution[target.num_expr :]
    return replace(result, expr=expr, jaw=jaw)
