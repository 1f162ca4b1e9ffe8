"""Every rule of the registry, against checked-in fake distributions."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avatarkit import events, registry
from avatarkit.contracts import CheckResult
from avatarkit.discovery import Plugin
from avatarkit.errors import ConfigError, EnvironmentProblem, InputError, MissingDependency, PluginError
from avatarkit.hookspecs import Provider
from avatarkit.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
Install = Callable[..., Registry]


def plugin_named(found: Registry, name: str) -> Plugin:
    return next(plugin for plugin in found.plugins if plugin.source.name == name)


def test_builtins_are_providers_like_any_other(install: Install) -> None:
    found = install()
    assert [p.name for p in found.providers("rasterizer")] == ["cpu", "reference"]
    assert [p.name for p in found.providers("head_model")] == ["bust", "flame"]
    assert found.plugins[0].source.name == "builtin" and found.plugins[0].problems == []


def test_a_good_plugin_is_found_by_its_entry_point(install: Install) -> None:
    found = install("good")
    plugin = plugin_named(found, "good")
    assert (plugin.source.distribution, plugin.source.version, plugin.status) == ("avatarkit-good", "1.0", "ok")
    assert plugin.problems == []
    assert found.get("rasterizer", "points").summary == "one pixel per Gaussian"
    assert "good_plugin.points" not in sys.modules  # the target is imported on first use


def test_options_become_the_providers_config(install: Install) -> None:
    found = install("good")
    part = found.create("rasterizer", "points", {"brightness": 2, "layers": 3})
    assert part.options.brightness == 2.0 and part.options.layers == 3
    with pytest.raises(ConfigError, match="unknown key 'brightnes'; did you mean 'brightness'"):
        found.create("rasterizer", "points", {"brightnes": 2.0})
    with pytest.raises(ConfigError, match="'layers': expected int; got 'many'"):
        found.create("rasterizer", "points", {"layers": "many"})
    with pytest.raises(ConfigError, match="takes no options; got size"):
        found.create("rasterizer", "partial", {"size": 1})


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("lacking", MissingDependency, r"needs no_such_package.sub, .*run: pip install"),
        ("nowhere", PluginError, r"good_plugin.points has no 'Missing'"),
        ("partial", PluginError, r"does not fit the contract Rasterizer: it lacks capabilities, render"),
        ("failing", PluginError, r"could not be made: ValueError: its weights are not there"),
    ],
)
def test_a_part_that_cannot_be_made_says_why_in_one_line(install: Install, name: str, kind: type, words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        install("good").create("rasterizer", name)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 3


def test_a_cuda_provider_without_cuda_is_refused(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EnvironmentProblem, match="needs an NVIDIA GPU: "):
        install("good").create("rasterizer", "device")


def test_an_unknown_name_gets_the_nearest_one(install: Install) -> None:
    with pytest.raises(InputError, match="unknown rasterizer 'point'; did you mean 'points'") as caught:
        install("good", "broken").get("rasterizer", "point")
    assert "'avatarkit-broken' (plugin 'broken'): cannot be imported" in str(caught.value)


def test_a_plugin_broken_at_import_is_a_row_and_stops_nothing(install: Install) -> None:
    found = install("good", "broken")
    broken = plugin_named(found, "broken")
    assert broken.status == "error"
    assert broken.problems == ["cannot be imported: RuntimeError: the shared library is missing"]
    assert found.get("rasterizer", "points") and found.get("rasterizer", "cpu")


def test_a_collision_names_both_distributions_when_the_name_is_asked_for(install: Install) -> None:
    found = install("good", "duplicate")
    with pytest.raises(PluginError, match=r"'avatarkit-duplicate'.*'avatarkit-good'.*AVATARKIT_PLUGINS"):
        found.get("rasterizer", "points")
    assert "points" not in [p.name for p in found.providers("rasterizer")]
    for mine, theirs in (("good", "avatarkit-duplicate"), ("duplicate", "avatarkit-good")):
        assert any(f"also provided by '{theirs}'" in problem for problem in plugin_named(found, mine).problems)


def test_the_allow_list_settles_a_collision(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARKIT_PLUGINS", "avatarkit-good, other")
    found = install("good", "duplicate")
    assert found.get("rasterizer", "points").target == "good_plugin.points:PointRasterizer"
    off = plugin_named(found, "duplicate")
    assert off.status == "off" and "duplicate_plugin" not in sys.modules
    monkeypatch.setenv("AVATARKIT_PLUGINS", "")
    assert [p.status for p in install("good").plugins if p.source.name != "builtin"] == ["off", "off"]


def test_a_builtin_cannot_be_shadowed(install: Install) -> None:
    found = install("duplicate")
    assert found.get("rasterizer", "cpu").target == "avatarkit.render.cpu:CpuRasterizer"
    problems = plugin_named(found, "duplicate").problems
    assert any("'cpu' is built in and cannot be shadowed" in problem for problem in problems)
    assert found.get("rasterizer", "twin").target == "duplicate_plugin:First"
    assert any("'twin' is yielded twice" in problem for problem in problems)


def test_misspelt_hooks_are_said(install: Install) -> None:
    found = install("misspelt")
    problems = " | ".join(plugin_named(found, "misspelt").problems)
    assert "'avatarkit_rasterizer' is not a hook and is never called; did you mean 'avatarkit_rasterizers'" in problems
    assert "'avtarkit_editors' is not a hook and is never called; did you mean 'avatarkit_editors'" in problems
    assert "'avatarkit_segmenters' lacks @hookimpl" in problems
    assert "avatarkit_trackers must yield Provider records; it returned Provider" in problems
    assert "it yielded 'a string'" in problems
    assert [p.name for p in found.providers("exporter") if p.name not in ("ply", "gaussianavatars")] == ["found"]
    for name, words in (("Bad Name", "bad name"), ("target", "expected 'package.module:attribute'")):
        with pytest.raises(PluginError, match=words):
            found.get("exporter", name)


def test_a_hook_with_an_unknown_argument_costs_that_module_only(install: Install) -> None:
    found = install("misspelt")
    plugin = plugin_named(found, "arguments")
    assert plugin.status == "error" and "device" in plugin.problems[0] and "\n" not in plugin.problems[0]


def test_a_wrong_api_is_refused_in_words(install: Install) -> None:
    found = install("wrong_api")
    with pytest.raises(PluginError, match=r"'future' of 'avatarkit-wrong-api'.* contract version 99.*update avatarkit"):
        found.get("editor", "future")
    with pytest.raises(PluginError, match=r"contract version 0.*update the plugin"):
        found.get("editor", "past")
    assert [p.name for p in found.providers("editor")] == ["paint", "present"]


def test_a_slow_plugin_is_used_and_said(install: Install) -> None:
    found = install("slow")
    plugin = next(p for p in found.plugins if p.source.name == "slow")
    assert found.get("exporter", "patient")
    assert plugin.status == "ok"


def test_a_slow_import_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from avatarkit.discovery import load_plugins

    sys.modules.pop("slow_plugin", None)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "plugins" / "distributions" / "slow"))
    plugin = next(p for p in load_plugins() if p.source.name == "slow")
    assert plugin.seconds >= 0.3
    assert any("to import (limit 0.2 s)" in problem for problem in plugin.problems)


def test_a_plugin_that_imports_torch_at_registration_is_said(tmp_path: Path) -> None:
    (tmp_path / "heavy_plugin.py").write_text("import torch\n")
    information = tmp_path / "heavy-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: heavy\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[avatarkit]\nheavy = heavy_plugin\n")
    code = "from avatarkit.registry import registry; print([p.problems for p in registry().plugins if p.source.name == 'heavy'])"
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert "imports torch" in done.stdout, done.stderr


def test_events_reach_plugins_and_their_errors_stop_nothing(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    found = install("good", "slow")
    run, heard = events.collect()
    found.connect(run)
    with caplog.at_level(logging.ERROR, logger="avatarkit"):
        run.notice("one")
        run.notice("two")
    assert [event.text for event in heard] == ["one", "two"]
    import good_plugin.provider
    import slow_plugin

    assert [event.text for event in good_plugin.provider.HEARD] == ["one", "two"]
    assert [event.text for event in slow_plugin.CALLS] == ["one"]
    assert caplog.text.count("hears no more of this run") == 1 and "the event hook broke" in caplog.text


def test_a_class_in_a_file_for_development(install: Install, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\nclass MineConfig:\n    gain: float = 1.0\n"
        "class Mine:\n    name = 'mine'\n    capabilities = frozenset()\n"
        "    def __init__(self, config):\n        self.gain = config.gain\n    def render(self): ...\n"
        "class Plain:\n    name = 'plain'\n    capabilities = frozenset()\n    def render(self): ...\n"
    )
    found = install()
    assert found.create("rasterizer", f"{file}:Mine", {"gain": 3}).gain == 3.0
    assert found.create("rasterizer", f"{file}:Plain").name == "plain"
    with pytest.raises(ConfigError, match="did you mean 'gain'"):
        found.create("rasterizer", f"{file}:Mine", {"gian": 3})
    with pytest.raises(PluginError, match="has no 'Other'"):
        found.create("rasterizer", f"{file}:Other")
    with pytest.raises(InputError, match=r"no such file; expected path/to/file.py:Class"):
        found.create("rasterizer", f"{tmp_path}/none.py:Mine")
    (tmp_path / "bad.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(PluginError, match=r"bad.py cannot be imported: ModuleNotFoundError"):
        found.create("rasterizer", f"{tmp_path}/bad.py:Mine")


def test_the_default_rasterizer_follows_the_machine(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    found = install()
    gsplat = Provider("gsplat", "m:C", "", requires=("json",), device="cuda")
    found.plugins[0].providers.append(("rasterizer", gsplat))
    found = Registry(found.plugins)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert found.default("rasterizer") == "gsplat"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert found.default("rasterizer") == "cpu"
    with pytest.raises(EnvironmentProblem, match="no default editor"):
        found.default("editor")


def test_swapping_the_rasterizer_by_entry_point(install: Install) -> None:
    """What the core draws with is decided by a name alone; the fake plugin's points differ from the built-in's blobs."""
    import torch

    from avatarkit.cameras import Cameras

    found = install("good")
    K = torch.tensor([[[40.0, 0, 16], [0, 40, 16], [0, 0, 1]]])
    cameras = Cameras(torch.eye(4)[None], K, 32, 32)
    scene = {
        "means": torch.tensor([[0.0, 0, 2]]),
        "quats": torch.tensor([[1.0, 0, 0, 0]]),
        "scales": torch.full((1, 3), 0.1),
        "opacities": torch.tensor([0.9]),
        "features": torch.tensor([[1.0, 0.5, 0.25]]),
    }
    images = {
        name: found.create("rasterizer", name).render(**scene, cameras=cameras).features
        for name in ("reference", "points")
    }
    assert int((images["points"][0, 0] > 0).sum()) == 1
    assert int((images["reference"][0, 0] > 0).sum()) > 20
    assert images["points"].shape == images["reference"].shape


def test_the_module_function_reads_installed_plugins_once() -> None:
    assert registry.registry() is registry.registry()
    assert registry.default("rasterizer") in {"cpu", "gsplat"}
    assert isinstance(registry.registry().checks()[0][1].check(), CheckResult)


def test_the_fake_distributions_are_seen_as_real_ones(install: Install) -> None:
    install("good")
    assert importlib.metadata.version("avatarkit-good") == "1.0"
