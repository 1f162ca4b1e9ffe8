"""``avatarkit plugins new``: a plugin project that passes its own conformance test as soon as it is installed."""

from __future__ import annotations

import re
from pathlib import Path

from avatarkit import __version__
from avatarkit.errors import InputError, unknown_name
from avatarkit.hookspecs import HOOKS, Role
from avatarkit.paths import explained

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "avatarkit-{name}"
version = "0.1.0"
description = "{summary}"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["avatarkit>={version}"]

[project.optional-dependencies]
dev = ["pytest>=8.2"]

[project.entry-points.avatarkit]
{name} = "{package}.provider"

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""

README = """\
# avatarkit-{name}

A {said} for [avatarkit](https://github.com/avatarkit/avatarkit).

    pip install -e .
    avatarkit plugins check {role}:{name}
    pytest

`{package}/{role}.py` holds the {said}; `{package}/provider.py` says to avatarkit that it exists, and imports no torch.
"""

PROVIDER = '''\
"""What the plugin registers.  Imported at every start of avatarkit: no torch, no models here."""

from __future__ import annotations

from collections.abc import Iterable

from avatarkit.hookspecs import Provider, hookimpl


@hookimpl
def {hook}() -> Iterable[Provider]:
    yield Provider(
        "{name}",
        "{package}.{role}:{class_name}",
        "{summary}",
        requires=(),  # packages that it imports, looked up before it is made
        install_hint="pip install avatarkit-{name}",
    )
'''

TEST = '''\
"""The {said} keeps its contract."""

from __future__ import annotations

import pytest
from avatarkit.registry import registry
from avatarkit.testing import conformance


@pytest.mark.parametrize("check", conformance.checks("{role}"), ids=conformance.name)
def test_conformance(check: conformance.Check) -> None:
    part = registry().create("{role}", "{name}")
    try:
        check(part)
    except conformance.Skipped as reason:
        pytest.skip(str(reason))


def test_it_is_found_by_its_entry_point() -> None:
    assert registry().get("{role}", "{name}").target == "{package}.{role}:{class_name}"
'''


def write_plugin(name: str, role: str, folder: Path) -> Path:
    """Write the project to ``folder``, which must not hold anything yet.  Raises InputError for a bad name or role."""
    if role not in HOOKS:
        raise unknown_name("role", role, HOOKS)
    if not NAME.fullmatch(name):
        raise InputError(
            f"'{name}' is no name for a plugin; expected lower-case words joined by '-', such as 'my-{role}'"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already; choose another folder with -o")
    known: Role = role  # type: ignore[assignment]
    words = {
        "name": name,
        "role": role,
        "said": role.replace("_", " "),
        "hook": HOOKS[known],
        "package": f"avatarkit_{name.replace('-', '_')}",
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "summary": f"a {role.replace('_', ' ')} of my own",
        "version": ".".join(__version__.split(".")[:2]),
    }
    code = (TEMPLATES / f"{role}.py").read_text(encoding="utf-8")
    code = re.sub(r"\bMine\b", words["class_name"], code).replace('"mine"', f'"{name}"')
    package = folder / words["package"]
    files = {
        folder / "pyproject.toml": PYPROJECT.format(**words),
        folder / "README.md": README.format(**words),
        package / "__init__.py": f'"""{words["summary"].capitalize()}, for avatarkit."""\n',
        package / "py.typed": "",
        package / "provider.py": PROVIDER.format(**words),
        package / f"{role}.py": code,
        folder / "tests" / "test_conformance.py": TEST.format(**words),
    }
    with explained(folder):
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return folder
