"""Avatar files: round trips, and every way to be wrong named by its key."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit.capture.capture import Frame
from avatarkit.edit.history import undone, with_entry
from avatarkit.errors import FileFormatError, InputError
from avatarkit.gaussians.avatar import Avatar, AvatarCamera
from avatarkit.gaussians.avatar_file import FORMAT, load_avatar, save_avatar
from avatarkit.gaussians.correctives import pose_weights
from avatarkit.gaussians.gaussians import CORRECTIVES, Gaussians
from avatarkit.gaussians.offset_modes import MOST, factored, product
from avatarkit.gaussians.tensor_file import load_tensors, save_tensors
from avatarkit.head.parameters import HeadParams


def an_avatar() -> Avatar:
    random = torch.Generator().manual_seed(0)
    gaussians = Gaussians.fresh(
        torch.randn(7, 3, generator=random), torch.randn(7, 3, generator=random), 0.2, torch.rand(7, 3, generator=random),
        torch.tensor([0, 3, 3, -1, -2, 5, 1]), sh_degree=1,
    )  # fmt: skip
    motion = replace(HeadParams.zeros(2, 4, 3), expr=torch.rand(2, 3, generator=random), static_offset=torch.rand(9, 3))
    frames = (
        Frame(0, 0, "train", "a/0.png", 0.0),
        Frame(1, 0, "val", "a/1.png", 0.04),
        Frame(1, 1, "test", "b/1.png", 0.04),
    )
    made = Avatar(
        gaussians, {"name": "bust", "sha256": "ab", "vertices": 9, "shape": 4, "expr": 3}, motion, ("t0", "t1"), frames,
        (AvatarCamera("left", 30, 40), AvatarCamera("right", 50, 60)), torch.eye(4).repeat(2, 1, 1), torch.eye(3).repeat(2, 1, 1),
        torch.tensor([0.1, 0.2, 0.3]), "somewhere/capture", [], {"seed": 3, "psnr": 31.5},
    )  # fmt: skip
    edited = replace(gaussians, groups=torch.tensor([0, 0, 1, 0, 0, 0, 0]).int())
    after = replace(made, gaussians=edited, motion=replace(motion, expr=motion.expr + 0.5))
    return with_entry(made, after, {"prompt": "red hair"})


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avatars") / "a.avatar"
    save_avatar(an_avatar(), path)
    return path


def test_round_trip(saved: Path) -> None:
    before, after = an_avatar(), load_avatar(saved)
    for name, value in before.gaussians.tensors().items():
        assert (
            torch.equal(getattr(after.gaussians, name), value) and getattr(after.gaussians, name).dtype == value.dtype
        )
    for f in fields(HeadParams):
        a, b = getattr(before.motion, f.name), getattr(after.motion, f.name)
        assert (a is None and b is None) or f.name == "static_offset" or torch.equal(a, b)
    for name in ("head", "timestep_names", "frames", "cameras", "source", "history", "meta", "sh_degree"):
        assert getattr(after, name) == getattr(before, name), name
    assert torch.equal(after.background, before.background)
    assert [sorted(back) for back in after.undo] == [sorted(back) for back in before.undo]
    assert all(
        torch.equal(after.undo[0][name], value) for name, value in before.undo[0].items() if value.isfinite().all()
    )


def test_it_knows_its_held_out_frames_and_cameras(saved: Path) -> None:
    avatar = load_avatar(saved)
    assert avatar.source == "somewhere/capture"
    assert [avatar.frames[i].source for i in avatar.indices("val")] == ["a/1.png"]
    assert avatar.indices("test") == [2]
    camera = avatar.camera(1)
    assert (camera.width, camera.height, len(camera)) == (50, 60, 1)


def moving(offsets: torch.Tensor) -> Avatar:
    """As many timesteps of as many vertices as ``offsets`` (T, V, 3) has."""
    made, (steps, vertices, _) = an_avatar(), offsets.shape
    motion = replace(HeadParams.zeros(steps, 4, 3), dynamic_offset=offsets)
    names = tuple(f"t{i}" for i in range(steps))
    return replace(
        made, head={**made.head, "vertices": vertices}, motion=motion, timestep_names=names, history=[], undo=[]
    )


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("count", [1, 5])
def test_offsets_of_a_few_modes_are_kept_as_modes_and_weights(tmp_path: Path, even: bool, count: int) -> None:
    """even: one shift for all vertices, so that all products round alike."""
    random = torch.Generator().manual_seed(1)
    modes = torch.zeros(count, 900, 3)
    for k in range(count):
        modes[k, k * 50 : 600, k % 3] = 0.004 if even else 0.004 * torch.rand(600 - k * 50, generator=random)
    weights = torch.randn(300, count, generator=random)
    avatar = moving(torch.einsum("tk,kva->tva", weights, modes))
    first, second = tmp_path / "a.avatar", tmp_path / "b.avatar"
    save_avatar(avatar, first)
    tensors, _ = load_tensors(first, FORMAT)
    assert "motion/dynamic_offset" not in tensors and tensors["motion/offset_modes"].shape == (count, 900, 3)
    assert tensors["motion/offset_weights"].shape == (300, count)
    once = load_avatar(first)
    assert once.motion.dynamic_offset is not None and avatar.motion.dynamic_offset is not None
    assert float((once.motion.dynamic_offset - avatar.motion.dynamic_offset).abs().max()) < (
        1e-8 if count == 1 else 2e-8
    )
    save_avatar(once, second)
    assert second.read_bytes() == first.read_bytes()


def test_files_of_before_with_one_mode_are_read(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(4)
    mode, weight = 0.004 * torch.rand(900, 3, generator=random), torch.randn(300, generator=random)
    save_avatar(moving(weight[:, None, None] * mode), tmp_path / "new.avatar")
    tensors, metadata = load_tensors(tmp_path / "new.avatar", FORMAT)
    del tensors["motion/offset_modes"], tensors["motion/offset_weights"]
    old = {"motion/offset_mode": mode, "motion/offset_weight": weight}
    save_tensors(tmp_path / "old.avatar", tensors | old, metadata, FORMAT)
    read = load_avatar(tmp_path / "old.avatar").motion.dynamic_offset
    assert read is not None
    torch.testing.assert_close(read, weight[:, None, None] * mode, atol=1e-9, rtol=0)


@pytest.mark.parametrize("count", [1, 3, 13])
def test_rounding_does_not_move_modes_and_weights_from_save_to_save(count: int) -> None:
    for seed in range(20):
        random = torch.Generator().manual_seed(seed)
        modes = torch.zeros(count, 60, 3)
        modes[:, :40] = 0.01 * torch.rand(count, 1, 3, generator=random)
        modes[:, :20] *= torch.rand(count, 20, 3, generator=random)
        first = factored(torch.einsum("tk,kva->tva", torch.randn(300, count, generator=random), modes))
        assert first is not None and first[1].shape == (300, count)
        again = factored(product(*first))
        assert again is not None and torch.equal(again[0], first[0]) and torch.equal(again[1], first[1]), seed


def test_offsets_of_more_modes_than_a_few_have_no_factors() -> None:
    random = torch.Generator().manual_seed(3)
    full = torch.einsum(
        "tk,kva->tva", torch.randn(300, MOST + 1, generator=random), torch.randn(MOST + 1, 200, 3, generator=random)
    )
    assert factored(full) is None and factored(torch.full((3, 5, 3), float("nan"))) is None
    assert factored(torch.zeros(3, 5, 3)) is None and factored(torch.zeros(0, 5, 3)) is None


def test_any_other_offsets_are_kept_as_they_are(tmp_path: Path) -> None:
    offsets = 0.004 * torch.randn(2, 900, 3, generator=torch.Generator().manual_seed(2))
    for kept in (offsets, torch.zeros_like(offsets)):
        save_avatar(moving(kept), tmp_path / "a.avatar")
        read = load_avatar(tmp_path / "a.avatar").motion.dynamic_offset
        assert read is not None and torch.equal(read, kept)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"motion/offset_modes": torch.ones(1, 9, 3)}, "one of 'motion/offset_modes' and 'motion/offset_weights' is missing"),
        ({"motion/offset_mode": torch.ones(9, 3)}, "one of 'motion/offset_modes' and 'motion/offset_weights' is missing"),
        ({"motion/offset_mode": torch.tensor(1.0), "motion/offset_weight": torch.tensor(1.0)}, "offset_modes' has shape"),
        ({"motion/offset_mode": torch.ones(9, 3), "motion/offset_weight": torch.ones(3)}, r"has shape \(3, 1\); expected \(2, 1\)"),
        ({"motion/offset_modes": torch.ones(2, 9, 3), "motion/offset_weights": torch.ones(2, 1)}, r"has shape \(2, 1\); expected \(2, 2\)"),
        (
            {"motion/offset_modes": torch.ones(1, 9, 3), "motion/offset_weights": torch.ones(2, 1), "motion/dynamic_offset": torch.ones(2, 9, 3)},
            "say the same thing twice",
        ),
    ],
)  # fmt: skip
def test_half_a_mode_or_two_kinds_of_offsets_are_refused(
    saved: Path, tmp_path: Path, extra: dict[str, torch.Tensor], words: str
) -> None:
    tensors, metadata = load_tensors(saved, FORMAT)
    save_tensors(tmp_path / "bad.avatar", tensors | extra, metadata, FORMAT)
    with pytest.raises(FileFormatError, match=words):
        load_avatar(tmp_path / "bad.avatar")


CHANGES: list[tuple[str, Any, str]] = [
    ("gaussians/means", None, "'gaussians/means' is missing"),
    ("gaussians/quats", torch.zeros(7, 3), r"'gaussians/quats' has shape \(7, 3\); expected \(7, 4\)"),
    ("gaussians/log_scales", torch.full((7, 3), float("nan")), "'gaussians/log_scales' holds NaN"),
    ("gaussians/binding", torch.zeros(7), "'gaussians/binding' is float32; expected int32"),
    ("gaussians/sh", torch.zeros(7, 5, 3), "'gaussians/sh' has shape"),
    ("gaussians/means", torch.tensor(1.0), "'gaussians/means' has shape"),
    ("gaussians/ids", torch.zeros(7, dtype=torch.int64), "twice"),
    ("motion/expr", torch.zeros(3, 3), "'motion/expr' has shape"),
    ("motion/static_offset", torch.zeros(8, 3), "'motion/static_offset' has shape"),
    ("viewmats", torch.eye(4)[None], "'viewmats' has shape"),
    ("background", torch.tensor([float("inf"), 0.0, 0.0]), "'background' holds NaN or infinity"),
    ("surprise", torch.zeros(1), "unknown tensor 'surprise'"),
    ("undo/0/order", None, "'undo/0/order' is missing"),
    ("undo/0/order", torch.zeros(7), "'undo/0/order' is no list of ids"),
    ("undo/0/gaussians/sh", torch.zeros(2, 4, 3), "'undo/0/gaussians/sh' does not fit"),
    ("undo/0/motion/expr", torch.full((2, 3), float("nan")), "'undo/0/motion/expr' holds NaN"),
    ("undo/3/order", torch.zeros(1, dtype=torch.int64), "unknown tensor 'undo/3/order'"),
    ("undo/0/surprise", torch.zeros(1), "unknown tensor 'undo/0/surprise'"),
]


@pytest.mark.parametrize("name, value, words", CHANGES, ids=[words for *_, words in CHANGES])
def test_a_wrong_tensor_is_named(saved: Path, tmp_path: Path, name: str, value: Any, words: str) -> None:
    tensors, metadata = load_tensors(saved, FORMAT)
    tensors.pop(name, None)
    if value is not None:
        tensors[name] = value
    _refused(tmp_path / "x.avatar", tensors, metadata, words)


METADATA: list[tuple[str, Any, str]] = [
    ("head", None, "'head'"),
    ("head", {"name": "bust", "vertices": 9, "shape": "4", "expr": 3}, "count 'shape'"),
    ("head", {"vertices": 9, "shape": 4, "expr": 3}, "no 'name'"),
    ("frames", [[0, 0, "train", "x"]], "'frames' row 0"),
    ("frames", [[0, 0, "training", "x", 0.0]], "'frames' row 0"),
    ("frames", [[5, 0, "train", "x", 0.0]], "timestep 5"),
    ("frames", [[0, -1, "train", "x", 0.0]], "camera -1"),
    ("cameras", [["a", 0, 4], ["b", 4, 4]], "'cameras' row 0"),
    ("timestep_names", [1, 2], "'timestep_names'"),
    ("history", ["x"], "'history'"),
    ("meta", [], "'meta'"),
]


@pytest.mark.parametrize("key, value, words", METADATA)
def test_wrong_metadata_is_named(saved: Path, tmp_path: Path, key: str, value: Any, words: str) -> None:
    tensors, metadata = load_tensors(saved, FORMAT)
    _refused(tmp_path / "x.avatar", tensors, {**metadata, key: value}, words)


def _refused(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, Any], words: str) -> None:
    save_tensors(path, tensors, metadata, FORMAT)
    with pytest.raises(FileFormatError, match=words) as caught:
        load_avatar(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "shape", "expr"]), inner),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(key=st.sampled_from(["head", "timestep_names", "frames", "cameras", "source", "history", "meta"]), junk=JUNK)
def test_junk_in_the_metadata_never_crashes(saved: Path, key: str, junk: Any) -> None:
    tensors, metadata = load_tensors(saved, FORMAT)
    path = saved.with_name("junk.avatar")
    save_tensors(path, tensors, {**metadata, key: junk}, FORMAT)
    try:
        load_avatar(path)
    except FileFormatError as error:
        assert str(path) in str(error)


@settings(max_examples=100, deadline=None)
@given(position=st.floats(0, 1), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_avatar_is_one_error(saved: Path, position: float, flip: int, cut: bool) -> None:
    blob = bytearray(saved.read_bytes())
    at = min(int(position * len(blob)), len(blob) - 1)
    blob[at] ^= flip
    path = saved.with_name("damaged.avatar")
    path.write_bytes(blob[:at] if cut else blob)
    with pytest.raises(FileFormatError):
        load_avatar(path)


def test_a_checkpoint_is_not_an_avatar(tmp_path: Path) -> None:
    save_tensors(tmp_path / "c", {}, {}, "avatarkit-checkpoint/1")
    with pytest.raises(FileFormatError, match="expected 'avatarkit/1'"):
        load_avatar(tmp_path / "c")


def test_an_avatar_with_nan_is_not_written_over_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "a.avatar"
    save_avatar(an_avatar(), path)
    broken = an_avatar()
    broken.gaussians.means[0, 0] = float("nan")
    with pytest.raises(InputError, match="'gaussians/means' holds NaN"):
        save_avatar(broken, path)
    assert torch.isfinite(load_avatar(path).gaussians.means).all()


def test_an_inconsistent_avatar_cannot_be_made() -> None:
    with pytest.raises(InputError, match="'timestep_names' has size 1; expected 2"):
        replace(an_avatar(), timestep_names=("t0",))


def with_correctives() -> Avatar:
    plain = undone(an_avatar())
    weigh = pose_weights(plain.motion, [0, 1], 4)
    assert weigh is not None and len(weigh) == 1, "two poses differ in one way"
    gaussians = plain.gaussians.with_correctives(1)
    gaussians.mean_correctives = torch.rand(7, 3, 1, generator=torch.Generator().manual_seed(4))
    gaussians.colour_correctives = torch.rand(7, 3, 1, generator=torch.Generator().manual_seed(5))
    before = replace(plain, gaussians=gaussians, pose_weights=weigh)
    after = replace(before, gaussians=gaussians.select(torch.arange(2, 7)))
    return with_entry(before, after, {"prompt": "take it off"})


def test_correctives_and_their_weights_come_back_and_edits_of_them_are_undone(tmp_path: Path) -> None:
    avatar = with_correctives()
    save_avatar(avatar, tmp_path / "a.avatar")
    read = load_avatar(tmp_path / "a.avatar")
    assert read.pose_weights is not None and avatar.pose_weights is not None
    assert torch.equal(read.pose_weights(avatar.motion), avatar.pose_weights(avatar.motion))
    for one, other in ((read, avatar), (undone(read), undone(avatar))):
        for name in CORRECTIVES:
            assert torch.equal(getattr(one.gaussians, name), getattr(other.gaussians, name))
    assert len(undone(read).gaussians) == 7


def test_a_file_without_correctives_has_no_tensor_of_them(saved: Path) -> None:
    tensors, _ = load_tensors(saved, FORMAT)
    assert not [name for name in tensors if "correctives" in name or "pose_weights" in name]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("pose_weights/axes", None, "one of 'gaussians/mean_correctives' and 'pose_weights/axes' is missing"),
        ("gaussians/colour_correctives", None, "and 'gaussians/colour_correctives' is missing"),
        (
            "gaussians/mean_correctives",
            torch.zeros(5, 3, 2),
            r"'gaussians/mean_correctives' has shape \(5, 3, 2\); expected \(5, 3, 1\)",
        ),
        ("pose_weights/axes", torch.zeros(1, 4), r"'pose_weights/axes' has shape \(1, 4\); expected \(1, 9\)"),
        ("pose_weights/axes", torch.zeros(()), r"'pose_weights/axes' has shape \(\)"),
        ("pose_weights/limits", torch.full((1,), float("nan")), "'pose_weights/limits' holds NaN"),
    ],
)
def test_correctives_that_do_not_fit(tmp_path: Path, name: str, value: torch.Tensor | None, words: str) -> None:
    path = tmp_path / "a.avatar"
    save_avatar(with_correctives(), path)
    tensors, metadata = load_tensors(path, FORMAT)
    del tensors[name]
    save_tensors(path, tensors | ({} if value is None else {name: value}), metadata, FORMAT)
    with pytest.raises(FileFormatError, match=words):
        load_avatar(path)


def test_as_many_weights_as_correctives() -> None:
    avatar = with_correctives()
    assert replace(avatar, gaussians=avatar.gaussians.with_correctives(0)).pose_weights is None
    with pytest.raises(InputError, match="2 correctives and weights of 1"):
        replace(avatar, gaussians=avatar.gaussians.with_correctives(2))
    with pytest.raises(InputError, match="1 correctives and weights of 0"):
        replace(avatar, pose_weights=None)
