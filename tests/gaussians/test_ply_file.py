"""PLY files against bytes written by hand, and the properties that others expect in the order in which they expect them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avatarkit.errors import FileFormatError, InputError
from avatarkit.gaussians.ply_file import Splats, read_splats, write_splats


def some_splats(degree: int = 1, count: int = 5, bound: bool = True) -> Splats:
    random = np.random.default_rng(degree)
    draw = lambda *shape: random.standard_normal(shape).astype(np.float32)  # noqa: E731
    binding = random.integers(0, 9976, count).astype(np.int32) if bound else None
    return Splats(
        draw(count, 3), draw(count, 4), draw(count, 3), draw(count), draw(count, (degree + 1) ** 2, 3), binding
    )


def parsed(path: Path) -> tuple[list[str], np.ndarray]:
    """Header lines, and the numbers row by row: an independent reader of such a file."""
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = head.decode().splitlines()
    names = [line.split()[2] for line in lines if line.startswith("property")]
    return lines, np.frombuffer(body, "<f4").reshape(-1, len(names))


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_the_layout_is_that_of_gaussian_splatting(tmp_path: Path, degree: int) -> None:
    splats = some_splats(degree)
    write_splats(tmp_path / "a.ply", splats)
    lines, rows = parsed(tmp_path / "a.ply")
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    assert [line for line in lines if line.startswith("element")] == ["element vertex 5"]
    names = [line.removeprefix("property float ") for line in lines if line.startswith("property")]
    rest = 3 * ((degree + 1) ** 2 - 1)
    assert names == [
        "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *(f"f_rest_{i}" for i in range(rest)), "opacity",
        "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3", "binding_0",
    ]  # fmt: skip
    assert np.array_equal(rows[:, :3], splats.means) and (rows[:, 3:6] == 0).all()
    assert np.array_equal(rows[:, 6:9], splats.sh[:, 0])
    for channel in range(3):  # one channel after the other
        begin = 9 + channel * rest // 3
        assert np.array_equal(rows[:, begin : begin + rest // 3], splats.sh[:, 1:, channel])
    assert splats.binding is not None and np.array_equal(rows[:, -1], splats.binding)
    again = read_splats(tmp_path / "a.ply")
    for name in ("means", "quats", "log_scales", "opacity_logits", "sh", "binding"):
        assert np.array_equal(getattr(again, name), getattr(splats, name)), name
    write_splats(tmp_path / "b.ply", again)
    assert (tmp_path / "a.ply").read_bytes() == (tmp_path / "b.ply").read_bytes()


def test_a_file_in_text_and_with_more_properties_is_read(tmp_path: Path) -> None:
    names = [*"xyz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3", "age"]  # fmt: skip
    head = "ply\nformat ascii 1.0\ncomment by hand\nelement vertex 1\n" + "".join(
        f"property float {n}\n" for n in names
    )
    (tmp_path / "a.ply").write_text(head + "end_header\n" + " ".join(str(i + 0.5) for i in range(len(names))) + "\n")
    splats = read_splats(tmp_path / "a.ply")
    assert splats.means.tolist() == [[0.5, 1.5, 2.5]] and splats.quats.tolist() == [[10.5, 11.5, 12.5, 13.5]]
    assert splats.binding is None and splats.extra == ("age",)


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    write_splats(tmp_path / "a.ply", some_splats())
    whole = (tmp_path / "a.ply").read_bytes()
    bad = {
        "empty": b"", "cut in the header": whole[:300], "cut": whole[:-5], "no rot_3": whole.replace(b"rot_3", b"rat_3"),
        "huge": whole.replace(b"vertex 5", b"vertex 99999999999999"), "text": b"no such thing\n",
    }  # fmt: skip
    for name, content in bad.items():
        (tmp_path / "bad.ply").write_bytes(content)
        with pytest.raises(FileFormatError, match=r"bad\.ply") as caught:
            read_splats(tmp_path / "bad.ply")
        assert "\n" not in str(caught.value), name
    assert "not a PLY file that can be read" in _said(tmp_path, bad["text"])
    assert "property 'rot_3' is missing; did you mean 'rat_3'" in _said(tmp_path, bad["no rot_3"])


def _said(folder: Path, content: bytes) -> str:
    (folder / "bad.ply").write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        read_splats(folder / "bad.ply")
    return str(caught.value)


def test_what_cannot_be_read_again_is_not_written(tmp_path: Path) -> None:
    splats = some_splats()
    splats.log_scales[1, 2] = np.nan
    with pytest.raises(InputError, match=r"'scale_2'.*not finite"):
        write_splats(tmp_path / "a.ply", splats)
    free = some_splats()
    assert free.binding is not None
    free.binding[0] = -1
    with pytest.raises(InputError, match="binding"):
        write_splats(tmp_path / "a.ply", free)
    assert not list(tmp_path.iterdir())


def test_turned_spherical_harmonics_are_the_turned_function() -> None:
    from avatarkit.head.skinning import rotation_matrices
    from avatarkit.render.sh import sh_basis
    from avatarkit.render.sh_rotation import rotated_sh

    random = torch.Generator().manual_seed(0)
    for degree in range(5):
        sh = torch.randn(6, (degree + 1) ** 2, 3, generator=random)
        turn = rotation_matrices(torch.randn(6, 3, generator=random))
        directions = torch.nn.functional.normalize(torch.randn(20, 3, generator=random), dim=1)
        turned = rotated_sh(sh, turn)
        found = sh_basis(directions, degree) @ turned  # (6, 20, 3)
        expected = sh_basis(directions @ turn, degree) @ sh
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(turned[:, 0], sh[:, 0])
