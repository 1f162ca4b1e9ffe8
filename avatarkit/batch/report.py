"""The page of a batch: every avatar with its picture, figures, and the way to its log and its own report."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, select_autoescape

from avatarkit import __version__
from avatarkit.batch.summary import Row, count, duration, figure, said_status
from avatarkit.paths import atomic_write_text


def write_report(path: Path, rows: Sequence[Row], title: str) -> None:
    """Write one HTML page, pictures in it; links are relative to it."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape(["html"]))
    statuses = [row.status for row in rows]
    page = environment.get_template("page.html").render(
        title=title,
        version=__version__,
        tiles=[(status, statuses.count(status)) for status in dict.fromkeys(statuses)],
        rows=[
            {
                "row": row,
                "status": said_status(row),
                "seconds": duration(row.seconds),
                "figures": [figure(row.val), figure(row.test), count(row.splats)],
                "picture": _embedded(row.picture),
                "links": [
                    (name, _link(target, path.parent))
                    for name, target in (("avatar", row.avatar), (_said(row.report), row.report), ("log", row.log))
                    if target is not None
                ],
            }
            for row in rows
        ],
    )
    atomic_write_text(path, page)


def _embedded(picture: Path | None) -> str:
    if picture is None:
        return ""
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()


def _said(report: Path | None) -> str:
    return "report" if report is None or report.suffix == ".html" else "before and after"


def _link(target: Path, folder: Path) -> str:
    return quote(Path(os.path.relpath(target, folder)).as_posix())
