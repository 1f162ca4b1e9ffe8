"""Options of the `claude` refiner."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClaudeConfig:
    """model: as Anthropic calls it.  base_url: another address of the same API; empty: the variable ANTHROPIC_BASE_URL, else
    Anthropic.  key_variable: the environment variable that holds the key.  timeout: seconds without a byte; deadline: seconds
    for everything, waits and repair included.  attempts: requests at most.  max_tokens: of an answer.  structured: "schema"
    (enforced by the server) or "none", for models that lack it.  pictures: let the model see the avatar.  cache: keep answers
    under AVATARKIT_HOME."""

    model: str = "claude-sonnet-5-5"
    base_url: str = ""
    key_variable: str = "ANTHROPIC_API_KEY"
    timeout: float = 60.0
    deadline: float = 180.0
    attempts: int = 4
    max_tokens: int = 8000
    structured: str = "schema"
    pictures: bool = True
    cache: bool = True
