"""What the plugin registers.  Imports neither torch nor openai."""

from __future__ import annotations

from collections.abc import Iterable

from avatarkit.hookspecs import Provider, hookimpl


@hookimpl
def avatarkit_editors() -> Iterable[Provider]:
    yield Provider(
        "openai-images",
        "avatarkit_openai_images.editor:OpenaiImagesEditor",
        "paints by an OpenAI image model, or by a server that speaks its API",
        config="avatarkit_openai_images.options:OpenaiImagesConfig",
        requires=("openai", "PIL"),
        install_hint="pip install avatarkit-openai-images",
        network=True,
    )
