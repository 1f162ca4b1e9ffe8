"""Options of plugins, as they are given on the command line."""

from __future__ import annotations

from typing import Any

from avatarkit.config import parse_overrides
from avatarkit.errors import ConfigError


def part_options(flag: str, part: str, pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE pairs of ``flag`` for the part of that name: YAML scalars, checked by the part's own config."""
    import yaml

    options = {}
    for key, text in parse_overrides(pairs).items():
        try:
            options[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{flag} {key}={text}: not a valid value for '{part}'") from error
    return options
