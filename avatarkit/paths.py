"""Where things live on disk, and how files are written so that a crash leaves the old one intact.

``AVATARKIT_HOME`` (default: ``~/.cache/avatarkit``) holds assets and caches.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from avatarkit.errors import EnvironmentProblem, InputError
from avatarkit.types import PathArg


def home() -> Path:
    """The folder for assets and caches; made on first use."""
    folder = Path(os.environ.get("AVATARKIT_HOME") or Path.home() / ".cache" / "avatarkit")
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def explained(path: PathArg) -> Iterator[None]:
    """Turn the operating system's errors about ``path`` into one line with what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{_meant(error, path)}: no such file or folder") from error
    except PermissionError as error:
        raise EnvironmentProblem(
            f"{_meant(error, path)}: no permission; choose another folder or change its mode"
        ) from error
    except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        wrong = "is a folder" if isinstance(error, IsADirectoryError) else "a file stands where a folder is needed"
        raise InputError(f"{_meant(error, path)}: {wrong}; choose another path") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise EnvironmentProblem(f"{path}: the disk is full; free some space, nothing was overwritten") from error
        if error.errno == errno.EROFS:
            raise EnvironmentProblem(f"{path}: the file system is read-only; choose another folder") from error
        raise


def _meant(error: OSError, path: PathArg) -> object:
    """What the error is about, and not the temporary file beside ``path`` that nobody asked for."""
    if isinstance(error.filename, str) and not Path(error.filename).name.startswith(f".{Path(path).name}."):
        return error.filename
    return path


def require_file_place(path: PathArg) -> None:
    """Raise now what writing a result to ``path`` would raise hours later; makes its folder.

    InputError: a folder is there. EnvironmentProblem: the folder cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target}: is a folder; name a file to write with -o")
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target.parent, prefix=f".{target.name}.").close()


@contextlib.contextmanager
def atomic_write(path: PathArg) -> Iterator[BinaryIO]:
    """A binary file that replaces ``path`` on success only: temporary file, fsync, rename, directory fsync.

    Raises EnvironmentProblem when the disk is full or the folder cannot be written; the previous file is untouched then.
    """
    target = Path(path)
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            with contextlib.suppress(OSError, AttributeError):  # mkstemp makes 0600; a result should follow the umask
                mask = os.umask(0)
                os.umask(mask)
                os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _fsync_directory(target.parent)


def atomic_write_text(path: PathArg, text: str) -> None:
    """``atomic_write`` for UTF-8 text."""
    with atomic_write(path) as stream:
        stream.write(text.encode())


def atomic_path(path: PathArg, write: Callable[[Path], None]) -> None:
    """For writers that need a path: ``write`` gets a temporary one with the same suffix, renamed to ``path`` on success."""
    target = Path(path)
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
        try:
            write(temporary)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _fsync_directory(target.parent)


def _fsync_directory(folder: Path) -> None:
    """Make a rename durable.  Windows cannot open directories; some network file systems refuse the fsync."""
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
