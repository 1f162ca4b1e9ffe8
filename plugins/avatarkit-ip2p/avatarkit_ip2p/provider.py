"""What the plugin registers.  Imports neither torch nor diffusers."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

from avatarkit.contracts import CheckResult
from avatarkit.hookspecs import Check, Provider, hookimpl


@hookimpl
def avatarkit_editors() -> Iterable[Provider]:
    yield Provider(
        "ip2p",
        "avatarkit_ip2p.editor:Ip2pEditor",
        "InstructPix2Pix through diffusers, on this machine; views that show the same skin are painted together",
        config="avatarkit_ip2p.options:Ip2pConfig",
        requires=("diffusers", "transformers"),
        install_hint="pip install avatarkit-ip2p",
        licence="Apache-2.0; weights MIT AND CreativeML-OpenRAIL-M",
    )


@hookimpl
def avatarkit_checks() -> Iterable[Check]:
    yield Check("ip2p", instruct_pix2pix)


def instruct_pix2pix() -> CheckResult:
    """Whether diffusers is here and which model would be used.  Loads neither: that takes ten seconds."""
    from avatarkit.errors import AvatarkitError
    from avatarkit_ip2p.source import model_source

    versions = []
    for package in ("diffusers", "transformers"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            return CheckResult(False, f"{package} is not installed", "run: pip install avatarkit-ip2p")
    try:
        source = model_source("")
    except AvatarkitError as error:
        found, _, mend = str(error).partition("; ")
        return CheckResult(False, found, mend)
    where = "a folder" if source.local else "from the hub, downloaded on first use"
    return CheckResult(True, f"{', '.join(versions)}; model {source.name} ({where})")
