"""What is shipped: wheels of the core and of every plugin, their metadata, and the files that make them usable."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = sorted(file.parent for file in (ROOT / "plugins").glob("*/pyproject.toml"))
PROJECTS = [ROOT, *PLUGINS]


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def name(folder: Path) -> str:
    return str(project(folder)["project"]["name"])


@pytest.mark.parametrize("folder", PROJECTS, ids=name)
def test_metadata_is_complete_and_lower_bounds_are_stated(folder: Path) -> None:
    table = project(folder)["project"]
    assert table["license"] == "Apache-2.0" and table["requires-python"] == ">=3.11" and table["readme"] == "README.md"
    for dependency in table["dependencies"]:
        assert ">=" in dependency, f"{dependency}: state the oldest version that works"
        assert "@" not in dependency and "git+" not in dependency
    assert project(folder)["build-system"]["build-backend"] == "hatchling.build"


# Imported under another name than the distribution's; llvmlite is what numba is made of.
DISTRIBUTION = {"yaml": "pyyaml", "PIL": "pillow", "llvmlite": "numba", "lpips": "lpips", "torchvision": "lpips"}


@pytest.mark.parametrize("folder", PROJECTS, ids=name)
def test_every_import_is_a_stated_dependency(folder: Path) -> None:
    stated = {
        re.split(r"[<>=!~ \[]", dependency)[0].lower() for dependency in project(folder)["project"]["dependencies"]
    }
    own = folder.name.replace("-", "_") if folder != ROOT else "avatarkit"
    extras = project(folder)["project"].get("optional-dependencies", {})
    stated |= {
        re.split(r"[<>=]", dependency)[0] for name, rows in extras.items() if name != "dev" for dependency in rows
    }
    inherited = (
        {"torch", "numpy", "typer", "rich", "pluggy"} if folder != ROOT else set()
    )  # the core's, in every plugin
    for file in (folder / own).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            else:
                continue
            for module in {module.partition(".")[0] for module in modules}:
                known = module in sys.stdlib_module_names or module in ("avatarkit", own, "__future__", "pytest")
                distribution = DISTRIBUTION.get(module, module).lower()
                assert known or {module.lower(), distribution} & (stated | inherited), (
                    f"{file.relative_to(ROOT)} imports {module}"
                )


@pytest.mark.parametrize("folder", PLUGINS, ids=name)
def test_a_plugin_has_an_entry_point_to_a_module_of_its_own(folder: Path) -> None:
    table = project(folder)["project"]
    assert table["name"] == folder.name
    (module,) = table["entry-points"]["avatarkit"].values()
    package, _, inner = module.partition(".")
    assert (folder / package / f"{inner}.py").exists() and (folder / package / "py.typed").exists()
    assert any(dependency.startswith("avatarkit>=") for dependency in table["dependencies"])


def test_the_version_is_one() -> None:
    from avatarkit import __version__

    assert project(ROOT)["project"]["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel of every project, by distribution name."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    done = subprocess.run([*command, *map(str, PROJECTS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {wheel.name.partition("-")[0].replace("_", "-"): wheel for wheel in folder.glob("*.whl")}


def test_the_cores_wheel_holds_configs_types_and_licence_and_no_tests(wheels: dict[str, Path]) -> None:
    files = set(zipfile.ZipFile(wheels["avatarkit"]).namelist())
    configs = {f"avatarkit/configs/{file.name}" for file in (ROOT / "configs").glob("*.yaml")}
    assert configs and configs <= files
    assert {"avatarkit/py.typed", "avatarkit/testing/templates/rasterizer.py", "avatarkit/edit/lexicon.yaml"} <= files
    assert any(file.endswith("licenses/LICENSE") for file in files)
    assert not [file for file in files if file.startswith(("tests/", "docs/", "plugins/", "tools/"))]
    code = {str(file.relative_to(ROOT)) for file in (ROOT / "avatarkit").rglob("*.py")}
    assert code <= files


@pytest.mark.slow
def test_wheels_install_and_work_in_a_clean_environment(wheels: dict[str, Path], tmp_path: Path) -> None:
    """A new environment that sees this one's dependencies (torch is large), and not this checkout."""
    assert set(wheels) == {name(folder) for folder in PROJECTS}
    python = clean_environment(tmp_path / "venv")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall"]
    done = subprocess.run([*pip, *map(str, wheels.values())], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code = (
        "import avatarkit, json; from avatarkit.config import config_path; from avatarkit.cli.plugins import listing; "
        "rows = listing(); print(json.dumps([avatarkit.__file__, str(config_path('recon')), rows['plugins'], rows['providers']]))"
    )
    done = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file, config, plugins, providers = json.loads(done.stdout)
    assert Path(file).is_relative_to(tmp_path) and Path(config).is_relative_to(tmp_path) and Path(config).is_file()
    assert {plugin["distribution"] for plugin in plugins} >= set(wheels)
    assert all(plugin["status"] == "ok" for plugin in plugins), plugins
    assert {"cpu", "gsplat", "bust"} <= {provider["name"] for provider in providers}
    script = python.parent / "avatarkit"
    done = subprocess.run([str(script), "plugins", "list"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "gsplat" in done.stdout, done.stderr


@pytest.mark.slow
def test_a_new_plugin_passes_its_own_tests_once_installed(wheels: dict[str, Path], tmp_path: Path) -> None:
    """``plugins new``, ``pip install -e``, ``pytest``: as its author would."""
    from avatarkit.testing.template import write_plugin

    python = clean_environment(tmp_path / "venv")
    folder = write_plugin("sketch", "rasterizer", tmp_path / "avatarkit-sketch")
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*install, str(wheels["avatarkit"]), "-e", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout + done.stderr
    done = subprocess.run(
        [str(python), "-m", "avatarkit", "plugins", "check", "sketch"], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0 and "0 failed" in done.stdout, done.stdout + done.stderr


def clean_environment(folder: Path) -> Path:
    """The interpreter of a new environment beside the packages of this one, whose editable installs it does not see.

    ``--system-site-packages`` would show the base interpreter's packages, not this environment's, hence the .pth file: a path
    in one is searched after the new environment's own packages, and the .pth files in it are not read.
    """
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    here, there = (
        Path(subprocess.check_output([str(p), "-c", code], text=True).strip()) for p in (sys.executable, python)
    )
    (there / "outer.pth").write_text(f"{here}\n")
    return python


# --- the installer -----------------------------------------------------------------------------------------------------


@pytest.fixture
def installer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / "tools" / "install.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def resolved(
    monkeypatch: pytest.MonkeyPatch, installer: ModuleType, versions: dict[str, str] | None
) -> list[list[str]]:
    """Let pip's dry run resolve to ``versions`` (None: it fails); returns the commands that were run."""
    commands: list[list[str]] = []

    def run(command: list[Any], **options: Any) -> subprocess.CompletedProcess[bytes]:
        commands.append([str(part) for part in command])
        if "--report" in command and versions is not None:
            rows = [{"metadata": {"name": key, "version": value}} for key, value in versions.items()]
            Path(command[command.index("--report") + 1]).write_text(json.dumps({"install": rows}))
        return subprocess.CompletedProcess(command, 1 if versions is None and "--report" in command else 0)

    monkeypatch.setattr(installer.subprocess, "run", run)
    return commands


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ({"torch": "2.8.0+cpu", "torchvision": "0.23.0+cpu"}, ["torch==2.8.0+cpu", "torchvision==0.23.0+cpu"]),
        ({"torch": "2.8.0+cpu", "torchvision": "0.23.0"}, None),  # a CPU torch without its torchvision
        ({"torch": "2.8.0", "torchvision": "0.23.0"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_cpu_build_is_taken_only_as_a_pair(
    installer: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    versions: dict[str, str] | None,
    expected: list[str] | None,
) -> None:
    resolved(monkeypatch, installer, versions)
    assert installer.cpu_pair(tmp_path, "https://index.invalid") == expected


def test_the_default_build_is_left_to_pip_where_there_is_a_gpu(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands = resolved(monkeypatch, installer, {"torch": "2.8.0+cpu", "torchvision": "0.23.0+cpu"})
    monkeypatch.setattr(installer.platform, "system", lambda: "Linux")
    monkeypatch.setattr(installer, "nvidia_device", lambda: True)
    installer.install_torch(tmp_path)
    assert commands == []
    monkeypatch.setattr(installer, "nvidia_device", lambda: False)
    monkeypatch.setenv("AVATARKIT_TORCH_INDEX", "https://mirror.invalid/cpu")
    installer.install_torch(tmp_path)
    assert "--dry-run" in commands[0] and "https://mirror.invalid/cpu" in commands[0]
    assert commands[1][3:8] == [
        "install",
        "--index-url",
        "https://mirror.invalid/cpu",
        "torch==2.8.0+cpu",
        "torchvision==0.23.0+cpu",
    ]


def test_it_returns_at_once_when_nothing_changed(installer: ModuleType, tmp_path: Path) -> None:
    wanted = installer.fingerprint()
    installer.interpreter(tmp_path).parent.mkdir()
    installer.interpreter(tmp_path).write_text("")
    assert not installer.up_to_date(tmp_path, wanted, dev=False)
    (tmp_path / installer.STAMP).write_text(json.dumps({"fingerprint": wanted, "dev": False}))
    assert installer.up_to_date(tmp_path, wanted, dev=False) and not installer.up_to_date(tmp_path, wanted, dev=True)
    assert not installer.up_to_date(tmp_path, wanted + "x", dev=False)


def test_it_installs_the_core_and_every_plugin(installer: ModuleType) -> None:
    assert installer.requirements(dev=True) == [
        part for f in (f"{ROOT}[dev]", *map(str, PLUGINS)) for part in ("-e", f)
    ]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install" in readme and "make test" in readme
