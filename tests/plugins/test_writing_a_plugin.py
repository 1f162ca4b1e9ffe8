"""docs/writing-a-plugin.md: the project on the page is built from the page and passes its own test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from avatarkit.hookspecs import HOOKS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "writing-a-plugin.md").read_text(encoding="utf-8")


def test_the_project_on_the_page_passes_its_own_test(tmp_path: Path) -> None:
    files = dict(re.findall(r"`([\w/.]+\.(?:py|toml))`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL))
    assert set(files) == {
        "pyproject.toml", "avatarkit_tone/provider.py", "avatarkit_tone/options.py", "avatarkit_tone/segmenter.py",
        "tests/test_conformance.py",
    }  # fmt: skip
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    information = tmp_path / "avatarkit_tone-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: avatarkit-tone\nVersion: 0.1.0\n")
    entry = re.search(r"\[project.entry-points.avatarkit\]\n(.*)\n", files["pyproject.toml"])
    assert entry is not None
    (information / "entry_points.txt").write_text(f"[avatarkit]\n{entry[1].replace(chr(34), '')}\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)

    done = run("pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
    code = "from avatarkit.registry import registry; registry().create('segmenter', 'tone', {'rednes': 1})"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "did you mean 'redness'" in done.stderr
    done = subprocess.run(
        [sys.executable, "-c", code.replace("rednes'", "redness'").replace("1}", "2}")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "expected 0 to 1" in done.stderr


def test_every_role_stands_in_the_table_of_conformance() -> None:
    for role in HOOKS:
        assert f"| {role.replace('_', ' ')} |" in PAGE
