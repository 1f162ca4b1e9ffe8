"""Edits are undone to the bit: random edits of random avatars, chains of them, through files."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from avatarkit.edit.history import changed, undone, way_back, with_entry
from avatarkit.errors import FileFormatError, InputError
from avatarkit.gaussians.avatar import Avatar, AvatarCamera
from avatarkit.gaussians.avatar_file import load_avatar, save_avatar
from avatarkit.gaussians.correctives import pose_weights
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.head.parameters import HeadParams

COUNT = 40


def an_avatar(seed: int = 0) -> Avatar:
    random = torch.Generator().manual_seed(seed)
    gaussians = Gaussians.fresh(
        torch.randn(COUNT, 3, generator=random), torch.randn(COUNT, 3, generator=random), 0.4,
        torch.rand(COUNT, 3, generator=random), torch.randint(-2, 9, (COUNT,), generator=random),
    )  # fmt: skip
    motion = replace(HeadParams.zeros(3, 4, 5), expr=torch.rand(3, 5, generator=random))
    weigh = pose_weights(motion, [0, 1, 2], 2)
    gaussians = gaussians.with_correctives(2)
    gaussians.mean_correctives = torch.rand(COUNT, 3, 2, generator=random)
    return Avatar(
        gaussians, {"name": "bust", "sha256": "ab", "vertices": 9, "shape": 4, "expr": 5}, motion, ("0", "1", "2"), (),
        (AvatarCamera("c", 8, 8),), torch.eye(4)[None], torch.eye(3)[None], meta={"seed": 1}, pose_weights=weigh,
    )  # fmt: skip


def edited(avatar: Avatar, seed: int) -> Avatar:
    """Take some Gaussians away, change others, add new ones, shuffle the table, move the head."""
    random = torch.Generator().manual_seed(seed)
    old = avatar.gaussians
    kept = old.select(torch.rand(len(old), generator=random) > 0.3)
    sh = kept.sh.clone()
    sh[::3] += 0.1
    added = old.select(torch.arange(5))
    top = int(old.ids.max()) + 1 + 100 * seed
    added = replace(added, ids=torch.arange(top, top + 5), groups=torch.full((5,), seed, dtype=torch.int32))
    table = Gaussians.cat([replace(kept, sh=sh), added])
    table = table.select(torch.randperm(len(table), generator=random))
    motion = replace(avatar.motion, jaw_pose=avatar.motion.jaw_pose + 0.1, static_offset=torch.ones(9, 3) * seed)
    meta = {**avatar.meta, "groups": {**avatar.meta.get("groups", {}), f"thing {seed}": seed}}
    return with_entry(avatar, replace(avatar, gaussians=table, motion=motion, meta=meta), {"prompt": f"edit {seed}"})


def same(a: Avatar, b: Avatar) -> bool:
    tensors = all(torch.equal(value, b.gaussians.tensors()[name]) for name, value in a.gaussians.tensors().items())
    for f in fields(HeadParams):
        x, y = getattr(a.motion, f.name), getattr(b.motion, f.name)
        tensors &= (x is None) == (y is None) and (x is None or torch.equal(x, y))
    return tensors and a.meta == b.meta and a.history == b.history


@pytest.mark.parametrize("seed", range(1, 6))
def test_an_edit_is_undone_to_the_bit(seed: int) -> None:
    before = an_avatar(seed)
    after = edited(before, seed)
    assert not same(before, after)
    assert same(undone(after), before)


def test_a_chain_of_edits_through_a_file(tmp_path: Path) -> None:
    states = [an_avatar()]
    for seed in (1, 2, 3):
        states.append(edited(states[-1], seed))
    save_avatar(states[-1], tmp_path / "a.avatar")
    state = load_avatar(tmp_path / "a.avatar")
    for earlier in reversed(states[:-1]):
        state = undone(state)
        assert same(state, earlier)
        assert len(state.history) == len(earlier.history)
    with pytest.raises(InputError, match="no edit to undo"):
        undone(state)


def test_only_what_changed_is_kept() -> None:
    before = an_avatar()
    sh = before.gaussians.sh.clone()
    sh[7] += 0.5
    after = replace(before, gaussians=replace(before.gaussians, sh=sh))
    back = way_back(before, after)
    assert back["gaussians/ids"].tolist() == [int(before.gaussians.ids[7])]
    assert not any(name.startswith("motion/") for name in back)


def test_nothing_changed_is_seen() -> None:
    avatar = an_avatar()
    assert not changed(avatar, replace(avatar))
    assert changed(avatar, replace(avatar, motion=replace(avatar.motion, expr=avatar.motion.expr + 1e-3)))
    assert changed(avatar, replace(avatar, gaussians=avatar.gaussians.select(torch.arange(COUNT - 1))))


def test_a_way_back_that_lacks_gaussians_is_refused() -> None:
    made = edited(an_avatar(), 1)
    few = replace(made, gaussians=made.gaussians.select(torch.arange(3)))
    with pytest.raises(FileFormatError, match="the way back of the last edit does not fit this avatar"):
        undone(few)
