"""An exporter.  It begins with a text file of counts: put your format in its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatarkit.paths import atomic_write_text

if TYPE_CHECKING:
    from avatarkit.gaussians.avatar import Avatar
    from avatarkit.head.parameters import HeadPose


class Mine:
    """``avatarkit.contracts.Exporter``."""

    suffix = ".txt"

    def export(self, avatar: Avatar, path: Path, pose: HeadPose | None = None, **options: Any) -> None:
        """Write ``avatar``, posed by ``pose`` or at rest, to ``path``; a crash leaves the old file."""
        atomic_write_text(path, f"{len(avatar.gaussians)} Gaussians\n")
