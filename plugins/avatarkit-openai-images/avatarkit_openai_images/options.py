"""Options of the `openai-images` editor; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class OpenaiImagesConfig:
    """model: as its server calls it; it must take a picture with a mask.  base_url: an OpenAI-compatible server
    ("http://localhost:8080/v1"); empty: the variable OPENAI_BASE_URL, else OpenAI.  key_variable: the environment variable that
    holds the key.  size: pixels of the square's sides that is sent and asked for.  quality, fidelity: the API's ``quality`` and
    ``input_fidelity``; empty: the server's choice (not every model takes them).  response_format: "b64_json" for servers that
    would answer with an address otherwise; OpenAI's own models take no such word.  grow: how far the mask is widened, as a share
    of the square's sides.  references: also send how the avatar looks with the edit so far, where the core has it.  parallel:
    requests at a time.  timeout: seconds without a byte (a model may take minutes for its first); deadline: seconds for all views
    of one call, waits included.  attempts: requests at most for one view.  cache: keep pictures under AVATARKIT_HOME."""

    model: str = "gpt-image-2.5-sunburst"
    base_url: str = ""
    key_variable: str = "OPENAI_API_KEY"
    size: int = 1024
    quality: Literal["", "low", "medium", "high", "xhigh", "max", "auto", "standard"] = ""
    fidelity: Literal["", "high", "low"] = ""
    response_format: Literal["", "b64_json"] = ""
    grow: float = 0.02
    references: bool = True
    parallel: int = 2
    timeout: float = 300.0
    deadline: float = 1800.0
    attempts: int = 4
    cache: bool = True
