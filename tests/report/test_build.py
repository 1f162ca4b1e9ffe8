"""The report is one page that says what was measured, and what is no better than a still picture."""

from __future__ import annotations

import json
import re
from pathlib import Path

from avatarkit.gaussians.avatar_file import load_avatar
from avatarkit.gaussians.head_of import head_of
from avatarkit.render.cpu import CpuRasterizer
from avatarkit.report.build import write_report
from avatarkit.report.curves import curve_svg


def test_the_page_of_a_run_has_figures_pictures_and_curves(reconstructed: Path) -> None:
    folder = reconstructed.with_suffix(".run")
    page, results = (folder / "report.html").read_text(), json.loads((folder / "metrics.json").read_text())
    for result in results:
        assert f"{result['psnr']:.2f}" in page and f"{result['ssim']:.4f}" in page
        assert f"{result['trivial']['mean_frame']['psnr']:.2f}" in page
    assert page.count("data:image/jpeg;base64,") == 3 and page.count("<svg") == 3
    assert "max_splats: 16200" in page and "mean training frame" in page
    assert len(page) < 5_000_000


def test_a_region_that_a_still_picture_does_as_well_is_said(reconstructed: Path, tmp_path: Path) -> None:
    avatar = load_avatar(reconstructed)
    results = json.loads((reconstructed.with_suffix(".run") / "metrics.json").read_text())
    results[0]["regions"]["mouth"]["psnr"] = 1.0
    write_report(tmp_path / "a.html", avatar, head_of(avatar.head), CpuRasterizer(), results, title="<me>")
    page = (tmp_path / "a.html").read_text()
    assert "the mean training frame is at least as good in the mouth region" in page
    assert "&lt;me&gt;" in page and not re.search("<me>", page), "names are escaped"


def test_a_curve_is_one_svg_and_the_same_each_time() -> None:
    curve = {"a": ([1, 2, 3], [0.1, 0.2, 0.3])}
    text = curve_svg(curve, "step", "loss", log=True)
    assert (
        text.startswith("<svg")
        and text.rstrip().endswith("</svg>")
        and text == curve_svg(curve, "step", "loss", log=True)
    )
