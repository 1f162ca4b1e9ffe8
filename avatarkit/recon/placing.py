"""Training on the rasterizer's device: what is moved there before the first step, and back after the last."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from avatarkit.contracts import HeadModel
from avatarkit.head.parameters import HeadParams, HeadPose, Skinning
from avatarkit.recon.adam import require_gradients
from avatarkit.recon.step import TrainState


def placed(state: TrainState, device: str) -> TrainState:
    """``state`` with every tensor on ``device``; itself where it is there."""
    if state.gaussians.means.device.type == device.partition(":")[0]:
        return state
    gaussians = state.gaussians.detach().to(device)
    require_gradients(gaussians)
    state.gaussians = gaussians
    adam, head, pose = state.adam, state.head, state.head.pose
    adam.count()
    adam.steps, adam.floor = adam.steps.to(device), adam.floor.to(device)
    for group in (adam.first, adam.second, head.first, head.second, head.counts):
        for name, value in group.items():
            group[name] = value.to(device)
    head.params = head.params.to(device)
    skin = pose.skin and Skinning(pose.skin.neutral.to(device), pose.skin.weights.to(device))
    weights = None if pose.weights is None else pose.weights.to(device)
    head.pose = HeadPose(pose.vertices.to(device), pose.joints.to(device), skin, weights)
    for name in ("vertex_gradient", "joint_gradient", "touched"):
        setattr(head, name, getattr(head, name).to(device))
    state.screen_gradient, state.seen = state.screen_gradient.to(device), state.seen.to(device)
    state.unsound = None
    return state


def placed_head(head: HeadModel, device: str) -> HeadModel:
    """``head`` that poses on ``device``; a model that cannot be moved goes on posing where it is."""
    if head.faces.device.type == device.partition(":")[0]:
        return head
    move = getattr(head, "to", None)
    return move(device) if callable(move) else _Elsewhere(head, device)  # type: ignore[return-value]


class _Elsewhere:
    """A head model without ``to``: parameters travel to it, and what it poses travels back."""

    def __init__(self, inner: HeadModel, device: str) -> None:
        self._inner, self._device = inner, device
        self.faces: Tensor = inner.faces.to(device)
        self.template: Tensor = inner.template.to(device)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def pose(self, params: HeadParams) -> HeadPose:
        made = self._inner.pose(params.to(self._inner.faces.device))
        skin = made.skin and Skinning(made.skin.neutral.to(self._device), made.skin.weights.to(self._device))
        return dataclasses.replace(
            made, vertices=made.vertices.to(self._device), joints=made.joints.to(self._device), skin=skin
        )
