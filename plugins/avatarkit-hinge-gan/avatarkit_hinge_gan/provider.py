"""What the plugin registers.  Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from avatarkit.hookspecs import Provider, hookimpl


@hookimpl
def avatarkit_discriminators() -> Iterable[Provider]:
    yield Provider(
        "hinge-gan",
        "avatarkit_hinge_gan.discriminator:HingeDiscriminator",
        "a patch discriminator that sees the view before and the region, half its patches at eyes and mouth",
        config="avatarkit_hinge_gan.options:HingeGanConfig",
    )
