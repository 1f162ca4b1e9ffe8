"""Every command explains itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

OPTIONS = {
    "demo": ("--out", "--clip", "--minutes", "--seed", "--json"),
    "track": ("--output", "--tracker", "--head", "--size", "--json"),
    "recon": ("--output", "--config", "--set", "--minutes", "--iterations", "--rasterizer", "--head", "--tracker", "--gpus", "--processes", "--resume"),
    "render": ("--output", "--motion", "--camera", "--frame", "--sheet", "--labels", "--size", "--fps", "--background"),
    "eval": ("--split", "--json", "--lpips-net", "--rasterizer", "--head"),
    "report": ("--output", "--rasterizer", "--head"),
    "info": ("--json",),
    "doctor": ("--json",),
    "plugins": ("list", "check", "new", "hooks"),
    "assets": ("list", "add", "get"),
    "bench": ("raster",),
    "edit": ("--output", "--editor", "--llm", "--discriminator", "--plan", "--plan-only", "--show-region", "--undo", "--llm-fallback", "--json"),
    "batch": ("--output", "--jobs", "--ray", "--retries", "--dry-run", "--json"),
    "bench raster": ("--json", "--quick", "--repeats"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_help_of_a_command_lists_its_options(command: Callable[..., Any], name: str) -> None:
    said = command(*name.split(), "--help")
    assert said.code == 0 and all(option in said.out for option in OPTIONS[name]), said.out


def test_help_and_no_arguments_list_every_command(command: Callable[..., Any]) -> None:
    said = command("--help")
    assert said.code == 0 and all(name.split()[0] in said.out for name in OPTIONS)
    assert "recon" in command().out


def test_version(process: Callable[..., dict[str, Any]]) -> None:
    from avatarkit import __version__

    done = subprocess.run(**process("--version"), capture_output=True, text=True, check=True)
    assert done.stdout == f"avatarkit {__version__}\n" and done.stderr == ""


def test_plugins_list(command: Callable[..., Any]) -> None:
    said = command("plugins", "list")
    assert said.code == 0 and "cpu" in said.out + said.err and "bust" in said.out + said.err
