"""Tensor files: exact round trips, and no damaged byte that goes unnoticed."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit.errors import EnvironmentProblem, FileFormatError, InputError
from avatarkit.gaussians.tensor_file import load_tensors, save_tensors

DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64,
    torch.bool, torch.complex64, torch.float8_e4m3fn,
]  # fmt: skip


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "sample.safetensors"
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(5), "empty": torch.zeros(0, 3)}
    save_tensors(path, tensors, {"step": 3, "name": 'ünïcode "quoted"'}, "avatarkit-test/1")
    return path


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_survives_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    raw = torch.randint(0, 256, (64,), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    value = (raw % 2).bool() if dtype == torch.bool else raw.view(dtype)
    save_tensors(tmp_path / "x", {"value": value, "scalar": value[0]}, {}, "t/1")
    loaded, _ = load_tensors(tmp_path / "x", "t/1")
    assert loaded["value"].dtype == dtype and loaded["scalar"].shape == ()
    assert torch.equal(loaded["value"].view(torch.uint8), value.view(torch.uint8))  # NaN payloads too


def test_optimiser_and_random_state_resume_to_the_bit(tmp_path: Path) -> None:
    def train(weight: torch.nn.Parameter, optimiser: torch.optim.Adam, steps: int) -> None:
        for _ in range(steps):
            optimiser.zero_grad()
            ((weight - torch.randn(4)) ** 2).sum().backward()
            optimiser.step()

    torch.manual_seed(5)
    weight = torch.nn.Parameter(torch.randn(4))
    optimiser = torch.optim.Adam([weight], lr=0.1)
    train(weight, optimiser, 3)
    moments = {f"adam/{name}": value for name, value in optimiser.state[weight].items()}
    saved = {"weight": weight, "rng": torch.get_rng_state(), **moments}
    save_tensors(tmp_path / "c", saved, {"lr": 0.1}, "t/1")
    train(weight, optimiser, 4)

    loaded, metadata = load_tensors(tmp_path / "c", "t/1")
    again = torch.nn.Parameter(loaded["weight"])
    resumed = torch.optim.Adam([again], lr=metadata["lr"])
    resumed.state[again] = {name[5:]: value for name, value in loaded.items() if name.startswith("adam/")}
    torch.set_rng_state(loaded["rng"])
    train(again, resumed, 4)
    assert torch.equal(again, weight)


def test_metadata_survives_and_other_tools_can_read_the_file(sample: Path) -> None:
    tensors, metadata = load_tensors(sample, "avatarkit-test/1")
    assert metadata == {"step": 3, "name": 'ünïcode "quoted"'}
    plain = safetensors.torch.load_file(sample)
    assert plain.keys() == tensors.keys() and torch.equal(plain["a"], tensors["a"])
    assert tensors["empty"].shape == (0, 3)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        tensors = (
            {"b": torch.ones(2), "a": torch.zeros(3)} if name == "one" else {"a": torch.zeros(3), "b": torch.ones(2)}
        )
        save_tensors(tmp_path / name, tensors, {"x": 1, "y": [2]}, "t/1")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_views_and_shared_storage_are_written_as_values(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    save_tensors(tmp_path / "x", {"all": base, "turned": base.T, "row": base[1]}, {}, "t/1")
    loaded, _ = load_tensors(tmp_path / "x", "t/1")
    assert torch.equal(loaded["turned"], base.T) and torch.equal(loaded["row"], base[1])


@settings(max_examples=300, deadline=None)
@given(position=st.floats(0, 1), value=st.integers(0, 255))
def test_any_changed_byte_is_noticed(sample: Path, position: float, value: int) -> None:
    blob = bytearray(sample.read_bytes())
    at = min(int(position * len(blob)), len(blob) - 1)
    if blob[at] == value:
        value ^= 1
    blob[at] = value
    _refused(sample, bytes(blob))


@settings(max_examples=100, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True))
def test_any_truncation_is_noticed(sample: Path, position: float) -> None:
    blob = sample.read_bytes()
    _refused(sample, blob[: int(position * len(blob))])


@settings(max_examples=100, deadline=None)
@given(blob=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(sample: Path, blob: bytes) -> None:
    _refused(sample, blob)
    _refused(sample, struct.pack("<Q", len(blob)) + blob)


@settings(max_examples=100, deadline=None)
@given(
    header=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["__metadata__", "format", "json", "sha256", "dtype", "a"]), inner, max_size=4
            )
        ),
    )
)
def test_arbitrary_headers_are_refused(sample: Path, header: object) -> None:
    text = json.dumps(header).encode()
    _refused(sample, struct.pack("<Q", len(text)) + text)


def test_bytes_after_the_end_are_noticed(sample: Path) -> None:
    _refused(sample, sample.read_bytes() + b"\0")


def _refused(sample: Path, blob: bytes) -> None:
    damaged = sample.with_name("damaged")
    damaged.write_bytes(blob)
    with pytest.raises(FileFormatError) as caught:
        load_tensors(damaged, "avatarkit-test/1")
    assert str(damaged) in str(caught.value) and "\n" not in str(caught.value)


def test_another_format_or_version_is_named(sample: Path) -> None:
    with pytest.raises(FileFormatError, match=r"format 'avatarkit-test/1'; expected 'avatarkit/1'"):
        load_tensors(sample, "avatarkit/1")
    with pytest.raises(FileFormatError, match="update avatarkit"):
        load_tensors(sample, "avatarkit-test/2")


def test_a_safetensors_file_of_another_tool_is_named(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "x")
    with pytest.raises(FileFormatError, match="not one of avatarkit's"):
        load_tensors(tmp_path / "x", "t/1")


def test_missing_files_and_unwritable_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_tensors(tmp_path / "none", "t/1")
    with pytest.raises(InputError, match="no such file"):
        load_tensors(tmp_path, "t/1")
    (tmp_path / "file").write_text("")
    with pytest.raises((EnvironmentProblem, InputError, OSError)):
        save_tensors(tmp_path / "file" / "x", {}, {}, "t/1")


def test_metadata_that_is_not_json_leaves_the_old_file(tmp_path: Path) -> None:
    save_tensors(tmp_path / "x", {"a": torch.ones(1)}, {}, "t/1")
    with pytest.raises(InputError, match="JSON"):
        save_tensors(tmp_path / "x", {}, {"value": object()}, "t/1")
    assert "a" in load_tensors(tmp_path / "x", "t/1")[0]
