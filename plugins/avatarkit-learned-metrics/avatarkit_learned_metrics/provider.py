"""What the plugin registers.  Imports neither torch nor transformers."""

from __future__ import annotations

import functools
import importlib.metadata
import os
from collections.abc import Iterable

from avatarkit.contracts import CheckResult
from avatarkit.hookspecs import Check, Provider, hookimpl
from avatarkit_learned_metrics.source import CLIP, OWLV2, Kind

NEEDED = ("torchvision", "transformers")
INSTALL = "pip install avatarkit-learned-metrics"
LICENCE = "Apache-2.0; the model has its own"


@hookimpl
def avatarkit_metrics() -> Iterable[Provider]:
    yield Provider(
        "clip-direction",
        "avatarkit_learned_metrics.clip_direction:ClipDirection",
        "whether pictures changed the way the captions did, by a CLIP model of transformers",
        config="avatarkit_learned_metrics.options:ClipDirectionConfig",
        requires=NEEDED,
        install_hint=INSTALL,
        licence=LICENCE,
    )
    yield Provider(
        "owlv2",
        "avatarkit_learned_metrics.owlv2:Owlv2",
        "whether an OWLv2 detector of transformers sees what was asked for, where and how often",
        config="avatarkit_learned_metrics.options:Owlv2Config",
        requires=NEEDED,
        install_hint=INSTALL,
        licence=LICENCE,
    )


@hookimpl
def avatarkit_checks() -> Iterable[Check]:
    for kind in (CLIP, OWLV2):
        yield Check(kind.metric, functools.partial(chosen_model, kind))


def chosen_model(kind: Kind) -> CheckResult:
    """Whether transformers is here and which model would be used.  Loads neither: that takes ten seconds."""
    from avatarkit.errors import AvatarkitError
    from avatarkit_learned_metrics.source import model_source

    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return CheckResult(False, "transformers is not installed", f"run: {INSTALL}")
    if not os.environ.get(kind.variable):
        return CheckResult(True, f"transformers {version}; no model chosen ({kind.variable})")
    try:
        source = model_source(kind, "")
    except AvatarkitError as error:
        found, _, mend = str(error).partition("; ")
        return CheckResult(False, found, mend)
    return CheckResult(
        True, f"transformers {version}; model {source.name} ({'a folder' if source.local else 'of the hub'})"
    )
