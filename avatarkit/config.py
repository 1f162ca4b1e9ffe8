"""Configs are frozen dataclasses; files are flat YAML; an unknown key is an error that names the nearest one.

``load_config(ReconConfig, "recon")`` reads a shipped config, ``load_config(ReconConfig, "my.yaml", {"seed": "3"})`` a file
with ``--set`` overrides.  The resolved config is written beside the result (``dump_config``).
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from avatarkit.errors import ConfigError, nearest, unknown_name
from avatarkit.paths import atomic_write_text, explained
from avatarkit.types import PathArg

T = TypeVar("T")


def config_folder() -> Path:
    """The shipped configs: package data in a wheel, ``configs/`` at the top of a checkout."""
    packaged = Path(__file__).parent / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "configs"


def config_path(name_or_file: PathArg) -> Path:
    """``recon`` → the shipped ``recon.yaml``; anything that ends in .yaml or .yml, or exists, is a file."""
    path = Path(name_or_file)
    if path.suffix in {".yaml", ".yml"}:
        return path
    known = {file.stem: file for file in config_folder().glob("*.yaml")}
    if str(name_or_file) in known:
        return known[str(name_or_file)]
    raise unknown_name("config", str(name_or_file), known)


def load_config(kind: type[T], name_or_file: PathArg | None = None, overrides: Mapping[str, str] | None = None) -> T:
    """Build the dataclass ``kind`` from its defaults, a config file, and ``--set`` overrides (YAML scalars).

    Raises ConfigError for an unknown key, a value of the wrong type or a file that is no mapping.
    """
    values: dict[str, Any] = {}
    if name_or_file is not None:
        path = config_path(name_or_file)
        values.update(_checked(kind, read_settings(path), str(path)))
    parsed = {}
    for key, text in (overrides or {}).items():
        try:
            parsed[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {key}={text}: not a valid value") from error
    values.update(_checked(kind, parsed, "--set"))
    return kind(**values)


def read_settings(path: Path) -> dict[Any, Any]:
    """The mapping in a YAML file.  Raises ConfigError for a file that holds none."""
    try:
        with explained(path):
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not text in UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if loaded is not None and not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected 'key: value' lines")
    return loaded or {}


def parse_overrides(pairs: list[str]) -> dict[str, str]:
    """``["k=v", …]`` → {"k": "v"}."""
    result = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--set {pair}: expected key=value")
        result[key.strip()] = value.strip()
    return result


def from_mapping(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """The dataclass ``kind`` from a mapping, checked as a config file is."""
    return kind(**_checked(kind, values, where))


def dump_config(config: Any, path: PathArg) -> None:
    """Write the resolved config, atomically."""
    atomic_write_text(path, yaml.safe_dump(dataclasses.asdict(config), sort_keys=False))


def _checked(kind: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    result = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key '{key}'{nearest(str(key), known)}")
        result[key] = _converted(hints[key], value, f"{where}: '{key}'")
    return result


def _converted(hint: Any, value: Any, where: str) -> Any:
    """``value`` if it fits ``hint``; ints become floats where a float is asked for, '1e-3' too."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        return _converted(next(o for o in options if o is not type(None)), value, where)
    if origin is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ConfigError(f"{where}: expected one of {', '.join(map(str, choices))}; got {value!r}")
        return value
    if origin is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list; got {value!r}")
        return tuple(_converted(inner, item, where) for item in value)
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ConfigError(f"{where}: expected {hint.__name__}; got {value!r}")
