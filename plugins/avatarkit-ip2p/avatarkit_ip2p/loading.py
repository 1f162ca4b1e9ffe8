"""Networks from a folder, or from the hub once: safetensors only, nothing filled in with random numbers, no code of others run."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import torch

from avatarkit.errors import EnvironmentProblem, FileFormatError, MissingDependency
from avatarkit.events import Run
from avatarkit_ip2p.model import Model, checked
from avatarkit_ip2p.options import Ip2pConfig
from avatarkit_ip2p.sharing import linked
from avatarkit_ip2p.source import DEFAULT, VARIABLE, Source, lacking

FETCHED = [f"{part}/*{end}" for part in ("unet", "vae", "text_encoder") for end in (".json", ".safetensors")]
FETCHED += ["tokenizer/*.json", "tokenizer/*.txt", "scheduler/*.json"]
NOT_FETCHED = ["*.fp16.*", "*.non_ema.*"]  # the same weights once more
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def chosen_device(name: str) -> torch.device:
    """``auto`` or a device of torch.  Raises EnvironmentProblem where it cannot be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise EnvironmentProblem(f"option 'device' of 'ip2p': '{name}' cannot be used ({line(error)})") from error


def can_offload(device: torch.device) -> None:
    """Raises EnvironmentProblem or MissingDependency where diffusers cannot move networks between GPU and main memory."""
    if device.type != "cuda":
        raise EnvironmentProblem(
            f"option 'offload' of 'ip2p' moves networks off a CUDA device, and this one is '{device}'; set offload=false"
        )
    if importlib.util.find_spec("accelerate") is None:
        raise MissingDependency(
            "option 'offload' of 'ip2p' needs accelerate; run: pip install 'avatarkit-ip2p[offload]'"
        )


def loaded(source: Source, config: Ip2pConfig, device: torch.device, run: Run) -> Model:
    """The model, ready to paint.  Raises FileFormatError, EnvironmentProblem (the hub cannot be reached), MissingDependency."""
    try:
        diffusers, transformers = (importlib.import_module(name) for name in ("diffusers", "transformers"))
    except ModuleNotFoundError as error:
        raise MissingDependency(f"editor 'ip2p' needs {error.name}; run: pip install avatarkit-ip2p") from error
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    folder = Path(source.name) if source.local else _fetched(source, run)
    unet = _network(diffusers.UNet2DConditionModel, folder, "unet", source)
    vae = _network(diffusers.AutoencoderKL, folder, "vae", source)
    text_encoder = _network(transformers.CLIPTextModel, folder, "text_encoder", source)
    try:
        tokenizer = transformers.CLIPTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
        # of whichever scheduler the model names only the noise of its training is used
        training = diffusers.DDIMScheduler.from_pretrained(str(folder / "scheduler"), local_files_only=True)
    except _faults() as error:
        raise FileFormatError(f"{source.name}: not a model that diffusers can load ({line(error)})") from error
    if training.config.prediction_type not in ("epsilon", "v_prediction"):
        raise FileFormatError(
            f"{source.name}: its UNet foretells '{training.config.prediction_type}'; expected epsilon or v_prediction"
        )
    dtype = DTYPES.get(config.dtype, torch.float16 if device.type == "cuda" else torch.float32)
    velocity = training.config.prediction_type == "v_prediction"
    model = Model(
        unet, vae, text_encoder, tokenizer, training.alphas_cumprod.double(), velocity, linked(unet), device, dtype
    )
    checked(model, source.name)
    for network in (unet, vae, text_encoder):
        network.requires_grad_(False).eval().to(dtype)
        if not config.offload:
            network.to(device)
    if config.offload:
        # The safety checker stays out: it looks at whole portraits and returns black pictures, which would be learnt.
        model.pipeline = diffusers.StableDiffusionInstructPix2PixPipeline(
            vae, text_encoder, tokenizer, unet, training, None, None, requires_safety_checker=False
        )
        model.pipeline.enable_model_cpu_offload(device=device)
    return model


def _network(kind: Any, folder: Path, part: str, source: Source) -> Any:
    try:
        network, report = kind.from_pretrained(
            str(folder / part), local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except _faults() as error:
        raise FileFormatError(f"{source.name}: {part} is none that diffusers can load ({line(error)})") from error
    absent = sorted(map(str, report["missing_keys"] or report["mismatched_keys"]))
    if absent:
        raise FileFormatError(
            f"{source.name}: the weights of {part} lack {', '.join(absent[:3])}; fetch or save the model again"
        )
    return network


def _fetched(source: Source, run: Run) -> Path:
    """The folder in the hub's cache; what is there already needs no network, also of the hub's."""
    fetch = importlib.import_module("huggingface_hub").snapshot_download
    options: dict[str, Any] = {"allow_patterns": FETCHED, "ignore_patterns": NOT_FETCHED}
    try:
        folder = Path(fetch(source.name, local_files_only=True, **options))
        if not lacking(folder):
            return folder
    except (OSError, ValueError):  # not there, or not all of it
        pass
    mend = f"name a folder: {VARIABLE}=FOLDER"
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise EnvironmentProblem(f"{source.name}: not on this machine, and HF_HUB_OFFLINE forbids to fetch it; {mend}")
    much = ", 4.3 GB" if source.name == DEFAULT else ""
    run.notice(f"ip2p: downloading the model {source.name} from the Hugging Face hub, once{much}; no picture is sent")
    try:
        folder = Path(fetch(source.name, **options))
    except Exception as error:  # what its HTTP client raises differs from version to version
        raise EnvironmentProblem(
            f"{source.name}: the model could not be fetched from the hub ({line(error)}); check the name and the network, or {mend}"
        ) from error
    absent = lacking(folder)
    if absent:
        raise FileFormatError(
            f"{source.name}: has no {absent[0]} on the hub; expected a diffusers model in safetensors"
        )
    return folder


def _faults() -> tuple[type[Exception], ...]:
    from safetensors import SafetensorError

    return (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)


def line(error: BaseException) -> str:
    """What an error says, in one line that is not too long."""
    return " ".join(str(error).split())[:160]
