"""What the plugin registers.  Imports neither torch nor openai."""

from __future__ import annotations

from collections.abc import Iterable

from avatarkit.hookspecs import Provider, hookimpl


@hookimpl
def avatarkit_refiners() -> Iterable[Provider]:
    yield Provider(
        "gpt4",
        "avatarkit_gpt4.refiner:Gpt4Refiner",
        "plans by an OpenAI model, or by a server that speaks its API (vLLM, Ollama)",
        config="avatarkit_gpt4.options:Gpt4Config",
        requires=("openai",),
        install_hint="pip install avatarkit-gpt4",
        network=True,
    )
