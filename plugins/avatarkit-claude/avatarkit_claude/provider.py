"""What the plugin registers.  Imports neither torch nor anthropic."""

from __future__ import annotations

from collections.abc import Iterable

from avatarkit.hookspecs import Provider, hookimpl


@hookimpl
def avatarkit_refiners() -> Iterable[Provider]:
    yield Provider(
        "claude",
        "avatarkit_claude.refiner:ClaudeRefiner",
        "plans by an Anthropic model",
        config="avatarkit_claude.options:ClaudeConfig",
        requires=("anthropic",),
        install_hint="pip install avatarkit-claude",
        network=True,
    )
