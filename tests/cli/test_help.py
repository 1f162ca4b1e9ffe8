"""Every command explains itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatarkit.cli.commands import COMMANDS, load

OPTIONS = {
    "demo": ("--out", "--clip", "--minutes", "--max-frames", "--seed", "--json"),
    "track": ("--output", "--tracker", "--head", "--size", "--max-frames", "--json"),
    "recon": ("--output", "--config", "--set", "--minutes", "--iterations", "--rasterizer", "--head", "--tracker", "--max-frames", "--gpus", "--processes", "--resume"),
    "render": ("--output", "--motion", "--camera", "--frame", "--sheet", "--labels", "--size", "--fps", "--background", "--max-frames"),
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


USAGE = {
    "demo": "", "track": "INPUT...", "recon": "INPUT...", "edit": "A.avatar [PROMPT]", "label": "A.avatar", "render": "A.avatar",
    "eval": "[A.avatar]… [CAPTURE]…", "export": "A.avatar", "import": "KIND DIR", "report": "A.avatar", "batch": "MANIFEST",
    "info": "A.avatar", "doctor": "", "plugins list": "", "plugins check": "[NAME|ROLE:NAME|FILE.py:CLASS]…", "plugins new": "NAME",
    "plugins hooks": "", "assets list": "", "assets get": "NAME [FILE]", "assets add": "NAME FILE", "bench recon": "[CAPTURE]",
    "bench track": "SEQUENCE_DIR TRUE_DIR",
}  # fmt: skip


@pytest.mark.parametrize("name", USAGE)
def test_the_usage_line_says_what_has_to_be_given(command: Callable[..., Any], name: str) -> None:
    said = command(*name.split(), "--help").out.split("\n\n")[0] + command(*name.split(), "--nothing").err
    lines = [line.partition("Usage: ")[2].strip() for line in said.splitlines() if "Usage: " in line]
    assert lines == [f"avatarkit {name} [OPTIONS] {USAGE[name]}".strip()] * 2


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


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    assert load(name).help.partition("\n\n")[0] == COMMANDS[name].help


def test_a_mistyped_command_is_told_the_nearest(command: Callable[..., Any]) -> None:
    said = command("rekon")
    assert said.code == 2 and "'recon'" in said.err


def test_what_is_given_is_converted(command: Callable[..., Any], tmp_path: Path) -> None:
    """Numbers, paths and lists are typer's to convert; a missing argument and a word for a number are refused."""
    assert "Missing argument" in command("info").err
    said = command("recon", str(tmp_path), "-o", str(tmp_path / "a"), "--iterations", "many")
    assert said.code == 2 and "'--iterations'" in said.err, said.err
