"""Sets up a virtual environment with avatarkit and the plugins of this repository.  Plain pip; nothing but Python needed.

    python3 tools/install.py [--venv .venv] [--dev]

What it runs: ``python3 -m venv .venv``; ``pip install torch torchvision`` from PyTorch's CPU index where there is no NVIDIA
device and that index answers with a matching pair (the default build is 2 GB larger); ``pip install -e . -e plugins/*``.
When nothing changed since the last time it returns at once.

``AVATARKIT_TORCH_INDEX``: another index of CPU builds, or empty to take the default build.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MINIMUM = (3, 11)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
STAMP = ".avatarkit-installed"


def main() -> int:
    parser = argparse.ArgumentParser(description="Set up a virtual environment with avatarkit and its plugins.")
    parser.add_argument(
        "--venv", type=Path, default=ROOT / ".venv", help="where (default: .venv beside this repository's README)"
    )
    parser.add_argument("--dev", action="store_true", help="also what the tests need")
    arguments = parser.parse_args()
    if sys.version_info < MINIMUM:
        return with_newer_python()
    began = time.monotonic()
    venv = arguments.venv.resolve()
    wanted = fingerprint()
    if up_to_date(venv, wanted, arguments.dev):
        return 0
    make_venv(venv)
    if not has_torch(venv):
        install_torch(venv)
    say("installing avatarkit and its plugins (some minutes: torch is large)")
    pip(venv, "install", *requirements(arguments.dev))
    (venv / STAMP).write_text(json.dumps({"fingerprint": wanted, "dev": arguments.dev}), encoding="utf-8")
    say(f"ready in {time.monotonic() - began:.0f} s: {interpreter(venv).parent / 'avatarkit'} --help")
    return 0


def with_newer_python() -> int:
    """Start again with a Python that is new enough, where there is one on the PATH."""
    for minor in range(20, MINIMUM[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return subprocess.call([found, *sys.argv])
    fail(
        f"Python {platform.python_version()} is too old; avatarkit needs 3.11 or newer (make PYTHON=/path/to/python3.11)"
    )


def fingerprint() -> str:
    """Changes when a dependency may have: every pyproject.toml, this script, and the Python."""
    digest = hashlib.sha256(sys.version.encode())
    for file in (Path(__file__), ROOT / "pyproject.toml", *(folder / "pyproject.toml" for folder in plugins())):
        digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return digest.hexdigest() + str(ROOT)


def up_to_date(venv: Path, wanted: str, dev: bool) -> bool:
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return interpreter(venv).exists() and stamp.get("fingerprint") == wanted and (stamp.get("dev") or not dev)


def plugins() -> list[Path]:
    """The plugins that are shipped with the core, each a distribution of its own."""
    return sorted(file.parent for file in (ROOT / "plugins").glob("*/pyproject.toml"))


def requirements(dev: bool) -> list[str]:
    """pip's arguments: the core and the plugins, editable."""
    editable = [f"{ROOT}[dev]" if dev else str(ROOT), *map(str, plugins())]
    return [argument for folder in editable for argument in ("-e", folder)]


def make_venv(venv: Path) -> None:
    if interpreter(venv).exists():
        return
    say(f"making {venv}")
    done = subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(venv, ignore_errors=True)
        fail(
            f"`python3 -m venv` failed; on Debian and Ubuntu: apt install python3-venv\n{done.stdout}{done.stderr}".strip()
        )


def interpreter(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def has_torch(venv: Path) -> bool:
    code = "import importlib.metadata as m; m.version('torch'); m.version('torchvision')"
    return subprocess.run([interpreter(venv), "-c", code], capture_output=True).returncode == 0


def install_torch(venv: Path) -> None:
    """The CPU build where it is enough and there is a matching pair; else nothing: the default comes as a dependency."""
    index = os.environ.get("AVATARKIT_TORCH_INDEX", CPU_INDEX)
    if nvidia_device() or platform.system() != "Linux" or not index:
        return
    say(f"no NVIDIA device: looking for the CPU build of torch at {index}")
    pair = cpu_pair(venv, index)
    if pair is None:
        say("no matching CPU builds of torch and torchvision there: going on with the default build")
        return
    say(f"installing {' '.join(pair)}")
    pip(venv, "install", "--index-url", index, *pair)


def cpu_pair(venv: Path, index: str) -> list[str] | None:
    """``["torch==2.8.0+cpu", "torchvision==0.23.0+cpu"]`` if pip resolves both to CPU builds, else None.

    Only the pair counts: an index or a folder of wheels may have a CPU torch without the torchvision that goes with it.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            str(interpreter(venv)), "-m", "pip", "install", "--dry-run", "--quiet", "--report", str(report),
            "--index-url", index, "--timeout", "10", "--retries", "0", "torch", "torchvision",
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, timeout=120)
            found = json.loads(report.read_text(encoding="utf-8")) if done.returncode == 0 else {}
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None
    versions = {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in found.get("install", [])}
    pair = [f"{name}=={versions.get(name, '')}" for name in ("torch", "torchvision")]
    return pair if all(requirement.endswith("+cpu") for requirement in pair) else None


def nvidia_device() -> bool:
    """Whether there is an NVIDIA device, as its driver says."""
    return Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None


def pip(venv: Path, *arguments: str) -> None:
    done = subprocess.run([interpreter(venv), "-m", "pip", *arguments, "-qq", "--disable-pip-version-check"])
    if done.returncode:
        fail(f"`pip {' '.join(arguments)}` failed; its message is above")


def say(text: str) -> None:
    print(f"install: {text}", flush=True)


def fail(text: str) -> None:
    print(f"install: {text}", file=sys.stderr)
    raise SystemExit(3)


if __name__ == "__main__":
    sys.exit(main())
