"""The table, the JSON and the page say what the states and the commands' own results say."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from PIL import Image
from rich.console import Console

from avatarkit.batch.report import write_report
from avatarkit.batch.state import State
from avatarkit.batch.summary import Row, duration, rows_of, table
from avatarkit.batch.tasks import Task

from .conftest import MakeTask

RESULT = {
    "avatar": "x", "splats": 16093, "metrics": {"val": {"psnr": 31.234, "ssim": 0.9}, "test": {"psnr": None}}, "report": "x",
}  # fmt: skip


@pytest.fixture
def tasks(make_task: MakeTask) -> list[Task]:
    ada, red, eve = make_task("ada"), make_task("ada-red", after="ada"), make_task("<eve> & #1")
    ada.output.write_text("")
    ada.log.write_text("")
    ada.result.write_text(json.dumps(RESULT))
    Image.new("RGB", (24, 30), "red").save(ada.drawn)
    ada.output.with_suffix(".run").mkdir()
    (ada.output.with_suffix(".run") / "report.html").write_text("")
    red.log.write_text("")
    red.output.write_text("of an earlier time")
    red.result.write_text(json.dumps(RESULT))
    return [ada, red, eve]


@pytest.fixture
def rows(tasks: list[Task]) -> list[Row]:
    states = [
        State("ada", "done", attempts=1, seconds=125.0),
        State("ada-red", "failed", attempts=2, seconds=3.21, reason="out of <paint>"),
        State("<eve> & #1", "skipped", reason="job ada-red failed"),
    ]
    return rows_of(tasks, {state.name: state for state in states}, {"ada"})


def test_rows(rows: list[Row], tasks: list[Task]) -> None:
    ada, red, eve = rows
    assert (ada.status, ada.kept, ada.val, ada.test, ada.splats) == ("done", True, 31.234, None, 16093)
    assert ada.report == tasks[0].output.with_suffix(".run") / "report.html" and ada.picture == tasks[0].drawn
    assert (red.val, red.splats, red.avatar, red.log) == (None, None, None, tasks[1].log), (
        "results of a failure are old ones"
    )
    assert eve.log is None and eve.reason == "job ada-red failed"


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"metrics": 3}', '{"metrics": {"val": {"psnr": "x"}}, "splats": true, "operations": [3]}']
)
def test_results_that_say_nothing(tasks: list[Task], text: str) -> None:
    tasks[0].result.write_text(text)
    row = rows_of(tasks[:1], {"ada": State("ada", "done")}, set())[0]
    assert (row.val, row.test, row.splats, row.verdict) == (None, None, None, "")


@pytest.mark.parametrize(
    ("accepted", "said"),
    [
        ([True], "1 of 1 operation accepted"),
        ([True, True], "2 of 2 operations accepted"),
        ([True, False, False], "1 of 3 operations accepted; add nose ring 1: too small"),
        ([], ""),
    ],
)
def test_what_became_of_an_edit(tasks: list[Task], accepted: list[bool], said: str) -> None:
    """In the words of the summary that ``avatarkit edit --json`` writes."""
    done = [
        {
            "operation": {"kind": "add", "target": f"nose_ring_{i}"},
            "accepted": good,
            "reason": "" if good else "too small",
        }
        for i, good in enumerate(accepted)
    ]
    tasks[1].result.write_text(json.dumps({"operations": done}))
    sheet = tasks[1].output.with_suffix(".edit") / "before-after.jpg"
    sheet.parent.mkdir()
    sheet.write_bytes(b"")
    (row,) = rows_of(tasks[1:2], {"ada-red": State("ada-red", "done")}, set())
    assert row.verdict == said and row.report == sheet
    write_report(tasks[1].folder / "report.html", [row], "heads")
    page = Page(tasks[1].folder / "report.html")
    assert said in page.text and "before and after" in page.text and "ada-red.edit/before-after.jpg" in page.links


def test_the_table(rows: list[Row]) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table(rows))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert lines[0] == ["name", "status", "time", "val", "dB", "test", "dB", "Gaussians"]
    assert lines[1] == ["ada", "done", "before", "2:05", "min", "31.23", "16,093"]
    assert lines[2] == ["ada-red", "failed", "after", "2", "attempts", "3.2", "s", "out", "of", "<paint>"]


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.0, 0.04, 59.4, 61.0, 3600.0)] == [
        "",
        "0.0 s",
        "59.4 s",
        "1:01 min",
        "60:00 min",
    ]


class Page(HTMLParser):
    """Links, pictures and text of a page; fails on a tag that is not closed."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        values = dict(attrs)
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "a":
            self.links.append(values["href"])
        if tag == "img":
            self.pictures.append(values["src"])

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page(rows: list[Row], out: Path) -> None:
    write_report(out / "report.html", rows, "heads")
    page = Page(out / "report.html")
    assert sorted(page.links) == ["ada.avatar", "ada.run/report.html", "logs/ada-red.log", "logs/ada.log"]
    assert all((out / link).is_file() for link in page.links), "they lead to what is there"
    assert len(page.pictures) == 1 and page.pictures[0].startswith("data:image/png;base64,")
    assert (
        "out of <paint>" in page.text and "<eve> & #1" in page.text and "31.23" in page.text and "16,093" in page.text
    )
    html = (out / "report.html").read_text()
    assert "<script" not in html and "url(http" not in html and not re.search(r'(?:src|href)="(?:https?:|/)', html)


def test_links_to_names_that_are_not_plain(rows: list[Row], out: Path) -> None:
    odd = out / "logs" / "é #1 100%.log"
    odd.write_text("")
    write_report(out / "report.html", [replace(rows[2], log=odd)], "heads")
    (link,) = Page(out / "report.html").links
    assert "#" not in link and unquote(link) == "logs/é #1 100%.log"
