"""Options that several commands share: those of plugins, and how much of a video is taken."""

from __future__ import annotations

from typing import Any

from avatarkit.config import parse_overrides
from avatarkit.errors import ConfigError, InputError

FEWEST_FRAMES, MOST_FRAMES = 10, 10_000  # of which one is held out; eight gigabytes of cache at 512²


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


def frames_taken(given: int | None) -> int:
    """``--max-frames``: at most so many frames of videos; the reader's own number where it was not given.

    Raises InputError for a number out of range.
    """
    from avatarkit.capture.video import MAX_FRAMES

    if given is None:
        return MAX_FRAMES
    if not FEWEST_FRAMES <= given <= MOST_FRAMES:
        raise InputError(f"--max-frames {given}: expected {FEWEST_FRAMES} to {MOST_FRAMES} frames")
    return given
