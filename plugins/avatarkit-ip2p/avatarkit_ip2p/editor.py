"""InstructPix2Pix as ``contracts.Editor``."""

from __future__ import annotations

import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.contracts import Correspondences, EditStep
from avatarkit.errors import EnvironmentProblem, InputError
from avatarkit.events import Run
from avatarkit_ip2p.framing import Frame
from avatarkit_ip2p.latent_operations import started
from avatarkit_ip2p.loading import can_offload, chosen_device, loaded
from avatarkit_ip2p.model import Model
from avatarkit_ip2p.options import Ip2pConfig
from avatarkit_ip2p.sampler import denoised, view_noise
from avatarkit_ip2p.sharing import shared
from avatarkit_ip2p.source import model_source

RANGES = {
    "size": (32, 4096), "steps": (2, 1000), "guidance": (0.0, 100.0), "image_guidance": (0.0, 100.0), "reach": (0.001, 1.0),
    "grow": (0, 64), "batch": (1, 256),
}  # fmt: skip


class Ip2pEditor:
    """Paints on this machine.  The networks are loaded by the first edit: a download is told to its run.

    ``iterative``: it makes pictures anew every time, so the core asks again, round after round, from what the avatar has become.

    Raises when made: InputError (no such folder, an option out of range), EnvironmentProblem (no such device, no offloading here).
    """

    iterative = True

    def __init__(self, config: Ip2pConfig | None = None) -> None:
        self.config = config or Ip2pConfig()
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self.config, name) <= high:
                raise InputError(f"option '{name}' of 'ip2p' is {getattr(self.config, name)}; expected {low} to {high}")
        if self.config.size % 8:
            raise InputError(f"option 'size' of 'ip2p' is {self.config.size}; expected a multiple of 8")
        self._source = model_source(self.config.model)
        self._device = chosen_device(self.config.device)
        if self.config.offload:
            can_offload(self._device)
        self._loaded: Model | None = None

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
        """Edited views (B, 3, H, W) in [0, 1]; where the mask is 0 they are the views to the bit.

        Raises InputError (shapes that do not fit, no words), FileFormatError (a model that cannot be used), EnvironmentProblem (no
        model here, not enough memory, a precision that is not enough), KeyboardInterrupt once ``run.stopping``.
        """
        _check(views, masks, step, references, correspondences)
        try:
            with torch.no_grad():
                return self._edited(self._model(run), views, masks, step, references, correspondences, seed, run)
        except torch.OutOfMemoryError as error:
            raise EnvironmentProblem(
                f"ip2p: {self._device} has too little memory for {self.config.batch} views of {self.config.size} pixels at once; "
                "set batch=1, a smaller size, share=none or offload=true"
            ) from error
        finally:
            if self._loaded is not None:
                self._loaded.release()

    def _edited(
        self,
        model: Model,
        views: Tensor,
        masks: Tensor,
        step: EditStep,
        references: Tensor | None,
        correspondences: Correspondences | None,
        seed: int,
        run: Run,
    ) -> Tensor:
        config, (height, width) = self.config, views.shape[-2:]
        pictures, inside = (given.detach().float().to(self._device) for given in (views, masks))
        now = None if references is None else references.detach().float().to(self._device)
        frame = Frame.of(height, width, config.size, model.cell, model.levels)
        start = started(
            lambda shown: model.encoded(shown, config.batch), model.scaling, frame, pictures, inside, now, step, config.grow
        )  # fmt: skip
        if not bool(start.level.any()):
            return views.clone()
        wanted, unwanted = self._words(model, step, run)
        words = torch.stack([model.embedded(wanted), model.embedded(unwanted)])
        noise = view_noise(seed, len(views), start.base.shape[1:]).to(self._device)
        sharing = shared(
            config.share, correspondences, len(views), frame, model.levels, config.reach, config.batch, self._device
        )
        latents = denoised(
            model, start, words, noise, sharing, run,
            steps=config.steps, guidance=config.guidance, image_guidance=config.image_guidance, batch=config.batch,
        )  # fmt: skip
        painted = model.decoded(latents, config.batch)
        if not bool(painted.isfinite().all()):
            raise EnvironmentProblem(
                f"ip2p: the pictures came out not finite in {str(model.dtype).removeprefix('torch.')}; set dtype=bf16 or dtype=fp32"
            )
        mask = start.mask.clamp(0.0, 1.0)
        return (pictures * (1.0 - mask) + frame.back(painted) * mask).clamp(0.0, 1.0).to(views.device)

    def _words(self, model: Model, step: EditStep, run: Run) -> tuple[list[str], list[str]]:
        """For each view what is wanted and what is not; says once where the text encoder cannot read all of it."""
        wanted, unwanted = zip(*(wished(step, at) for at in range(len(step.texts))), strict=True)
        cut = [any(pair) for pair in zip(*(model.tokens(texts)[1] for texts in (wanted, unwanted)), strict=True)]
        if any(cut):
            which = ", ".join(text.keyframe for text, too_long in zip(step.texts, cut, strict=True) if too_long)
            run.notice(
                f"ip2p: the words for {which} are more than the {model.longest} tokens that the model reads; their end is left out",
                "warning",
            )
        return list(wanted), list(unwanted)

    def _model(self, run: Run) -> Model:
        if self._loaded is None:
            self._loaded = loaded(self._source, self.config, self._device, run)
        return self._loaded


def wished(step: EditStep, at: int) -> tuple[str, str]:
    """What the view ``at`` is to show and what not, in words.

    To delete what another operation painted, its captions change sides: the picture before is wanted, the one after is not.
    Raises InputError where nothing is said.
    """
    operation, text = step.operation, step.texts[at]
    instruction, negative = text.instruction or operation.prompt, text.negative or operation.negative
    if step.latent == "delete":
        after = text.caption or operation.target_caption
        thing = operation.source_caption if operation.kind == "delete" else after
        negative = ", ".join(words for words in (thing, negative) if words)
        if operation.kind != "delete":
            instruction = operation.source_caption or instruction
    if not instruction:
        raise InputError(f"the operation has no words for '{text.keyframe}'; expected an instruction or a prompt")
    return instruction, negative


def _check(
    views: Tensor, masks: Tensor, step: EditStep, references: Tensor | None, correspondences: Correspondences | None
) -> None:
    if views.ndim != 4 or views.shape[1] != 3 or not len(views):
        raise InputError(f"the shape of views is {tuple(views.shape)}; expected (B, 3, H, W)")
    count, _, height, width = (int(n) for n in views.shape)
    expected: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {
        "masks": (masks, (count, 1, height, width)),
        "references": (references, (count, 3, height, width)),
    }
    if correspondences is not None:
        expected["triangle"] = (correspondences.triangle, (count, height, width))
        expected["rest"] = (correspondences.rest, (count, height, width, 3))
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise InputError(f"the shape of {name} is {tuple(tensor.shape)}; expected {shape}, as the views")
    if len(step.texts) != count:
        raise InputError(f"the step has words for {len(step.texts)} views; expected {count}")
    if not 0.0 < step.noise <= 1.0:
        raise InputError(f"the step's noise is {step.noise}; expected more than 0 and at most 1")
    if step.latent not in ("", "add", "delete", "reposition", "change"):
        raise InputError(f"unknown latent operation '{step.latent}'; expected add, delete, reposition, change or none")
