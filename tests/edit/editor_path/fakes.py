"""Editors that do what they are told, and remember what they were asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from avatarkit.contracts import EditStep
from avatarkit.edit.plan import Attributes, EditPlan, Operation

BLUE = (0.1, 0.2, 0.9)


def operation(
    kind: str, target: str, region: Any = None, depends_on: tuple[int, ...] = (), **attributes: Any
) -> Operation:
    return Operation(kind, target, region, Attributes(**attributes), depends_on=depends_on)


def plan(*operations: Operation) -> EditPlan:
    return EditPlan("a test", operations, refiner="test")


@dataclass
class Fake:
    """Tints the masked part by ``share`` of the way to ``colour``; ``wrong`` is returned instead where it is set."""

    colour: tuple[float, float, float] = BLUE
    share: float = 1.0
    iterative: bool = False
    wrong: Any = None
    steps: list[EditStep] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    references: list[Tensor | None] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    masks: list[Tensor] = field(default_factory=list)
    views: list[Tensor] = field(default_factory=list)

    @property
    def outputs(self) -> int:
        return sum(self.sizes)

    def edit(self, views: Tensor, masks: Tensor, step: EditStep, *, references: Tensor | None, cameras: Any, correspondences: Any,
             seed: int, run: Any) -> Any:  # fmt: skip
        self.steps.append(step)
        self.sizes.append(len(views))
        self.references.append(references)
        self.seeds.append(seed)
        self.masks.append(masks)
        self.views.append(views)
        if self.wrong is not None:
            return self.wrong(views) if callable(self.wrong) else self.wrong
        to = torch.tensor(self.colour)[:, None, None]
        return views + self.share * masks * (to - views)


class Patches(torch.nn.Module):
    """A discriminator of one convolution, with the hinge losses written out."""

    learning_rate, betas = 1e-2, (0.0, 0.9)

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.layer = torch.nn.Conv2d(7, 1, 5, stride=4)

    def logits(self, x: Tensor, condition: Tensor) -> Tensor:
        found: Tensor = self.layer(torch.cat([x, condition], 1))
        return found

    def d_loss(self, real: Tensor, fake: Tensor, condition: Tensor) -> Tensor:
        on_real, on_fake = self.logits(real, condition), self.logits(fake.detach(), condition)
        return torch.relu(1 - on_real).mean() + torch.relu(1 + on_fake).mean()

    def g_loss(self, fake: Tensor, condition: Tensor) -> Tensor:
        return -self.logits(fake, condition).mean()
