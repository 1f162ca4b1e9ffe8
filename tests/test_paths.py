"""Atomic writes: the old file survives everything, errors are one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from avatarkit import paths
from avatarkit.errors import AvatarkitError, EnvironmentProblem, InputError


def test_a_write_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.bin"
    for content in (b"one", b"two"):
        with paths.atomic_write(target) as stream:
            stream.write(content)
        assert target.read_bytes() == content
    assert [p.name for p in target.parent.iterdir()] == ["file.bin"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), paths.atomic_write(target) as stream:
        stream.write(b"half")
        raise RuntimeError
    with pytest.raises(RuntimeError):
        paths.atomic_path(target, lambda temporary: (_ for _ in ()).throw(RuntimeError()))  # type: ignore[arg-type,return-value]
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentProblem, match=r"file\.bin: the disk is full"), paths.atomic_write(target) as stream:
        stream.write(b"new")
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.EACCES, EnvironmentProblem, "no permission"),
        (errno.ENOENT, InputError, "no such file"),
        (errno.EROFS, EnvironmentProblem, "read-only"),
    ],
)
def test_the_systems_errors_say_what_to_do(number: int, kind: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=said), paths.explained(tmp_path):
        raise OSError(number, os.strerror(number), str(tmp_path))


def test_home_follows_the_variable(avatarkit_home: Path) -> None:
    assert paths.home() == avatarkit_home
    assert avatarkit_home.is_dir()


def test_files_get_the_umask_of_the_person(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        paths.atomic_write_text(tmp_path / "f", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("kind", [FileNotFoundError, PermissionError, NotADirectoryError])
def test_an_error_names_the_file_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[OSError]
) -> None:
    """And not the temporary one beside it: some file systems let nobody make files."""

    def refuse(dir: Path, prefix: str) -> None:
        raise kind(0, "no", str(dir / f"{prefix}17myzoxa"))

    monkeypatch.setattr("avatarkit.paths.tempfile.TemporaryFile", refuse)
    with pytest.raises(AvatarkitError) as raised:
        paths.require_file_place(tmp_path / "a.avatar")
    assert str(raised.value).startswith(f"{tmp_path / 'a.avatar'}: ")
