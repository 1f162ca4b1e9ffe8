"""``docs/plugin-hooks.md``, made of the hook specifications."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
from collections.abc import Callable
from typing import Any

from avatarkit import contracts, hookspecs
from avatarkit.discovery import HOOK_NAMES
from avatarkit.registry import HOOKS, PROTOCOLS

INTRODUCTION = """\
# Plugin hooks

<!-- Generated from avatarkit/hookspecs.py by `avatarkit plugins hooks --write docs/plugin-hooks.md`; do not edit. -->

A plugin is a distribution with an entry point in the group `avatarkit`, whose target is a module that imports no torch:

```toml
[project.entry-points.avatarkit]
my-plugin = "my_plugin.provider"
```

The module defines any of the hooks below, each marked with `@hookimpl` (from `avatarkit.hookspecs import hookimpl, Provider`).
Registration hooks yield records; a part is imported and made when it is first asked for by name.  [Writing a
plugin](writing-a-plugin.md) goes through one from start to finish.
"""


def hooks_markdown() -> str:
    """The whole page."""
    parts = [INTRODUCTION, _records(), "## Hooks\n"]
    parts += [_hook(name) for name in HOOK_NAMES]
    return "\n".join(parts)


def example(name: str) -> str:
    """The runnable example in a hook's docstring, as plain code.  Raises LookupError where it has none."""
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(getattr(hookspecs, name)) or "")
    if not examples:
        raise LookupError(f"hook '{name}' has no example")
    return "".join(f"{e.source}" + "".join(f"# {line}\n" for line in e.want.splitlines()) for e in examples).rstrip()


def _hook(name: str) -> str:
    function: Callable[..., Any] = getattr(hookspecs, name)
    prose = (inspect.getdoc(function) or "").split(">>>")[0].strip().replace("``", "`")
    lines = [f"### `{name}{_signature(function)}`\n", f"{prose}\n", f"```python\n{example(name)}\n```\n"]
    roles = [role for role, hook in HOOKS.items() if hook == name]
    if roles:
        protocol = PROTOCOLS[roles[0]]
        lines.append(f"Contract `{protocol.__name__}`:\n\n```python\n{_source(protocol)}\n```\n")
    return "\n".join(lines)


def _signature(function: Callable[..., Any]) -> str:
    return str(inspect.signature(function)).replace("'", "")


def _source(protocol: type) -> str:
    lines = inspect.getsource(protocol).rstrip().splitlines()
    return "\n".join(line for line in lines if line != "@runtime_checkable")


def _records() -> str:
    fields = [
        f"    {f.name}: {f.type}" + ("" if f.default is dataclasses.MISSING else f" = {f.default!r}")
        for f in dataclasses.fields(hookspecs.Provider)
    ]
    body = "\n".join(fields)
    prose = (inspect.getdoc(hookspecs.Provider) or "").replace("``", "`")
    return (
        f"## Provider\n\n```python\n@dataclass(frozen=True)\nclass Provider:\n{body}\n```\n\n{prose}\n\n"
        f"This is contract version {contracts.API_VERSION}.\n"
    )
