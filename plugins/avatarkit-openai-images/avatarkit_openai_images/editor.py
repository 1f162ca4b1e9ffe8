"""Paints views by OpenAI's images edit API, or by a server that speaks it: ``avatarkit.contracts.Editor``."""

from __future__ import annotations

import os
from functools import partial

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Correspondences, EditStep
from avatarkit.edit import servers
from avatarkit.edit.servers import shown_address
from avatarkit.edit.validation import clean
from avatarkit.errors import EnvironmentProblem, InputError
from avatarkit.events import Progress, Run
from avatarkit.types import ByteArray
from avatarkit_openai_images import kept
from avatarkit_openai_images.asking import LATER, NAME, Asker, Request, request_key
from avatarkit_openai_images.options import OpenaiImagesConfig
from avatarkit_openai_images.pictures import Square, UnusablePicture, decoded, mask_png, picture_png
from avatarkit_openai_images.waiting import finish
from avatarkit_openai_images.wording import instruction

DEFAULT_ADDRESS = "https://api.openai.com/v1"
LIMITS = {
    "size": (256, 2048),
    "grow": (0.0, 0.25),
    "parallel": (1, 8),
    "timeout": (0.05, 1800),
    "deadline": (0.05, 24 * 3600),
    "attempts": (1, 4),
}


class OpenaiImagesEditor:
    """One request for each view, a few at a time.  The API takes no seed: another ``seed`` asks again, the same one is answered
    from the cache.  ``EditStep.noise`` and correspondences have no counterpart there and are not used."""

    name = NAME

    def __init__(self, config: OpenaiImagesConfig) -> None:
        """Raises InputError for options that do not fit, EnvironmentProblem where the key is missing."""
        for option, (low, high) in LIMITS.items():
            value = getattr(config, option)
            if not low <= value <= high:
                raise InputError(f"option '{option}' of '{NAME}' is {value:g}; expected {low:g} to {high:g}")
        if config.size % 16:
            raise InputError(f"option 'size' of '{NAME}' is {config.size}; expected a multiple of 16")
        self.config = config
        self.address = servers.checked_address(config.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_ADDRESS)
        if self.address.startswith("http://") and not servers.is_local(self.address):
            raise InputError(
                f"{NAME}: pictures would go to {shown_address(self.address)} unencrypted; use https, or a server on this machine"
            )
        self._key = servers.account_key(NAME, config.key_variable, self.address, DEFAULT_ADDRESS, dict(os.environ))

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
        """(B, 3, H, W) in [0, 1].  A view whose mask is empty comes back as it is; nothing is sent for it.

        Raises InputError (shapes that do not fit, no words, a prompt that the model refuses), EnvironmentProblem (the server fails,
        is late, or sends what is no picture), KeyboardInterrupt when the run is asked to stop.
        """
        _check(views, masks, step, references)
        if not self.config.references:
            references = None
        square = Square(int(views.shape[2]), int(views.shape[3]), self.config.size)
        given = views.detach().float().cpu()
        shown = square.shown(given)
        wanted = square.wanted(masks.detach().float().cpu(), self.config.grow)
        so_far = None if references is None else square.shown(references.detach().float().cpu())
        asked: dict[str, Request] = {}
        places: dict[str, list[int]] = {}  # views that are alike are sent once
        for at in range(len(views)):
            if not bool(wanted[at].any()):
                continue
            request = Request(
                picture_png(shown[at]),
                mask_png(wanted[at]),
                None if so_far is None else picture_png(so_far[at]),
                instruction(step, at, so_far is not None),
            )
            key = request_key(request, self.config, self.address, seed)
            asked[key] = request
            places.setdefault(key, []).append(at)
        edited = given.clone()
        for key, pixels in self._painted(asked, {key: shown[at[0]] for key, at in places.items()}, run).items():
            for at in places[key]:
                edited[at] = square.back(pixels)
        return edited.to(views.device)

    def _painted(self, asked: dict[str, Request], shown: dict[str, Tensor], run: Run) -> dict[str, ByteArray]:
        """(h, w, 3) for each request: those that were painted before, and the others from the server."""
        painted: dict[str, ByteArray] = {}
        if self.config.cache:
            found = {key: kept.read(key) for key in asked}
            painted = {key: pixels for key, pixels in found.items() if pixels is not None}
        left = [key for key in asked if key not in painted]
        if painted:
            some = "nothing is sent" if not left else "only the others are sent"
            run.notice(f"{NAME}: {_counted(len(painted), 'picture')} from the cache, {some}")
            run.emit(Progress("painting", len(painted), len(asked)))
        if not left:
            return painted
        if run.stopping:
            raise KeyboardInterrupt
        run.notice(self._leaving([asked[key] for key in left]))
        asker = Asker(self.config, self.address, self._key)

        def each(number: int, file: bytes) -> None:
            key = left[number]
            try:
                painted[key] = decoded(file, shown[key])
            except UnusablePicture as error:
                raise EnvironmentProblem(f"{NAME}: {shown_address(self.address)} sent {error}; {LATER}") from error
            if self.config.cache:
                kept.write(key, painted[key])
            run.emit(Progress("painting", len(painted), len(asked)))

        def late(seconds: float) -> EnvironmentProblem:
            missing = f"{_counted(len(asked) - len(painted), 'picture')} of {len(asked)}"
            return EnvironmentProblem(
                f"{NAME}: {missing} did not come from {shown_address(self.address)} within {seconds:.3g} s; "
                f"{LATER}, or raise the option 'deadline'"
            )

        finish(
            [partial(asker.ask, asked[key]) for key in left], each,
            parallel=self.config.parallel, deadline=self.config.deadline, run=run, drop=asker.close, late=late,
        )  # fmt: skip
        return painted

    def _leaving(self, requests: list[Request]) -> str:
        """What is about to leave the machine, in one line."""
        size = sum(len(file) for request in requests for file in request.files)
        side, references = self.config.size, sum(request.reference is not None for request in requests)
        also = f", {_counted(references, 'picture')} of how it looks so far" if references else ""
        return (
            f"{NAME}: sending {_counted(len(requests), 'picture')} of the avatar with {'its mask' if len(requests) == 1 else 'their masks'}"
            f"{also} ({side}×{side} pixels, {size / 1000:.0f} kB in all) and the instructions to {shown_address(self.address)} "
            f"(model {clean(self.config.model)})"
        )


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _check(views: Tensor, masks: Tensor, step: EditStep, references: Tensor | None) -> None:
    if views.ndim != 4 or views.shape[1] != 3:
        raise InputError(f"{NAME}: views have the shape {tuple(views.shape)}; expected (B, 3, H, W)")
    count, _, height, width = (int(n) for n in views.shape)
    for name, tensor, shape in (
        ("masks", masks, (count, 1, height, width)),
        ("references", references, (count, 3, height, width)),
    ):
        if tensor is not None and tuple(tensor.shape) != shape:
            raise InputError(f"{NAME}: {name} have the shape {tuple(tensor.shape)}; expected {shape}, as the views")
    if len(step.texts) != count:
        raise InputError(f"{NAME}: the step has words for {len(step.texts)} views; expected {count}")
    for name, tensor in (("views", views), ("masks", masks), ("references", references)):
        if tensor is not None and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{NAME}: {name} hold values that are not finite")
