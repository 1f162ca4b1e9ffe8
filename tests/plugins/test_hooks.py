"""Every hook is documented with an example that runs, is tested here, and stands in docs/plugin-hooks.md as it is."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
from pathlib import Path

import pluggy
import pytest

from avatarkit import hook_docs, hookspecs
from avatarkit.contracts import CheckResult
from avatarkit.discovery import HOOK_NAMES
from avatarkit.events import Run
from avatarkit.hookspecs import HOOKS, Check

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "plugin-hooks.md"
THIS = Path(__file__).read_text(encoding="utf-8") + Path(__file__).with_name("test_registry.py").read_text(
    encoding="utf-8"
)


@pytest.mark.parametrize("name", HOOK_NAMES)
def test_a_hook_is_documented_by_an_example_that_runs(name: str) -> None:
    function = getattr(hookspecs, name)
    assert len((inspect.getdoc(function) or "").splitlines()[0]) > 10
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    (test,) = finder.find(function, name, globs=dict(vars(hookspecs)))
    assert len(test.examples) >= 2
    runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("name", HOOK_NAMES)
def test_the_example_is_a_module_that_pluggy_accepts(name: str, tmp_path: Path) -> None:
    """The page's code, imported as a plugin module would be, defines an implementation of the very hook."""
    file = tmp_path / "example.py"
    file.write_text(f"from avatarkit.hookspecs import Check, Provider, hookimpl\n{hook_docs.example(name)}\n")
    spec = importlib.util.spec_from_file_location("example", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    assert len(getattr(manager.hook, name).get_hookimpls()) == 1


@pytest.mark.parametrize("role", HOOKS)
def test_a_registration_hook_yields_providers(role: str) -> None:
    hook = HOOKS[role]  # type: ignore[index]
    assert hook in HOOK_NAMES and f"Contract: ``avatarkit.contracts.{hook_docs.PROTOCOLS[role].__name__}``" in (  # type: ignore[index]
        inspect.getdoc(getattr(hookspecs, hook)) or ""
    )
    assert list(getattr(hookspecs, hook)()) == []


def test_every_hook_is_a_registration_hook_or_tested_by_name() -> None:
    for name in set(HOOK_NAMES) - set(HOOKS.values()):
        assert THIS.count(name) >= 1, f"{name} has no test"


def test_avatarkit_checks_and_avatarkit_on_event_have_their_shapes() -> None:
    assert list(hookspecs.avatarkit_checks()) == []
    assert Check("a", lambda: CheckResult(True, "b")).check() == CheckResult(True, "b", "")
    assert hookspecs.avatarkit_on_event(Run(), object()) is None  # type: ignore[arg-type, func-returns-value]
    assert list(inspect.signature(hookspecs.avatarkit_on_event).parameters) == ["run", "event"]


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text(encoding="utf-8") == hook_docs.hooks_markdown(), (
        "docs/plugin-hooks.md is stale; run: avatarkit plugins hooks --write docs/plugin-hooks.md"
    )
    for name in HOOK_NAMES:
        assert f"### `{name}(" in PAGE.read_text(encoding="utf-8")


def test_a_hook_without_an_example_cannot_be_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    def avatarkit_bare() -> None:
        """No example."""

    monkeypatch.setattr(hookspecs, "avatarkit_bare", avatarkit_bare, raising=False)
    with pytest.raises(LookupError, match="avatarkit_bare"):
        hook_docs.example("avatarkit_bare")
