"""A head model.  It begins as the built-in bust under another name: put your own mesh and modes in its place."""

from __future__ import annotations

from typing import Any

from avatarkit.head.bust import BustModel
from avatarkit.head.parameters import HeadParams, HeadPose


class Mine:
    """``avatarkit.contracts.HeadModel``."""

    name = "mine"

    def __init__(self) -> None:
        self._bust = BustModel()
        self.num_shape, self.num_expr = self._bust.num_shape, self._bust.num_expr
        self.expr_names, self.joint_names = self._bust.expr_names, self._bust.joint_names
        self.parents, self.faces, self.template = self._bust.parents, self._bust.faces, self._bust.template
        self.regions, self.landmarks = self._bust.regions, self._bust.landmarks

    @property
    def reference(self) -> dict[str, Any]:
        """What an avatar file stores to find this model again."""
        return {**self._bust.reference, "name": self.name}

    def pose(self, params: HeadParams) -> HeadPose:
        """(T, V, 3) vertices and (T, J, 4, 4) joints, differentiable in every parameter."""
        return self._bust.pose(params)
