"""GaussianAvatars folders: round trips to the bit, pictures that do not change, and what the format cannot say is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarkit.cameras import Cameras, intrinsics, orbit
from avatarkit.errors import InputError
from avatarkit.events import Run, collect
from avatarkit.gaussians.avatar import Avatar
from avatarkit.gaussians.avatar_file import load_avatar, save_avatar
from avatarkit.gaussians.binding import pose_gaussians_torch
from avatarkit.gaussians.draw import picture
from avatarkit.gaussians.gaussians import Gaussians
from avatarkit.gaussians.ply_file import Splats, read_splats, write_splats
from avatarkit.gaussians.trained_folder import export_trained, import_trained, parameter_bytes
from avatarkit.head.bust import BustModel
from avatarkit.head.frames import with_frames
from avatarkit.head.parameters import HeadParams
from avatarkit.render.cpu import CpuRasterizer

HEAD = BustModel()
STEPS = 3


def a_motion() -> HeadParams:
    random = torch.Generator().manual_seed(1)
    draw = lambda *shape: 0.1 * torch.randn(*shape, generator=random)  # noqa: E731
    return HeadParams(
        draw(HEAD.num_shape), draw(STEPS, HEAD.num_expr), draw(STEPS, 3), draw(STEPS, 3), draw(STEPS, 3), draw(STEPS, 3),
        draw(STEPS, 6), static_offset=0.01 * draw(len(HEAD.template), 3),
    )  # fmt: skip


def an_avatar(degree: int = 1, free: int = 0) -> Avatar:
    random = torch.Generator().manual_seed(2)
    binding = torch.arange(0, len(HEAD.faces), 9).to(torch.int32)
    count = len(binding)
    colours = torch.rand(count, 3, generator=random)
    gaussians = Gaussians.fresh(
        0.2 * torch.randn(count, 3, generator=random), torch.full((count, 3), 0.3), 0.9, colours, binding, degree
    )
    gaussians.quats = torch.randn(count, 4, generator=random)
    gaussians.log_scales = gaussians.log_scales + 0.5 * torch.randn(count, 3, generator=random)
    gaussians.sh[:, 1:] = 0.2 * torch.randn(gaussians.sh[:, 1:].shape, generator=random)
    if free:
        gaussians.binding[:free] = -2  # the neck joint, at the level of the skull
        gaussians.means[:free] = 0.05 * torch.randn(free, 3, generator=random) + torch.tensor([0.0, 0.12, 0.0])
        gaussians.log_scales[:free] = -5.0
    names = tuple(f"{i}" for i in range(STEPS))
    return Avatar(
        gaussians, dict(HEAD.reference), a_motion(), names, (), (), torch.zeros(0, 4, 4), torch.zeros(0, 3, 3)
    )


def trained(folder: Path) -> Path:
    """What GaussianAvatars writes, by hand: the arrays of its code, of a bust's counts."""
    folder.mkdir()
    random = np.random.default_rng(0)
    draw = lambda *shape: random.standard_normal(shape).astype(np.float32)  # noqa: E731
    count = 400
    binding = random.integers(0, len(HEAD.faces), count).astype(np.int32)
    write_splats(
        folder / "point_cloud.ply", Splats(draw(count, 3), draw(count, 4), draw(count, 3), draw(count), draw(count, 16, 3), binding)
    )  # fmt: skip
    motion = {name: getattr(a_motion(), name).numpy() for name in ("shape", "expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")}  # fmt: skip
    static = a_motion().static_offset
    assert static is not None
    np.savez(
        folder / "flame_param.npz", **motion, static_offset=static.numpy()[None],
        dynamic_offset=np.zeros((STEPS, len(HEAD.template), 3), np.float32),
    )  # fmt: skip
    return folder


def the_camera() -> Cameras:
    view = torch.from_numpy(orbit(0.4, 0.1, 1.0, np.zeros(3))).float()[None]
    return Cameras(view, torch.from_numpy(intrinsics(250.0, 250.0, 48.0, 48.0)).float()[None], 96, 96)


def shown(avatar: Avatar, timestep: int, frames: str = "triangle") -> torch.Tensor:
    pose = with_frames(HEAD, frames).pose(avatar.motion[timestep])
    return picture(avatar, pose, HEAD.faces, the_camera(), CpuRasterizer())


def test_folder_to_avatar_to_folder_is_exact(command: Callable[..., Any], tmp_path: Path) -> None:
    source = trained(tmp_path / "trained")
    said = command("import", "gaussianavatars", source, "-o", tmp_path / "a.avatar", "--head", "bust")
    assert said.code == 0 and "400 Gaussians, 3 timesteps" in said.err
    said = command("export", tmp_path / "a.avatar", "-o", tmp_path / "again", "--format", "gaussianavatars")
    assert said.code == 0, said.err
    assert (tmp_path / "again" / "point_cloud.ply").read_bytes() == (source / "point_cloud.ply").read_bytes()
    with np.load(source / "flame_param.npz") as before, np.load(tmp_path / "again" / "flame_param.npz") as after:
        assert set(before.files) == set(after.files)
        for key in before.files:
            assert before[key].dtype == after[key].dtype and np.array_equal(before[key], after[key]), key


def test_avatar_to_folder_to_avatar_is_exact(tmp_path: Path) -> None:
    """Degree 0: view-dependent colour means something else there."""
    avatar = an_avatar(degree=0)
    run, events = collect()
    export_trained(avatar, HEAD, tmp_path / "point_cloud.ply", HEAD.pose(avatar.motion[0]), run)
    assert [event.text for event in events if "free" in event.text or "view" in event.text] == []
    again = import_trained(tmp_path, Run(), head="bust")
    for name in ("means", "quats", "log_scales", "opacity_logits", "sh", "binding"):
        assert torch.equal(getattr(again.gaussians, name), getattr(avatar.gaussians, name)), name
    for name in ("shape", "expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose", "static_offset"):
        assert torch.equal(getattr(again.motion, name), getattr(avatar.motion, name)), name
    save_avatar(again, tmp_path / "b.avatar")
    assert torch.equal(load_avatar(tmp_path / "b.avatar").gaussians.means, avatar.gaussians.means)


def test_colours_along_world_directions_are_drawn_so(tmp_path: Path) -> None:
    """An imported model against the reference: Gaussians posed without colour, harmonics along the world's directions."""
    from avatarkit.render.sh import sh_colours

    avatar = import_trained(trained(tmp_path / "t"), Run(), head="bust")
    assert avatar.world_directions and avatar.sh_degree == 3
    pose = HEAD.pose(avatar.motion[1])
    posed = pose_gaussians_torch(avatar.gaussians, pose.vertices[0], pose.joints[0], HEAD.faces)
    away = torch.nn.functional.normalize(posed.means - the_camera().centres()[0], dim=1)
    colours = sh_colours(avatar.gaussians.sh, away, 3)
    drawn = CpuRasterizer().render(
        posed.means, posed.quats, posed.scales, posed.opacities, colours, the_camera(), background=torch.ones(3)
    )
    torch.testing.assert_close(shown(avatar, 1), drawn.features[0].clamp(0, 1), rtol=0, atol=2e-4)
    other = replace(avatar, meta={})
    assert float((shown(other, 1) - shown(avatar, 1)).abs().max()) > 0.02, "the harmonics matter in this test"


@pytest.mark.parametrize("degree, frames", [(0, "triangle"), (2, "triangle"), (0, "skin"), (2, "skin")])
def test_exported_pictures_are_the_same_in_the_chosen_pose(tmp_path: Path, degree: int, frames: str) -> None:
    avatar = an_avatar(degree, free=60)
    run, events = collect()
    head = with_frames(HEAD, frames)
    export_trained(avatar, head, tmp_path / "point_cloud.ply", head.pose(avatar.motion[2]), run)
    again = import_trained(tmp_path, Run(), head="bust")
    assert bool((again.gaussians.binding >= 0).all()) and len(again.gaussians) == len(avatar.gaussians)
    torch.testing.assert_close(shown(again, 2), shown(avatar, 2, frames), rtol=0, atol=2e-3)
    texts = [event.text for event in events]
    assert sum("60 free Gaussians ride on joints" in text and "exact in the chosen pose" in text for text in texts) == 1
    assert sum("skin frames" in text for text in texts) == (frames == "skin")
    assert sum("turn with the head here" in text for text in texts) == (degree > 0)


def test_free_gaussians_take_triangles_that_move_as_their_joint_does(tmp_path: Path) -> None:
    from avatarkit.gaussians.carried import bound_to_triangles

    avatar = an_avatar(0, free=60)
    pose = HEAD.pose(avatar.motion[0])
    bound, strays = bound_to_triangles(avatar.gaussians, HEAD, pose, avatar.motion)
    assert strays.shape == (60,) and float(strays.mean()) < 0.004
    for timestep in range(STEPS):
        then = HEAD.pose(avatar.motion[timestep])
        places = [
            pose_gaussians_torch(g, then.vertices[0], then.joints[0], HEAD.faces).means[:60]
            for g in (avatar.gaussians, bound)
        ]
        away = (places[0] - places[1]).norm(dim=1)
        assert float(away.max()) < (2e-6 if timestep == 0 else 0.03)


def test_free_gaussians_are_dropped_only_when_told(command: Callable[..., Any], tmp_path: Path) -> None:
    save_avatar(an_avatar(0, free=60), tmp_path / "a.avatar")
    options = ("--format", "gaussianavatars", "--drop-free")
    said = command("export", tmp_path / "a.avatar", "-o", tmp_path / "x", *options)
    assert said.code == 0 and "60 free Gaussians are left out" in " ".join(said.err.split())
    assert len(read_splats(tmp_path / "x" / "point_cloud.ply").means) == len(an_avatar().gaussians) - 60


def test_a_static_splat_shows_the_same_picture(command: Callable[..., Any], tmp_path: Path) -> None:
    """Read as any viewer would: no head, no bindings, world coordinates, world directions."""
    from avatarkit.render.sh import sh_colours

    avatar = an_avatar(2, free=60)
    save_avatar(avatar, tmp_path / "a.avatar")
    assert command("export", tmp_path / "a.avatar", "-o", tmp_path / "a.ply", "--frame", 1).code == 0
    splats = read_splats(tmp_path / "a.ply")
    assert splats.binding is None
    means, quats, logs, logits, sh = (
        torch.from_numpy(getattr(splats, name)) for name in ("means", "quats", "log_scales", "opacity_logits", "sh")
    )
    away = torch.nn.functional.normalize(means - the_camera().centres()[0], dim=1)
    drawn = CpuRasterizer().render(
        means, quats, logs.exp(), logits.sigmoid(), sh_colours(sh, away, 2), the_camera(), background=torch.ones(3)
    )
    torch.testing.assert_close(drawn.features[0].clamp(0, 1), shown(avatar, 1), rtol=0, atol=1e-3)


def test_the_last_iteration_of_a_model_folder_is_taken(tmp_path: Path) -> None:
    for number in (100, 60):
        (tmp_path / "model" / "point_cloud").mkdir(parents=True, exist_ok=True)
        trained(tmp_path / "model" / "point_cloud" / f"iteration_{number}")
    avatar = import_trained(tmp_path / "model", Run(), head="bust")
    assert avatar.meta["inputs"][0].endswith("iteration_100")


def test_what_is_no_trained_folder_is_said(command: Callable[..., Any], tmp_path: Path) -> None:
    source = trained(tmp_path / "t")

    def refused(words: str, *options: object) -> None:
        said = command(
            "import", "gaussianavatars", source, "-o", tmp_path / "a.avatar", *(options or ("--head", "bust"))
        )
        assert said.code == 2 and words in said.err and len(said.err.splitlines()) == 1, said.err
        assert not (tmp_path / "a.avatar").exists()

    refused("unknown head model", "--head", "buust")
    whole = dict(np.load(source / "flame_param.npz"))
    np.savez(source / "flame_param.npz", **{k: v for k, v in whole.items() if k != "jaw_pose"})
    refused("key 'jaw_pose' is missing")
    np.savez(source / "flame_param.npz", **{**whole, "expr": whole["expr"][:2]})
    refused("'rotation' has shape (3, 3); expected (2, 3)")
    np.savez(source / "flame_param.npz", **{**whole, "expr": whole["expr"][:, :7]})
    refused("7 are needed")
    np.savez(source / "flame_param.npz", **whole)
    splats = read_splats(source / "point_cloud.ply")
    write_splats(source / "point_cloud.ply", replace(splats, binding=None))
    refused("no 'binding_0'")
    assert splats.binding is not None
    write_splats(source / "point_cloud.ply", replace(splats, binding=splats.binding + len(HEAD.faces)))
    refused("is bound to triangle")
    (source / "point_cloud.ply").unlink()
    refused("no trained GaussianAvatars model")


def test_offsets_that_are_missing_are_none(tmp_path: Path) -> None:
    source = trained(tmp_path / "t")
    whole = dict(np.load(source / "flame_param.npz"))
    np.savez(source / "flame_param.npz", **{k: v for k, v in whole.items() if not k.endswith("_offset")})
    assert import_trained(source, Run(), head="bust").motion.static_offset is None
    with pytest.raises(InputError):
        import_trained(tmp_path / "nowhere", Run())
    written = parameter_bytes(replace(a_motion(), static_offset=None), len(HEAD.template))
    (source / "flame_param.npz").write_bytes(written)
    with np.load(source / "flame_param.npz") as archive:
        assert archive["static_offset"].shape == (1, len(HEAD.template), 3) and not archive["static_offset"].any()
        assert archive["dynamic_offset"].shape == (STEPS, len(HEAD.template), 3)


def test_a_flame_with_teeth_comes_in_whole(test_data: Path, tmp_path: Path) -> None:
    """The counts choose teeth; both ways the values are the same; what differs inside the mouth is said."""
    from avatarkit.head.loading import load_head

    file = str(test_data / "flame2023_open" / "flame2023_open_arkit.npz")
    head = load_head(file, teeth=True)
    count, random = len(head.faces), np.random.default_rng(0)
    draw = lambda *shape: random.standard_normal(shape).astype(np.float32)  # noqa: E731
    folder = tmp_path / "t"
    folder.mkdir()
    splats = Splats(
        draw(count, 3), draw(count, 4), draw(count, 3), draw(count), draw(count, 1, 3), np.arange(count, dtype=np.int32)
    )
    write_splats(folder / "point_cloud.ply", splats)
    motion = HeadParams.zeros(2, head.num_shape, head.num_expr)
    (folder / "flame_param.npz").write_bytes(parameter_bytes(motion, len(head.template)))
    run, events = collect()
    avatar = import_trained(folder, run, head=file)
    assert avatar.head["vertices"] == 5143 and torch.equal(
        avatar.gaussians.binding, torch.arange(count, dtype=torch.int32)
    )
    assert [event.text.partition(": ")[2][:39] for event in events] == ["168 Gaussians are bound to teeth, whose"]
    export_trained(avatar, head, tmp_path / "again" / "point_cloud.ply", head.pose(motion[0]), run)
    for name in ("point_cloud.ply", "flame_param.npz"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
