"""Errors for the person who made them: what was wrong, where, what was expected, what to do.

The command line prints an ``AvatarkitError`` as one line and exits with its ``exit_code``; anything else is our own fault
(exit code 1).  Tracebacks appear only with ``--debug``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AvatarkitError(Exception):
    """Something that the user can mend.  ``str(error)`` is one line."""

    exit_code = 1


class InputError(AvatarkitError):
    """The input is wrong: a value, an option, a capture, a prompt."""

    exit_code = 2


class FileFormatError(InputError):
    """A file is missing a key, truncated, corrupted, or not what it claims to be.  Names the file."""


class ConfigError(InputError):
    """A config file or ``--set`` has an unknown key or a value of the wrong type."""


class EnvironmentProblem(AvatarkitError):
    """The machine lacks something: a package, a driver, an asset, disk space, permission."""

    exit_code = 3


class MissingDependency(EnvironmentProblem):
    """A provider needs a package that is not installed.  Says how to install it."""


class MissingAsset(EnvironmentProblem):
    """A named asset (FLAME, a landmark model, weights) is not registered.  Says how to get it."""


class PluginError(EnvironmentProblem):
    """A plugin is broken, collides with another, or breaks the contract."""


class DivergedError(AvatarkitError):
    """An optimisation produced non-finite values repeatedly.  Names the tensor."""


class LostProcess(AvatarkitError):
    """Of several processes at one job another one has died or does not answer."""


def nearest(word: str, candidates: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest candidate, or an empty string."""
    match = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f"; did you mean '{match[0]}'?" if match else ""


def unknown_name(kind: str, name: str, candidates: Iterable[str]) -> InputError:
    """The error for a name that is not among ``candidates``, with the nearest match and the full list."""
    known = sorted(candidates)
    return InputError(f"unknown {kind} '{name}'{nearest(name, known)} (known: {', '.join(known) or 'none'})")
