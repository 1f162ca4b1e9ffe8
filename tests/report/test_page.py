"""The report read back as a reader does: its figures against metrics.json, its pictures against the capture's files, its settings
against the run's config; and it needs nothing outside itself."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from avatarkit.evaluate.evaluation import avatar_predictor
from avatarkit.gaussians.avatar_file import load_avatar
from avatarkit.gaussians.head_of import head_of
from avatarkit.pictures.sheet import GAP
from avatarkit.render.cpu import CpuRasterizer
from avatarkit.report.build import comparison, write_report
from avatarkit.track.sequence_files import load_sequence

SIDE = 80  # pixels of the capture's pictures, which the sheet shows as they are
ADDRESSES = ("src", "href", "xlink:href", "srcset", "poster", "data", "action", "background", "manifest")
OUTSIDE = ("link", "script", "iframe", "object", "embed", "base", "audio", "source")
VOID = ("meta", "img", "br", "input", "hr", "col")


class Page(HTMLParser):
    """What a page says.  tables: rows of cells by heading.  tiles: name → value.  ids: of each SVG."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str, str]] = []  # heading, tag, text
        self.tables: dict[str, list[list[str]]] = {}
        self.pictures: dict[str, list[tuple[np.ndarray, str]]] = {}  # by heading: picture, caption
        self.ids: list[set[str]] = []
        self.used: list[set[str]] = []
        self.heading = ""
        self.text = file.read_text(encoding="utf-8")
        self.feed(self.text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {name: value or "" for name, value in attrs}
        self.tags.append((tag, own))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "svg":
            self.ids.append(set())
            self.used.append(set())
        if "svg" in self.open:
            self._drawn(own)
        if tag == "tr":
            self.tables.setdefault(self.heading, []).append([])
        if tag in ("td", "th"):
            self.tables[self.heading][-1].append("")
        if tag == "img":
            kind, _, data = own["src"].partition(";base64,")
            picture = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
            assert kind == f"data:image/{str(picture.format).lower()}"
            self.pictures.setdefault(self.heading, []).append((np.asarray(picture.convert("RGB")), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closes what is not open"

    def handle_data(self, data: str) -> None:
        tag = self.open[-1] if self.open else ""
        if tag == "h2":
            self.heading = data
        if tag in ("td", "th"):
            self.tables[self.heading][-1][-1] += data
        if tag == "figcaption":
            picture, said = self.pictures[self.heading][-1]
            self.pictures[self.heading][-1] = (picture, said + data)
        if data.strip():
            self.texts.append((self.heading, tag, data))

    def _drawn(self, own: dict[str, str]) -> None:
        self.ids[-1] |= {own["id"]} if "id" in own else set()
        self.used[-1] |= set(re.findall(r"url\(#([^)]+)\)", " ".join(own.values())))
        self.used[-1] |= {value[1:] for name, value in own.items() if name in ADDRESSES and value.startswith("#")}

    def said(self, tag: str, heading: str | None = None) -> list[str]:
        return [text for place, inside, text in self.texts if inside == tag and heading in (None, place)]

    def tiles(self) -> dict[str, str]:
        values = self.said("b", "")
        return dict(zip(self.said("span", "")[-len(values) :], values, strict=True))


@pytest.fixture(scope="module")
def page(reconstructed: Path) -> Page:
    return Page(reconstructed.with_suffix(".run") / "report.html")


@pytest.fixture(scope="module")
def results(reconstructed: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((reconstructed.with_suffix(".run") / "metrics.json").read_text())
    return found


def number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def heading(result: dict[str, Any]) -> str:
    return f"Held out: {result['split']} ({result['frames']} frames)"


def test_the_figures_are_those_of_metrics_json(page: Page, results: list[dict[str, Any]]) -> None:
    names = ("mean_frame", "nearest_in_time", "best_training_frame", "oracle_training_frame")
    assert list(page.tables) == [heading(result) for result in results] and len(results) == 2
    for result in results:
        header, ours, *rivals = page.tables[heading(result)]
        assert header[1:3] == ["PSNR", "SSIM"] and header[4:] == ["head", "mouth", "eyes"]
        inside = [number(result["regions"][name]["psnr"]) for name in header[4:]]
        figures = [number(result["psnr"]), number(result["ssim"], 4), number(result["lpips"], 4)]
        assert ours == ["this avatar", *figures, *inside]
        assert set(names) == set(result["trivial"]) and len(rivals) == len(names)
        for name, row in zip(names, rivals, strict=True):
            score = result["trivial"][name]
            assert row[1] == number(score["psnr"]) and row[2:4] == ["", ""]
            assert row[4:] == [number(score["regions"][region]["psnr"]) for region in header[4:]]


def test_the_large_figures_are_those_of_the_run(page: Page, results: list[dict[str, Any]], reconstructed: Path) -> None:
    summary, tiles = json.loads((reconstructed.parent / "summary.json").read_text()), page.tiles()
    for result in results:
        assert tiles[f"dB on {result['split']}"] == number(result["psnr"])
        assert tiles[f"dB in the head, {result['split']}"] == number(result["regions"]["head"]["psnr"])
    assert tiles["Gaussians"] == f"{summary['splats']:,}" and tiles["steps"] == f"{summary['steps']:,}" == "150"
    assert tiles["minutes of training"] == f"{summary['seconds'] / 60:.1f}"


def test_the_settings_are_those_of_the_run(page: Page, reconstructed: Path) -> None:
    (text,) = page.said("pre")
    shown, stored = yaml.safe_load(text), reconstructed.with_suffix(".run") / "config.yaml"
    assert shown["config"] == yaml.safe_load(stored.read_text()) and shown["config"]["max_splats"] == 16200
    assert shown["training"]["steps"] == 150


def test_it_names_the_inputs_and_not_where_they_were(page: Page, tiny_capture: Path) -> None:
    """A page is sent to others; whose folder it was is nobody's business."""
    (text,) = page.said("pre")
    assert yaml.safe_load(text)["inputs"] == [tiny_capture.name]
    assert str(tiny_capture.parent) not in page.text


def test_it_needs_nothing_outside_itself(page: Page) -> None:
    for tag, own in page.tags:
        assert tag not in OUTSIDE, tag
        for name, value in own.items():
            if name in ADDRESSES:
                assert value.startswith(("data:image/", "#")) and len(value) > 1, f"{tag} {name}={value[:60]}"
            if not name.startswith("xmlns"):
                assert "://" not in value and "@import" not in value, f"{tag} {name}={value[:60]}"
    (style, *others) = page.said("style")
    assert not any("url(" in text or "@import" in text for text in (style, *others))
    without = re.sub(r"base64,[A-Za-z0-9+/=]+|xmlns(:\w+)?=\"[^\"]*\"", "", page.text)
    assert "://" not in without.partition("<h2>Settings</h2>")[0]
    assert len(page.ids) == 3 and all(used <= own for used, own in zip(page.used, page.ids, strict=True))


def triples(sheet: np.ndarray, rows: int) -> list[list[np.ndarray]]:
    """Truth, render and error of each row of a comparison: tiles lie at the right and the bottom, behind captions."""
    height, width = sheet.shape[:2]
    tops = [height - (rows - j) * (SIDE + GAP) for j in range(rows)]
    lefts = [width - (3 - i) * (SIDE + GAP) for i in range(3)]
    return [[sheet[y : y + SIDE, x : x + SIDE].astype(float) / 255 for x in lefts] for y in tops]


def error_colours(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """What the caption promises: white where equal, dark red where 0.2 or more apart, between them in proportion."""
    share = np.minimum(np.abs(first - second).mean(-1, keepdims=True) / 0.2, 1.0)
    return 1.0 - share * (1.0 - np.array([0.55, 0.0, 0.1]))


def picture_of(capture: Path, source: str) -> np.ndarray:
    """A picture of the capture before white, as whoever opens the files sees it."""
    image = np.asarray(Image.open(capture / source).convert("RGB"), float) / 255
    mask = np.asarray(Image.open(capture / source.replace("images", "fg_masks")).convert("L"), float)[..., None] / 255
    return image * mask + 1.0 - mask


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(-10 * np.log10(((first - second) ** 2).mean()))


def test_truth_render_and_error_belong_together(
    page: Page, results: list[dict[str, Any]], reconstructed: Path, tiny_capture: Path, tmp_path: Path
) -> None:
    avatar = load_avatar(reconstructed)
    head = head_of(avatar.head)
    sequence = load_sequence(tiny_capture, head, cache_dir=tmp_path)
    predict = avatar_predictor(avatar, sequence, avatar.motion, head, CpuRasterizer())
    for result in results:
        ((sheet, caption),) = page.pictures[heading(result)]
        order = sorted(result["rows"], key=lambda row: row["psnr"])
        chosen = [order[0], order[len(order) // 2], order[-1]]
        names = [part.partition(": ")[2] for part in caption.partition(". ")[0].split("; ")]
        assert names == [row["source"] for row in chosen]
        for row, (truth, render, error) in zip(chosen, triples(sheet, 3), strict=True):
            assert np.abs(truth - picture_of(tiny_capture, row["source"])).mean() < 0.02  # JPEG
            assert np.abs(render - predict(row["frame"])).mean() < 0.02
            assert psnr(truth, render) == pytest.approx(row["psnr"], abs=1.0)
            assert np.abs(error - error_colours(truth, render)).mean() < 0.04
            assert error.std() > 0.05  # no blank


def test_a_planted_difference_is_where_the_error_is_dark(
    reconstructed: Path, tiny_capture: Path, tmp_path: Path
) -> None:
    """Exactly, before it is a JPEG: a square that is 0.1 off, another that is 0.5 off, and nothing else."""
    avatar = load_avatar(reconstructed)
    sequence, white = load_sequence(tiny_capture, head_of(avatar.head), cache_dir=tmp_path), np.ones(3, np.float32)

    def predict(index: int) -> np.ndarray:
        drawn = sequence.capture.composited(index, white).copy()
        for square, off in (((slice(5, 25), slice(10, 30)), 0.1), ((slice(50, 70), slice(40, 60)), 0.5)):
            drawn[square] = np.where(drawn[square] > 0.5, drawn[square] - off, drawn[square] + off)
        return drawn

    sheet = comparison(sequence, predict, [0, 11], white, ["a", "b"])
    for index, (truth, render, error) in zip([0, 11], triples(sheet, 2), strict=True):
        assert np.abs(truth - sequence.capture.composited(index, white)).max() < 0.003
        assert np.abs(render - predict(index)).max() < 0.003
        faint, dark = error[5:25, 10:30], error[50:70, 40:60]
        assert np.abs(faint - [0.775, 0.5, 0.55]).max() < 0.01 and np.abs(dark - [0.55, 0.0, 0.1]).max() < 0.01
        rest = np.ones((SIDE, SIDE), bool)
        rest[5:25, 10:30] = rest[50:70, 40:60] = False
        assert (error[rest] == 1.0).all()


def test_a_page_written_later_says_the_same(
    command: Callable[..., Any], page: Page, reconstructed: Path, tmp_path: Path
) -> None:
    said = command("report", reconstructed, "-o", tmp_path / "again.html", "-q")
    assert said.code == 0, said.err
    again = Page(tmp_path / "again.html")
    assert again.tables == page.tables and again.tiles() == page.tiles()
    assert yaml.safe_load(again.said("pre")[0]) == yaml.safe_load(page.said("pre")[0])
    for name, shown in page.pictures.items():
        for (first, caption), (second, other) in zip(shown, again.pictures[name], strict=True):
            assert caption == other and first.shape == second.shape and np.abs(first - second.astype(float)).mean() < 1


def test_without_pictures_there_is_no_empty_picture(
    results: list[dict[str, Any]], reconstructed: Path, tmp_path: Path
) -> None:
    avatar = load_avatar(reconstructed)
    write_report(tmp_path / "a.html", avatar, head_of(avatar.head), CpuRasterizer(), results, title="a & b <c>")
    page = Page(tmp_path / "a.html")
    assert list(page.pictures) == ["Novel views and expressions"] and page.said("h1") == ["a & b <c>"]
    assert [row[0][1] for row in (page.tables[heading(result)][1:] for result in results)] == [
        number(result["psnr"]) for result in results
    ]
