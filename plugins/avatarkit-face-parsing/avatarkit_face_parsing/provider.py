"""What the plugin registers.  Imports neither torch nor transformers."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

from avatarkit.contracts import CheckResult
from avatarkit.hookspecs import Check, Provider, hookimpl


@hookimpl
def avatarkit_segmenters() -> Iterable[Provider]:
    yield Provider(
        "face-parsing",
        "avatarkit_face_parsing.parser:FaceParser",
        "19 classes by a face parser of transformers: glasses, hats, earrings, necklaces too",
        config="avatarkit_face_parsing.options:FaceParsingConfig",
        requires=("transformers",),
        install_hint="pip install avatarkit-face-parsing",
    )


@hookimpl
def avatarkit_checks() -> Iterable[Check]:
    yield Check("face-parsing", face_parser)


def face_parser() -> CheckResult:
    """Whether transformers is here and which model would be used.  Loads neither: that takes ten seconds."""
    from avatarkit.errors import AvatarkitError
    from avatarkit_face_parsing.source import model_source

    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return CheckResult(False, "transformers is not installed", "run: pip install avatarkit-face-parsing")
    try:
        source = model_source("")
    except AvatarkitError as error:
        found, _, mend = str(error).partition("; ")
        return CheckResult(False, found, mend)
    where = "a folder" if source.local else "from the hub, downloaded on first use"
    return CheckResult(True, f"transformers {version}; model {source.name} ({where})")
