"""FLAME's pickles: made here in their layout, imported; and pickles that want more than arrays, refused."""

from __future__ import annotations

import os
import pickle
import pickletools
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from avatarkit.errors import FileFormatError, InputError
from avatarkit.head import flame_import
from avatarkit.head.flame import read_flame
from avatarkit.head.flame_import import import_pickle
from avatarkit.head.registering import register_head_file


class Ch:
    """Looks like ``chumpy.ch.Ch`` to pickle: an object whose state is a dict with the array under ``x``."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self._dirty_vars = {"x"}
        self._itr = None


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch) -> type[Ch]:
    """A module ``chumpy.ch`` for the time of the test, so that pickles name it."""
    package, module = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    monkeypatch.setattr(Ch, "__module__", "chumpy.ch")
    module.Ch = Ch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chumpy", package)
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    return Ch


def flame_content(chumpy: type[Ch] | None = None) -> dict[str, Any]:
    """What generic_model.pkl holds, with random numbers."""
    rng = np.random.default_rng(0)
    wrap: Callable[[np.ndarray], Any] = chumpy if chumpy is not None else (lambda value: value)
    weights = rng.random((5023, 5))
    return {
        "v_template": wrap(rng.normal(0, 0.1, (5023, 3))),
        "f": rng.integers(0, 5023, (9976, 3)).astype(np.uint32),
        "shapedirs": wrap(rng.normal(0, 0.01, (5023, 3, 306))),
        "posedirs": rng.normal(0, 0.01, (5023, 3, 36)),
        "J_regressor": scipy.sparse.random(5, 5023, 0.01, "csc", random_state=1),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
        "J": rng.normal(size=(5, 3)),
    }


def python2_pickle(content: Any, path: Path) -> Path:
    """Protocol 2 with Python 2's module names, arrays as latin-1 strings, scipy's old module names."""

    class Writer(pickle._Pickler):  # type: ignore[misc,name-defined]
        dispatch = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

        def save_bytes(self, value: bytes) -> None:
            self.write(b"T" + len(value).to_bytes(4, "little") + value)  # BINSTRING, as Python 2 writes str
            self.memoize(value)

        dispatch[bytes] = save_bytes

    with path.open("wb") as stream:
        Writer(stream, protocol=2, fix_imports=True).dump(content)
    text = path.read_bytes().replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n")
    path.write_bytes(text.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    return path


def test_flame_pickle_in_python_2_layout(tmp_path: Path, chumpy: type[Ch]) -> None:
    content = flame_content(chumpy)
    file = python2_pickle(content, tmp_path / "generic_model.pkl")
    names = {str(argument) for op, argument, _ in pickletools.genops(file.read_bytes()) if op.name == "GLOBAL"}
    assert {"chumpy.ch Ch", "scipy.sparse.csc csc_matrix", "numpy.core.multiarray _reconstruct"} <= names
    arrays = import_pickle(file, "flame")
    assert np.array_equal(arrays["v_template"], content["v_template"].x.astype(np.float32))
    assert np.array_equal(arrays["shapedirs"], content["shapedirs"].x[:, :, :300].astype(np.float32))
    assert np.array_equal(arrays["exprdirs"], content["shapedirs"].x[:, :, 300:].astype(np.float32))
    assert np.array_equal(arrays["J_regressor"], content["J_regressor"].toarray().astype(np.float32))
    assert np.array_equal(arrays["faces"], content["f"])
    assert list(arrays["parents"]) == [-1, 0, 1, 1, 1]


@pytest.mark.parametrize("layout", ["csc", "csr", "coo"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_today_s_pickles_of_every_sparse_layout(tmp_path: Path, layout: str, protocol: int) -> None:
    content = flame_content()
    content["J_regressor"] = content["J_regressor"].asformat(layout)
    file = tmp_path / "flame.pkl"
    file.write_bytes(pickle.dumps(content, protocol))
    assert np.array_equal(
        import_pickle(file, "flame")["J_regressor"], content["J_regressor"].toarray().astype(np.float32)
    )


def test_registering_a_pickle_gives_a_head(tmp_path: Path, open_flame_file: Path) -> None:
    """The open head, written in FLAME's own layout, comes back as the same head."""
    with np.load(open_flame_file) as data:
        modes = np.zeros((5023, 3, 310))
        modes[:, :, :60], modes[:, :, 300:] = data["shapedirs"], data["exprdirs"][:, :, :10]
        content = {
            "v_template": data["v_template"], "f": data["faces"], "shapedirs": modes, "posedirs": data["posedirs"],
            "J_regressor": scipy.sparse.csc_matrix(data["J_regressor"]), "weights": data["lbs_weights"],
            "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
        }  # fmt: skip
    file = tmp_path / "flame2023.pkl"
    file.write_bytes(pickle.dumps(content, 2))
    register_head_file("flame", file, tmp_path / "assets" / "flame.npz")
    head, original = read_flame(tmp_path / "assets" / "flame.npz"), read_flame(open_flame_file)
    assert (head.num_shape, head.num_expr, head.expr_names) == (300, 10, ("",) * 10)
    assert np.array_equal(head.template, original.template)
    assert np.array_equal(head.rig.motion_basis[:10], original.rig.motion_basis[:10])
    assert np.allclose(head.rig.joint_regressor, original.rig.joint_regressor, atol=1e-7)


def test_masks(tmp_path: Path) -> None:
    masks = {"face": np.arange(100), "nose": np.array([3, 5]), "left_eyeball": np.arange(3931, 4477)}
    file = python2_pickle(masks, tmp_path / "FLAME_masks.pkl")
    register_head_file("flame-masks", file, tmp_path / "masks.npz")
    with np.load(tmp_path / "masks.npz") as found:
        assert all(np.array_equal(found[name], indices) for name, indices in masks.items())


class Reduce:
    """An object whose pickle calls ``function(*arguments)`` when read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def malicious(mark: str) -> dict[str, bytes]:
    command = f"touch {mark}"
    nested = Reduce(getattr, Reduce(__import__, "os"), "system")
    return {
        "os.system": pickle.dumps(Reduce(os.system, command), 2),
        "eval": pickle.dumps(Reduce(eval, f"open({mark!r}, 'w')"), 2),
        "exec": pickle.dumps(Reduce(exec, f"open({mark!r}, 'w')"), 4),
        "open": pickle.dumps(Reduce(open, mark, "w"), 2),
        "getattr chain": pickle.dumps(Reduce(getattr, nested, "__call__"), 2),
        "import": pickle.dumps(Reduce(__import__, "antigravity"), 2),
        "dotted name": b"\x80\x04\x8c\x05numpy\x94\x8c\x10ndarray.tofile\x94\x93.",
        "dotted escape": b"\x80\x04\x8c\x05numpy\x94\x8c\x13ndarray.__class__.x\x94\x93.",
        "numpy load": b"cnumpy\nload\n(S'" + mark.encode() + b"'\ntR.",
        "inside a state": pickle.dumps({"v_template": [Reduce(os.system, command)]}, 2),
        "old instance": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "persistent id": b"Psomething\n.",
        "extension": b"\x80\x02\x82\x01.",
        "objects in an array": pickle.dumps(np.array([1, "two", None], object), 2),
    }


@pytest.mark.parametrize("name", sorted(malicious("x")))
def test_pickles_that_want_more_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    mark, file = tmp_path / "mark", tmp_path / "flame.pkl"
    file.write_bytes(malicious(str(mark))[name])
    with pytest.raises(FileFormatError) as caught:
        import_pickle(file, "flame")
    assert not mark.exists(), "the pickle ran"
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")


def test_the_refusal_names_what_was_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "flame.pkl"
    file.write_bytes(malicious("x")["os.system"])
    with pytest.raises(FileFormatError, match=r"refused, the pickle asks for 'posix\.system'"):
        import_pickle(file, "flame")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address-space limits are Linux's")
@pytest.mark.parametrize("bomb", ["memo", "frame", "doubling", "array"])
def test_memory_bombs_end_in_one_line(tmp_path: Path, bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = (1 << 35).to_bytes(8, "little")
    shape = b"(I1000000\nI1000000\nt"
    data = {
        "memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
        "frame": b"\x80\x04\x8e" + huge + b"abc.",
        "doubling": b"\x80\x02]q\x00(" + b"".join(b"h\x00" for _ in range(40)) + b"e" + b"N" * 10 + b".",
        "array": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n" + shape
        + b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntRI00\nS''\ntb.",
    }[bomb]  # fmt: skip
    file = tmp_path / "flame.pkl"
    file.write_bytes(data)
    with pytest.raises(FileFormatError) as caught:
        import_pickle(file, "flame")
    assert "\n" not in str(caught.value)


def test_endless_reading_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flame_import, "TIME_LIMIT_S", 0.01)
    file = tmp_path / "flame.pkl"
    file.write_bytes(pickle.dumps({}, 2))
    with pytest.raises(FileFormatError, match="took more than"):
        import_pickle(file, "flame")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.pop("weights"), "key 'weights' is missing"),
        (lambda content: content.update(weights="none"), "expected an array of numbers, found str"),
        (lambda content: content.update(shapedirs=np.zeros((5023, 3, 10))), "'shapedirs' has shape"),
        (lambda content: content.update(v_template=np.zeros((10, 3))), "FLAME topology has"),
    ],
)
def test_files_that_are_no_flame_model(tmp_path: Path, change: Callable[[dict[str, Any]], Any], words: str) -> None:
    content = flame_content()
    change(content)
    file, place = tmp_path / "flame.pkl", tmp_path / "assets" / "flame.npz"
    file.write_bytes(pickle.dumps(content, 2))
    with pytest.raises(FileFormatError, match=words):
        register_head_file("flame", file, place)
    assert not place.exists()


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    file = tmp_path / "flame.pkl"
    file.write_bytes(pickle.dumps(flame_content(), 2)[:100_000])
    with pytest.raises(FileFormatError, match="not a flame pickle"):
        import_pickle(file, "flame")
    with pytest.raises(InputError, match="no such file"):
        import_pickle(tmp_path / "absent.pkl", "flame")


def test_only_the_importer_imports_pickle() -> None:
    package = Path(flame_import.__file__).parents[1]
    users = {
        path.name
        for path in package.rglob("*.py")
        if any(line.strip().startswith(("import pickle", "from pickle")) for line in path.read_text().splitlines())
    }
    assert users == {"flame_import.py"}
