"""Read FLAME's pickles without trusting them.

FLAME 2020 and 2023 come as Python 2 pickles of numpy arrays, scipy sparse matrices and ``chumpy`` arrays; FLAME_masks.pkl as one
of plain arrays.  A pickle is a program.  This one runs in a process of its own, with limits on memory, time, file size and
open files, under an unpickler that knows a dozen harmless names and nothing else: anything else in the file ends the import
before it runs.  What comes back is an npz, read with ``allow_pickle=False`` and checked.  This is the only module that may
import pickle.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from avatarkit.errors import EnvironmentProblem, FileFormatError
from avatarkit.paths import explained
from avatarkit.types import PathArg

MAX_FILE = 1 << 30  # bytes; FLAME 2023 is 105 MB
MEMORY_LIMIT = 6 << 30  # address space of the reading process, bytes; numpy and scipy alone take about 1 GB of it
CPU_LIMIT_S = 60
TIME_LIMIT_S = 180
MAX_ARRAY = 1 << 28  # elements
NUM_IDENTITY = 300  # FLAME's shapedirs: 300 identity modes, then expression
REFUSED = "refused"
MALFORMED = "malformed"


class RefusedPickle(Exception):
    """The pickle asks for a name that no FLAME file needs."""


class ChumpyArray:
    """Stand-in for ``chumpy.ch.Ch``: keeps the array, which chumpy stores under ``x``, and drops everything else."""

    def __init__(self, *_: Any) -> None:
        self.x: Any = None

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.x = state.get("x")


class SparseMatrix:
    """Stand-in for a scipy sparse matrix: takes the state apart without scipy's own code."""

    def __init__(self, *_: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.state = state


class CscMatrix(SparseMatrix):
    pass


class CsrMatrix(SparseMatrix):
    pass


class CooMatrix(SparseMatrix):
    pass


class BoundedArray(np.ndarray):
    """Stand-in for ``numpy.ndarray`` while unpickling: refuses states of object dtype or absurd size."""

    def __setstate__(self, state: Any) -> None:  # type: ignore[override]
        if not isinstance(state, tuple) or len(state) != 5:
            raise RefusedPickle("an array with an unknown state")
        shape, dtype = state[1], state[2]
        if not isinstance(dtype, np.dtype) or dtype.hasobject:
            raise RefusedPickle("an array of Python objects")
        if int(np.prod([int(extent) for extent in shape], dtype=object)) > MAX_ARRAY:
            raise RefusedPickle(f"an array of shape {shape}")
        super().__setstate__(state)


def make_array(kind: Any, shape: Any, code: Any) -> np.ndarray:
    """Stand-in for numpy's ``_reconstruct``: only ever an empty array, to be filled by its state."""
    return BoundedArray((0,), np.uint8)


def make_scalar(dtype: Any, value: Any = b"") -> Any:
    """Stand-in for numpy's ``scalar``."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise RefusedPickle("a scalar of Python objects")
    content = value.encode("latin1") if isinstance(value, str) else bytes(value)
    return np.frombuffer(content, dtype, count=1)[0]


def make_dtype(code: Any, align: Any = False, copy: Any = False) -> np.dtype:
    """Stand-in for ``numpy.dtype``: plain numbers and strings only."""
    text = code.decode("latin1") if isinstance(code, bytes) else code
    if not isinstance(text, str) or text.lstrip("<>=|")[:1] not in tuple("biufcSUV?") or len(text) > 8:
        raise RefusedPickle(f"the dtype {str(code)[:40]!r}")
    return np.dtype(text, False, True)  # a copy: the pickle goes on to set its state


def latin1_bytes(text: Any, encoding: Any = "latin1") -> bytes:
    """Stand-in for ``_codecs.encode``, with which Python 3 writes bytes into protocol-2 pickles."""
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedPickle("a codec other than latin1")
    return text.encode("latin1")


def new_object(kind: Any, base: Any, state: Any) -> Any:
    """Stand-in for ``copyreg._reconstructor``, with which protocol 0 and 1 make objects: our stand-ins only."""
    if kind not in (ChumpyArray, CscMatrix, CsrMatrix, CooMatrix):
        raise RefusedPickle("an object of an unknown class")
    return kind()


CHUMPY = {(module, "Ch"): ChumpyArray for module in ("chumpy", "chumpy.ch")}
SPARSE = {
    (f"scipy.sparse{module}", f"{kind}_matrix"): stand_in
    for kind, stand_in in (("csc", CscMatrix), ("csr", CsrMatrix), ("coo", CooMatrix))
    for module in ("", f".{kind}", f"._{kind}")
}
ALLOWED: dict[tuple[str, str], Any] = {
    **CHUMPY,
    **SPARSE,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): make_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): make_scalar for core in ("core", "_core")},
    ("numpy", "ndarray"): BoundedArray,
    ("numpy", "dtype"): make_dtype,
    ("_codecs", "encode"): latin1_bytes,
    ("copy_reg", "_reconstructor"): new_object,
    ("copyreg", "_reconstructor"): new_object,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("__builtin__", "set"): set,  # chumpy keeps the names of its dirty variables in one
    ("builtins", "set"): set,
}


class AllowListUnpickler(pickle.Unpickler):
    """Knows ``ALLOWED`` and no other global; dotted names, extension codes and persistent ids included."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise RefusedPickle(f"'{module}.{name}'")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedPickle("a persistent id")


def dense(value: Any) -> np.ndarray:
    """Any of the stand-ins → a plain array of numbers.  Raises FileFormatError for anything else."""
    if isinstance(value, ChumpyArray):
        value = value.x
    if isinstance(value, SparseMatrix):
        return dense_sparse(value)
    if isinstance(value, (int, float)):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise FileFormatError(f"expected an array of numbers, found {type(value).__name__}")
    return np.asarray(value).view(np.ndarray)


def dense_sparse(matrix: SparseMatrix) -> np.ndarray:
    """A compressed or coordinate sparse matrix, made dense after every index was checked."""
    state = matrix.state
    rows, columns = (int(extent) for extent in state.get("_shape", state.get("shape", (0, 0))))
    if rows <= 0 or columns <= 0 or rows * columns > MAX_ARRAY:
        raise FileFormatError(f"a sparse matrix of shape ({rows}, {columns})")
    data = dense(state.get("data"))
    if isinstance(matrix, CooMatrix):
        pair = state.get("coords") or (state.get("row"), state.get("col"))  # newer and older scipy
        row, column = (dense(indices).astype(np.int64) for indices in pair)
    else:
        starts, inner = dense(state.get("indptr")).astype(np.int64), dense(state.get("indices")).astype(np.int64)
        outer_size = columns if isinstance(matrix, CscMatrix) else rows
        counts = np.diff(starts)
        if len(starts) != outer_size + 1 or (counts < 0).any() or counts.sum() != len(inner):
            raise FileFormatError("a sparse matrix whose index pointers do not fit")
        outer = np.repeat(np.arange(outer_size), counts)
        row, column = (inner, outer) if isinstance(matrix, CscMatrix) else (outer, inner)
    if not len(row) == len(column) == len(data) or (row < 0).any() or (column < 0).any():
        raise FileFormatError("a sparse matrix whose indices do not fit its values")
    if len(row) and (row.max() >= rows or column.max() >= columns):
        raise FileFormatError("a sparse matrix with indices outside its shape")
    result = np.zeros((rows, columns), np.float64)
    np.add.at(result, (row, column), data)
    return result


def flame_arrays(content: Any) -> dict[str, np.ndarray]:
    """A FLAME pickle's content → the arrays of ``avatarkit.head.flame.read_flame``.  Raises FileFormatError."""
    wanted = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
    if not isinstance(content, dict):
        raise FileFormatError(f"holds a {type(content).__name__}, no dictionary")
    missing = [key for key in wanted if key not in content]
    if missing:
        raise FileFormatError(f"key '{missing[0]}' is missing; a FLAME model has {', '.join(wanted)}")
    found = {key: dense(content[key]) for key in wanted}
    modes = found["shapedirs"]
    if modes.ndim != 3 or modes.shape[2] <= NUM_IDENTITY:
        raise FileFormatError(
            f"'shapedirs' has shape {modes.shape}; expected (5023, 3, {NUM_IDENTITY} + expression modes)"
        )
    if found["kintree_table"].ndim != 2 or found["kintree_table"].shape[0] != 2:
        raise FileFormatError(f"'kintree_table' has shape {found['kintree_table'].shape}; expected (2, 5)")
    parents = found["kintree_table"][0].astype(np.int64)
    parents[0] = -1  # stored as 2³² − 1
    return {
        "v_template": found["v_template"].astype(np.float32),
        "faces": found["f"].astype(np.int32),
        "shapedirs": modes[:, :, :NUM_IDENTITY].astype(np.float32),
        "exprdirs": modes[:, :, NUM_IDENTITY:].astype(np.float32),
        "posedirs": found["posedirs"].astype(np.float32),
        "J_regressor": found["J_regressor"].astype(np.float32),
        "lbs_weights": found["weights"].astype(np.float32),
        "parents": parents.astype(np.int32),
    }


def mask_arrays(content: Any) -> dict[str, np.ndarray]:
    """FLAME_masks.pkl's content → name → vertex indices (K,) int32.  Raises FileFormatError."""
    if not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content):
        raise FileFormatError("holds no dictionary of masks by name")
    masks = {}
    for name, value in content.items():
        indices = dense(value)
        if indices.ndim != 1 or (indices.size and (indices.min() < 0 or indices.max() >= 5023)):
            raise FileFormatError(f"mask '{name[:40]}' is no list of vertices below 5023")
        masks[name] = indices.astype(np.int32)
    return masks


CONTENT: dict[str, Callable[[Any], dict[str, np.ndarray]]] = {"flame": flame_arrays, "flame-masks": mask_arrays}


def import_pickle(path: PathArg, kind: str) -> dict[str, np.ndarray]:
    """Arrays of a FLAME pickle (``kind`` "flame") or of FLAME_masks.pkl ("flame-masks").

    Raises FileFormatError when the pickle asks for anything but arrays, is damaged, too large, or not that kind of file.
    """
    file = Path(path)
    with explained(file):
        size = file.stat().st_size
    if size > MAX_FILE:
        raise FileFormatError(f"{file}: {size >> 20} MB is too large for a FLAME file")
    with tempfile.TemporaryDirectory(prefix="avatarkit-import-") as folder:
        out = Path(folder) / "arrays.npz"
        command = [
            sys.executable,
            "-I",
            "-c",
            START,
            str(Path(__file__).resolve().parents[2]),
            kind,
            str(file.resolve()),
            str(out),
        ]
        clean = {
            key: value for key, value in os.environ.items() if key in ("PATH", "SYSTEMROOT", "TMP", "TEMP", "TMPDIR")
        }
        clean |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, env=clean, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_LIMIT_S
            )
        except subprocess.TimeoutExpired as error:
            raise FileFormatError(f"{file}: reading took more than {TIME_LIMIT_S} s; not a FLAME file") from error
        except OSError as error:
            raise EnvironmentProblem(f"{file}: the reading process could not start ({error.strerror})") from error
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        kind_of_failure, _, reason = (said[-1] if said else "").partition(": ")
        if kind_of_failure == REFUSED:
            raise FileFormatError(
                f"{file}: refused, the pickle asks for {reason}, which no FLAME file needs; download it again from the FLAME page"
            )
        if done.returncode != 0 or not out.is_file():
            why = (
                reason
                if kind_of_failure == MALFORMED
                else "reading it broke off: damaged, or more than the memory limit"
            )
            raise FileFormatError(f"{file}: not a {kind} pickle ({why})")
        with np.load(io.BytesIO(out.read_bytes()), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}


# ``-I`` keeps the user's environment and the current folder out of the process; only our own package is put on its path.
START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from avatarkit.head.flame_import import child; child(*sys.argv[2:5])"
)


def limit_process() -> None:
    """Memory, processor time, file size and open files of this process, where the system can limit them."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        limits = {
            resource.RLIMIT_AS: MEMORY_LIMIT,
            resource.RLIMIT_CPU: CPU_LIMIT_S,
            resource.RLIMIT_FSIZE: MAX_FILE,
            resource.RLIMIT_NOFILE: 64,
            resource.RLIMIT_CORE: 0,
        }
        for which, value in limits.items():
            hard = resource.getrlimit(which)[1]
            resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard),) * 2)


def child(kind: str, source: str, out: str) -> None:
    """What the reading process does: limits, unpickle, check, write; the last line on stderr says what went wrong."""
    limit_process()
    try:
        with open(source, "rb") as stream:
            content = AllowListUnpickler(stream, fix_imports=False, encoding="latin1").load()
        np.savez(out, **CONTENT[kind](content))  # type: ignore[arg-type]
    except RefusedPickle as error:
        fail(REFUSED, error)
    except FileFormatError as error:
        fail(MALFORMED, error)
    except MemoryError:
        fail(MALFORMED, "it needs more than the memory limit")
    except Exception as error:
        fail(MALFORMED, f"{type(error).__name__}: {error}")


def fail(kind: str, reason: object) -> None:
    print(f"{kind}: " + " ".join(str(reason).split())[:300], file=sys.stderr)
    sys.exit(1)
