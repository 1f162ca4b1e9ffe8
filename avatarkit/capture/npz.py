"""Arrays of an npz file, without pickles; whatever is wrong with the file is one line."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from avatarkit.errors import FileFormatError
from avatarkit.paths import explained

# What numpy and zipfile raise for an archive that is damaged, or whose arrays promise more than is there.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, NotImplementedError, TypeError, SyntaxError, MemoryError,
    OverflowError, RuntimeError, OSError, struct.error,
)  # fmt: skip


def read_npz(file: Path, wanted: Collection[str] | None = None) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of ``file`` by name, all or those of ``wanted`` that are there; and every name that it has.

    Raises FileFormatError when it is not an npz, is damaged, or holds objects.
    """
    with explained(file):
        content = file.read_bytes()  # at once: a damaged directory makes zipfile seek to where no file has anything
    try:
        archive = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise FileFormatError(f"{file}: not an npz archive but a single array")
        with archive:
            _accounted_for(content, archive.zip)
            names = list(archive.files)
            return {name: np.asarray(archive[name]) for name in names if wanted is None or name in wanted}, names
    except FileFormatError:
        raise
    except DAMAGED as error:
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise FileFormatError(
            f"{file}: not an npz file that can be read ({said}); it is damaged or cut short"
        ) from error


def _accounted_for(content: bytes, archive: zipfile.ZipFile | None) -> None:
    """Raise BadZipFile unless the archive's entries lie one behind the other from its beginning to its directory.

    The directory has no checksum: with a few damaged bytes an entry is not missing but was never there, which for an optional array
    would pass in silence.
    """
    assert archive is not None
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    if len({entry.filename for entry in entries}) < len(entries):
        raise zipfile.BadZipFile("an array stands in it twice")
    at = 0
    for entry in entries:
        if entry.flag_bits & 8:  # written to a pipe, with lengths behind the data: no rule for what lies between
            return
        name, extra = struct.unpack_from("<HH", content, entry.header_offset + 26)
        if entry.header_offset != at:
            raise zipfile.BadZipFile("its directory does not account for all of it")
        at += 30 + name + extra + entry.compress_size
    if at != archive.start_dir:
        raise zipfile.BadZipFile("its directory does not account for all of it")
