"""Tasks: commands of avatarkit with what they read, what they write, and what they wait for."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from avatarkit.batch.manifest import Edit, EditOptions, Head, Manifest, ReconOptions, order_of, task_name
from avatarkit.config import load_config
from avatarkit.edit.config import EditConfig
from avatarkit.errors import AvatarkitError, ConfigError
from avatarkit.paths import explained
from avatarkit.recon.config import ReconConfig
from avatarkit.types import Json

PICTURE = ("--camera", "front", "--frame", "0", "--size", "240x300", "--quiet")  # what the report shows of an avatar


@dataclass(frozen=True)
class Task:
    """One avatar to make, by one command.

    name: stem of its files.  said: "recon of ada".  command: program and arguments; a leading "avatarkit" stands for this
    installation.  folder: the batch's, absolute.  output: the file that is there when it is done.  reads: files and folders that
    must be there.  after: name of the task that writes what it reads, or "".  checkpoints: folder that ``--resume`` goes on from.
    picture: a command that draws the output, or empty.  settings: what else the output depends on.  fingerprint: "" until the
    task is ready, then what ``fingerprint`` makes of it.
    """

    name: str
    said: str
    command: tuple[str, ...]
    folder: Path
    output: Path
    reads: tuple[Path, ...] = ()
    after: str = ""
    checkpoints: Path | None = None
    picture: tuple[str, ...] = ()
    settings: Json = field(default_factory=dict)
    fingerprint: str = ""

    @property
    def log(self) -> Path:
        return self.folder / "logs" / f"{self.name}.log"

    @property
    def state(self) -> Path:
        return self.folder / "state" / f"{self.name}.json"

    @property
    def result(self) -> Path:
        """What the command's ``--json`` writes."""
        return _result(self.folder, self.name)

    @property
    def drawn(self) -> Path:
        """What ``picture`` writes."""
        return _drawn(self.folder, self.name)


def tasks_of(manifest: Manifest) -> list[Task]:
    """The tasks of a manifest, each after the one that it waits for.  Raises ConfigError for a config that cannot be read."""
    tasks = []
    for head in manifest.heads:
        where = f"{manifest.path.name}: '{head.name}'"
        if head.input:
            tasks.append(_recon(manifest, head, where))
        tasks += [_edit(manifest, head, edit, where) for edit in order_of(head, where)]
    return tasks


def fingerprint(task: Task) -> str:
    """SHA-256 over the command, the settings, and path, size and time of change of every file that is read."""
    stamps = [stamp for path in task.reads for stamp in _stamps(path)]
    known = {"command": task.command, "settings": task.settings, "stamps": stamps}
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()


def _recon(manifest: Manifest, head: Head, where: str) -> Task:
    name, out = task_name(head), manifest.out
    inputs = [manifest.locate(text).resolve() for text in head.input]
    options, files = _options(manifest, head, ReconOptions)
    output = out / f"{name}.avatar"
    written = ("-o", str(output), "--json", str(_result(out, name)))
    return Task(
        name,
        f"recon of {head.name}",
        ("avatarkit", "recon", *map(str, inputs), *written, *_flags(options)),
        out,
        output,
        reads=(*inputs, *files),
        checkpoints=output.with_suffix(".run") / "checkpoints",
        picture=_picture(out, name),
        settings=_settings(ReconConfig, options.get("config", head.config), head.set, where),
    )


def _edit(manifest: Manifest, head: Head, edit: Edit, where: str) -> Task:
    name, out = task_name(head, edit), manifest.out
    before = next((other for other in head.edits if other.name == edit.after), None)
    made_here = bool(head.input) or before is not None
    source = out / f"{task_name(head, before)}.avatar" if made_here else manifest.locate(head.avatar).resolve()
    options, files = _options(manifest, edit, EditOptions, "plan", "mask")
    if edit.mask_view is not None:
        options["mask_view"] = edit.mask_view
    output = out / f"{name}.avatar"
    written = ("-o", str(output), "--json", str(_result(out, name)))
    said = (str(source),) if edit.plan else (str(source), edit.prompt)
    line = (*said, *written, *_flags(options))
    if edit.prompt.startswith("-"):  # it is none of the options
        line = (*written, *_flags(options), "--", *said)
    return Task(
        name,
        f"edit '{edit.name}' of {head.name}",
        ("avatarkit", "edit", *line),
        out,
        output,
        reads=(source, *files),
        after=task_name(head, before) if made_here else "",
        picture=_picture(out, name),
        settings=_settings(EditConfig, options.get("config", edit.config), edit.set, f"{where}: edits: '{edit.name}'"),
    )


def _options(manifest: Manifest, entry: Head | Edit, kind: type, *files: str) -> tuple[dict[str, Any], list[Path]]:
    """Options that are not what the command does anyway, and the files among them, absolute.

    files: keys of ``entry`` that name files, besides ``head`` where there is such a file; a config's content is a setting.
    """
    usual = kind()
    names = (one.name for one in dataclasses.fields(kind))
    options = {name: getattr(entry, name) for name in names if getattr(entry, name) != getattr(usual, name)}
    if entry.config.endswith((".yaml", ".yml")):
        options["config"] = str(manifest.locate(entry.config).resolve())
    read = [name for name in files if getattr(entry, name)]
    if entry.head is not None and manifest.locate(entry.head).is_file():
        read.append("head")
    paths = [manifest.locate(getattr(entry, name)).resolve() for name in read]
    return options | dict(zip(read, map(str, paths), strict=True)), paths


def _settings(kind: type, config: str, changes: Mapping[str, Any], where: str) -> Json:
    """What the config, as the command will read it, says besides the defaults: a setting that a new version adds changes nothing."""
    try:
        read: Any = load_config(kind, config, {key: _scalar(value) for key, value in changes.items()})
    except AvatarkitError as error:
        raise ConfigError(f"{where}: {error}") from error
    usual, said = dataclasses.asdict(kind()), dataclasses.asdict(read)
    return {name: value for name, value in said.items() if value != usual[name]}


def _flags(options: Mapping[str, Any]) -> Iterator[str]:
    """``{"max": 3, "set": {"a": 1}, "fast": True, "look": False}`` → ``--max 3 --set a=1 --fast --no-look``."""
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from (flag, f"{key}={_scalar(inner)}")
        elif isinstance(value, bool):
            yield flag if value else "--no" + flag.removeprefix("-")
        else:
            yield from (flag, str(value))


def _scalar(value: Any) -> str:
    """A value as ``--set`` reads it: YAML, of which JSON is a part; words that stand for themselves need no quotes."""
    with contextlib.suppress(yaml.YAMLError):
        if isinstance(value, str) and yaml.safe_load(value) == value:
            return value
    return json.dumps(value)


def _picture(folder: Path, name: str) -> tuple[str, ...]:
    return ("avatarkit", "render", str(folder / f"{name}.avatar"), "-o", str(_drawn(folder, name)), *PICTURE)


def _result(folder: Path, name: str) -> Path:
    return folder / "results" / f"{name}.json"


def _drawn(folder: Path, name: str) -> Path:
    return folder / "pictures" / f"{name}.png"


def _stamps(path: Path) -> Iterator[tuple[str, int, int]]:
    """Path, size and time of change of a file, or of every file below a folder that is not hidden."""
    with explained(path):
        if not path.is_dir():
            found = path.stat()
            yield str(path), found.st_size, found.st_mtime_ns
            return
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(name for name in files if not name.startswith(".")):
                found = os.stat(os.path.join(folder, name))
                yield os.path.join(folder, name), found.st_size, found.st_mtime_ns
