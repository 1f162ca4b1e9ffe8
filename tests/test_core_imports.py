"""How the code is laid out: a light core, imports that go down, no pickles, short files, no leftovers of a machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "avatarkit"
MODULES = sorted(PACKAGE.rglob("*.py"))

LIGHT = (
    "errors",
    "registry",
    "hookspecs",
    "contracts",
    "config",
    "events",
    "paths",
    "types",
    "cameras",
    "cli.main",
    "edit.planning",
    "edit.rules",
    "edit.refining",
)

# docs/architecture.md's list, top first; what is not named is the core.
LAYERS = (
    ("cli", "__main__"),
    ("demo", "batch", "recon.job", "edit.job", "edit.pictures", "report", "evaluate", "drive", "bench", "pictures"),
    ("testing",),
    ("synthetic",),
    ("edit",),
    ("recon",),
    ("track",),
    ("segment",),
    ("losses",),
    ("gaussians",),
    ("render",),
    ("head",),
    ("capture",),
)
CORE = len(LAYERS)

# Upward, inside a function, and why.
ALLOWED = {
    ("assets", "head.registering"): "a head file without a published checksum is verified by reading it",
    ("machine", "render.lanes"): "`doctor` shows how wide the kernels are",
}


@pytest.mark.parametrize("module", LIGHT)
def test_the_core_imports_neither_torch_nor_numba(module: str) -> None:
    code = f"import sys, avatarkit.{module}; print(*sorted({{'torch', 'numba', 'scipy', 'matplotlib'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def layer(module: str) -> int:
    """``module`` without "avatarkit."; the longest name counts, so that recon.job stands above recon."""
    ranks = {name: rank for rank, names in enumerate(LAYERS) for name in names}
    parts = module.split(".")
    return next((ranks[n] for k in range(len(parts), 0, -1) if (n := ".".join(parts[:k])) in ranks), CORE)


def imports(tree: ast.Module) -> Iterator[tuple[str, bool, int]]:
    """Every import of avatarkit's, inside functions too, but for annotations: (module, at the top level, line)."""
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert not node.level, "relative import"
            # `from avatarkit.recon import job` means the module: the longer name is tried first by `layer`.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("avatarkit.") and id(node) not in typing_only:
                yield name.removeprefix("avatarkit."), id(node) in top, node.lineno


def test_imports_go_down() -> None:
    wrong, used = [], set()
    for file in MODULES:
        module = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        for target, top, line in imports(ast.parse(file.read_text(encoding="utf-8"))):
            if layer(target) >= layer(module):
                continue
            allowed = next((key for key in ALLOWED if key[0] == module and target.startswith(key[1])), None)
            if allowed and not top:
                used.add(allowed)
            else:
                wrong.append(f"avatarkit/{file.relative_to(PACKAGE)}:{line}: {module} imports {target}")
    assert not wrong, "\n".join(wrong)
    assert used == set(ALLOWED), "an exception that nothing needs"


def test_the_documented_layers_are_these() -> None:
    """Every layer stands in docs/architecture.md, in this order; every package of the source has a place there."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [
        re.findall(
            r"`([\w.]+)/?`",
            row.split("|")[1]
            .replace("recon/job.py", "recon.job")
            .replace("edit/job.py", "edit.job")
            .replace("edit/pictures.py", "edit.pictures"),
        )
        for row in rows
    ]
    documented = [set(" ".join(names).split()) for names in cells]
    position = {name: k for k, names in enumerate(documented) for name in names}
    shown = [tuple(name for name in names if name in position) for names in LAYERS]
    order = [{position[name] for name in names} for names in shown if names]
    assert all(len(places) == 1 for places in order), "one row for each layer"
    assert [min(places) for places in order] == sorted(min(places) for places in order)
    packages = {file.parent.name for file in PACKAGE.glob("*/__init__.py")} - {"segment"}
    assert packages <= set(position)


FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "torch.load",
    "torch.save",
    "yaml.load",
    "yaml.unsafe_load",
    "np.fromfile",
    "marshal.loads",
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
GUARDED = {PACKAGE / "head" / "flame_import.py"}
SHIPPED = [*MODULES, *sorted((ROOT / "plugins").glob("*/avatarkit_*/**/*.py")), *sorted((ROOT / "tools").glob("*.py"))]


def test_nothing_that_executes_a_file() -> None:
    wrong = []
    for file in SHIPPED:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            where = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import | ast.ImportFrom) and file not in GUARDED:
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                wrong += [f"{where}: {name}" for name in names if name.partition(".")[0] in FORBIDDEN_MODULES]
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in FORBIDDEN_CALLS:
                wrong.append(f"{where}: {called}")
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                    wrong.append(f"{where}: allow_pickle")
            if called in ("np.load", "numpy.load") and "allow_pickle" not in {k.arg for k in node.keywords}:
                wrong.append(f"{where}: np.load without allow_pickle=False")
    assert not wrong, "\n".join(wrong)


def test_files_are_short_and_named_for_what_they_do() -> None:
    names = re.compile(r"(^|_)(utils?|helpers?|common|misc|base|manager|trainer)(_|$)", re.IGNORECASE)
    classes = re.compile(r"(Manager|Trainer|Helper|Utils?|Base)$")
    for file in SHIPPED:
        text = file.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, f"{file.relative_to(ROOT)}: over 400 lines"
        for part in file.relative_to(ROOT).with_suffix("").parts:
            assert not names.search(part), file.relative_to(ROOT)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                assert not classes.search(node.name), f"{file.relative_to(ROOT)}: {node.name}"


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_nothing_names_a_machine() -> None:
    """Paths of somebody's machine, in any text file."""
    machine = re.compile(r"(?<![\w./-])/(?:work|root|tmp|home/\w+|Users/\w+|mnt|scratch)(?:/|\b)")
    wrong = []
    for file in tracked():
        if file == Path(__file__).resolve():
            continue
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        wrong += [
            f"{file.relative_to(ROOT)}:{n}: {line.strip()}" for n, line in enumerate(lines, 1) if machine.search(line)
        ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_left_unfinished() -> None:
    """In what is shipped; templates for plugin authors say what to replace in words."""
    marks = re.compile(r"\b(TODO|FIXME|XXX|raise NotImplementedError)\b")
    for file in SHIPPED:
        found = marks.search(file.read_text(encoding="utf-8"))
        assert found is None, f"{file.relative_to(ROOT)}: {found and found[0]}"


def test_the_readme_says_how_to_install_and_to_test() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for words in ("python3 -m venv", "pip install .", "pip install ./plugins/", "make demo", "make test"):
        assert words in readme, words


def test_links_of_the_documents_lead_somewhere() -> None:
    for file in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("plugins/*/README.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", file.read_text(encoding="utf-8")):
            assert "://" in link or (file.parent / link).exists(), f"{file.relative_to(ROOT)}: {link}"
