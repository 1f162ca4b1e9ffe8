"""Options of the `gpt4` refiner."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpt4Config:
    """model: as its server calls it.  base_url: an OpenAI-compatible server ("http://localhost:11434/v1"); empty: the variable
    OPENAI_BASE_URL, else OpenAI.  key_variable: the environment variable that holds the key.  timeout: seconds without a byte;
    deadline: seconds for everything, waits and repair included.  attempts: requests at most.  max_tokens: of an answer.
    temperature: negative leaves it to the server (some models take none).  structured: "schema" (enforced by the server),
    "object" (JSON of any kind) or "none", for servers that know less.  pictures: let the model see the avatar.  cache: keep
    answers under AVATARKIT_HOME."""

    model: str = "gpt-4.1"
    base_url: str = ""
    key_variable: str = "OPENAI_API_KEY"
    timeout: float = 60.0
    deadline: float = 180.0
    attempts: int = 4
    max_tokens: int = 8000
    temperature: float = 0.0
    structured: str = "schema"
    pictures: bool = True
    cache: bool = True
