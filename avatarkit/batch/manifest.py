"""What a batch is to make: a YAML file of captures, avatars and edits, checked whole before anything starts.

    out: avatars/
    defaults: {config: recon, set: {max_splats: 30000}, minutes: 5, head: bust, edits: {llm: rules}}
    heads:
      - name: ada
        input: captures/ada
        edits:
          - {name: red, prompt: "copper red hair"}
          - {name: glasses, prompt: "round black glasses", after: red}
      - name: bruno
        avatar: bruno.avatar
        edits: [{name: bald, prompt: "remove the hair"}]

Paths are relative to the file.  Keys that are options of ``avatarkit recon`` and ``avatarkit edit`` have their names and meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from avatarkit.config import from_mapping
from avatarkit.errors import ConfigError, InputError, nearest, unknown_name
from avatarkit.paths import explained
from avatarkit.types import PathArg

TOP = ("out", "defaults", "heads")
NAME = re.compile(r"\w(?:[\w.-]{0,98}\w)?")
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
"""Names of devices on Windows, with any suffix."""


@dataclass(frozen=True, kw_only=True)
class ReconOptions:
    """Options of ``avatarkit recon``; what is left out is that command's default."""

    config: str = "recon"
    set: dict = field(default_factory=dict)
    minutes: float | None = None
    iterations: int | None = None
    rasterizer: str | None = None
    head: str | None = None
    tracker: str | None = None
    segmenter: str | None = None
    size: int | None = None
    max_frames: int | None = None
    anyway: bool = False
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """Options of ``avatarkit edit``; what is left out is that command's default."""

    config: str = "edit"
    set: dict = field(default_factory=dict)
    editor: str | None = None
    editor_set: dict = field(default_factory=dict)
    llm: str | None = None
    llm_set: dict = field(default_factory=dict)
    llm_fallback: bool = False
    look: bool = True
    discriminator: str | None = None
    discriminator_set: dict = field(default_factory=dict)
    rasterizer: str | None = None
    head: str | None = None
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Edit(EditOptions):
    """An edit of a head: by ``prompt`` or by a ``plan`` file, of the head itself or of what the edit ``after`` makes of it.

    mask, mask_view: a picture of the region, and the timestep and camera that it was painted over ("0:3").
    """

    name: str
    prompt: str = ""
    plan: str = ""
    after: str = ""
    mask: str | None = None
    mask_view: str | None = None


@dataclass(frozen=True, kw_only=True)
class Head(ReconOptions):
    """A person: an ``input`` to reconstruct (a data set, a folder, a video or several), or an ``avatar`` that is there, and edits."""

    name: str
    input: tuple[str, ...] = ()
    avatar: str = ""
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """path: the file, absolute.  out: the folder to write, absolute."""

    path: Path
    out: Path
    heads: tuple[Head, ...]

    def locate(self, text: str) -> Path:
        """What ``text`` names, relative to the manifest."""
        return self.path.parent / Path(text).expanduser()


def read_manifest(path: PathArg, out: PathArg | None = None) -> Manifest:
    """Read and check a manifest.  ``out`` (relative to here) takes the place of the file's own.

    Raises ConfigError with file and key for an unknown key or a wrong value, InputError for names that cannot stand or clash,
    inputs that are not there and edits that wait for each other.
    """
    file = Path(path)
    with explained(file):
        text = file.read_text(encoding="utf-8")
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    data = _mapping(data, f"{path}")
    for key in data:
        if key not in TOP:
            raise ConfigError(f"{path}: unknown key '{key}'{nearest(str(key), TOP)}; expected {', '.join(TOP)}")
    recon, edit = _defaults(data.get("defaults") or {}, f"{path}: defaults")
    rows = data.get("heads")
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path}: 'heads': expected a list of heads; got {rows!r}")
    heads = tuple(_head(row, recon, edit, f"{path}: heads[{i}]") for i, row in enumerate(rows))
    own = data.get("out", "avatars")
    if not isinstance(own, str) or not own.strip():
        raise ConfigError(f"{path}: 'out': expected a folder; got {own!r}")
    absolute = file.resolve()
    folder = Path(out).resolve() if out is not None else (absolute.parent / Path(own).expanduser()).resolve()
    manifest = Manifest(absolute, folder, heads)
    _check_names(manifest, f"{path}")
    for head in heads:
        _check_sources(manifest, head, f"{path}: '{head.name}'")
        order_of(head, f"{path}: '{head.name}'")
    return manifest


def order_of(head: Head, where: str) -> list[Edit]:
    """The edits of a head, each after the one that it follows.  Raises InputError for an unknown ``after`` and for a circle."""
    known = {edit.name: edit for edit in head.edits}
    for edit in head.edits:
        if edit.after and edit.after not in known:
            raise InputError(f"{where}: edits: '{edit.name}': after: {unknown_name('edit', edit.after, known)}")
    graph = {edit.name: [edit.after] if edit.after else [] for edit in head.edits}
    try:
        return [known[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        circle = " after ".join(reversed(error.args[1]))
        raise InputError(f"{where}: edits: they wait for each other: {circle}") from error


def task_name(head: Head, edit: Edit | None = None) -> str:
    """The stem of what is written: ``ada`` for the head, ``ada-red`` for its edit."""
    return head.name if edit is None else f"{head.name}-{edit.name}"


def task_names(manifest: Manifest) -> list[str]:
    """Of everything that is made: heads with an ``input``, and edits."""
    rows = [(head, edit) for head in manifest.heads for edit in (None, *head.edits)]
    return [task_name(head, edit) for head, edit in rows if edit is not None or head.input]


def _defaults(values: Any, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Defaults of heads and of edits, checked by themselves so that an error is named where it stands."""
    recon = _mapping(values, where)
    edits = _mapping(recon.pop("edits", None) or {}, f"{where}: edits")
    known = [*_names(ReconOptions), "edits"]
    for key in recon:
        if key not in known:
            raise ConfigError(f"{where}: unknown key '{key}'{nearest(str(key), known)}")
    _check_length(recon, where)
    from_mapping(ReconOptions, recon, where)
    from_mapping(EditOptions, edits, f"{where}: edits")
    return recon, edits


def _head(row: Any, recon: Mapping[str, Any], edit: Mapping[str, Any], where: str) -> Head:
    own = _mapping(row, where)
    name = _name(own, where)
    where = f"{where.partition(': heads')[0]}: '{name}'"
    if isinstance(own.get("input"), str):
        own["input"] = [own["input"]]
    rows = own.pop("edits", None) or []
    if not isinstance(rows, list):
        raise ConfigError(f"{where}: 'edits': expected a list of edits; got {rows!r}")
    edits = [_edit(one, edit, f"{where}: edits[{i}]", f"{where}: edits") for i, one in enumerate(rows)]
    from_mapping(Head, own, where)
    if bool(own.get("input")) == bool(own.get("avatar")):
        raise ConfigError(f"{where}: expected 'input' to reconstruct, or 'avatar' to edit, and not both")
    if own.get("avatar"):
        idle = next((key for key in _names(ReconOptions) if key in own), None)
        if idle is not None:
            raise ConfigError(f"{where}: '{idle}' is of a reconstruction, and an 'avatar' is only edited; remove it")
        if not edits:
            raise ConfigError(f"{where}: an 'avatar' without 'edits' leaves nothing to do")
        return from_mapping(Head, {**own, "edits": edits}, where)
    _check_length(own, where)
    inherited = {k: v for k, v in recon.items() if k not in ("minutes", "iterations") or not _length(own)}
    return from_mapping(Head, {**_merged(inherited, own), "edits": edits}, where)


def _edit(row: Any, defaults: Mapping[str, Any], where: str, edits: str) -> Edit:
    own = _mapping(row, where)
    name = _name(own, where)
    made = from_mapping(Edit, _merged(defaults, own), f"{edits}: '{name}'")
    if bool(made.prompt.strip()) == bool(made.plan):
        raise ConfigError(f"{edits}: '{name}': expected 'prompt' or 'plan', and not both")
    return made


def _name(own: Mapping[str, Any], where: str) -> str:
    """The name of an entry, which becomes that of files."""
    name = own.get("name")
    if not isinstance(name, str):
        asked = "key 'name' is missing" if name is None else f"'name': expected text; got {name!r}"
        raise ConfigError(f"{where}: {asked}")
    if not NAME.fullmatch(name) or name.partition(".")[0].lower() in RESERVED:
        raise ConfigError(
            f"{where}: the name '{name}' cannot be a file's; use letters, digits, '-', '_' and '.', a letter or digit at both ends"
        )
    return name


def _check_names(manifest: Manifest, where: str) -> None:
    """Every task writes files of its own, also where the file system does not tell capitals apart."""
    seen: dict[str, str] = {}
    for head in manifest.heads:
        for edit in (None, *head.edits):
            name = task_name(head, edit)
            said = f"'{head.name}'" if edit is None else f"edit '{edit.name}' of '{head.name}'"
            other = seen.setdefault(name.lower(), said)
            if other is not said:
                raise InputError(f"{where}: {other} and {said} would both write {name}.avatar; rename one")


def _check_sources(manifest: Manifest, head: Head, where: str) -> None:
    """Everything that is read is there, and nothing of it is what the batch writes."""
    written = {manifest.out / f"{name}.avatar" for name in task_names(manifest)}
    named = [("input", text) for text in head.input] + ([("avatar", head.avatar)] if head.avatar else [])
    files = [(edit.name, key, text) for edit in head.edits for key, text in (("plan", edit.plan), ("mask", edit.mask))]
    named += [(f"edits: '{name}': {key}", text) for name, key, text in files if text]
    for key, text in named:
        path = manifest.locate(text)
        if not path.exists():
            raise InputError(f"{where}: {key}: {path}: no such file or folder")
        if key != "input" and path.is_dir():
            raise InputError(f"{where}: {key}: {path}: is a folder; expected a file")
        if path.is_dir() and manifest.out.is_relative_to(path.resolve()):
            raise InputError(f"{where}: {key}: {path} holds the folder to write, {manifest.out}; choose another 'out'")
        if path.resolve() in written:
            raise InputError(f"{where}: {key}: {path} is what this batch writes; choose another name or another 'out'")


def _check_length(values: Mapping[str, Any], where: str) -> None:
    if len(_length(values)) > 1:
        raise ConfigError(f"{where}: give 'minutes' or 'iterations', not both")


def _length(values: Mapping[str, Any]) -> list[str]:
    return [key for key in ("minutes", "iterations") if values.get(key) is not None]


def _merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``own`` over ``defaults``; mappings such as ``set`` are joined key by key."""
    both = {**defaults, **own}
    for key, usual in defaults.items():
        if isinstance(usual, dict) and isinstance(both[key], dict):
            both[key] = {**usual, **both[key]}
    return both


def _mapping(values: Any, where: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected 'key: value' lines; got {values!r}")
    return dict(values)


def _names(kind: type) -> Iterable[str]:
    return [one.name for one in fields(kind)]
