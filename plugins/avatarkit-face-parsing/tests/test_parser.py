"""What a model finds comes back in avatarkit's classes, in the right place, on the right side."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avatarkit_face_parsing.classes import exchanged
from avatarkit_face_parsing.crop import head_box
from avatarkit_face_parsing.options import FaceParsingConfig
from avatarkit_face_parsing.parser import FaceParser

from avatarkit.cameras import Cameras, intrinsics, look_at
from avatarkit.contracts import View
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.labels import LABEL_INDEX, NUM_LABELS
from avatarkit.registry import registry
from avatarkit.testing import conformance

pytest.importorskip("transformers", reason="transformers is not installed")
SIDE = 64
RED, GREEN, BLUE = (torch.tensor(c)[:, None, None] for c in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))


def parser(model: Path, **options: Any) -> FaceParser:
    return FaceParser(FaceParsingConfig(model=str(model), **{"size": 96, "mirror": False, **options}))


def flat(height: int, width: int) -> View:
    camera = torch.eye(4)[None], torch.tensor(intrinsics(50.0, 50.0, width / 2, height / 2), dtype=torch.float32)[None]
    return View(Cameras(*camera, width, height), 0)


def bust_view(side: int, focal: float, x: float = 0.0) -> View:
    """The head model from the front; ``x``: the camera's place, metres."""
    head = load_head("bust")
    viewmat = look_at(np.array([x, 0.0, 1.0]), np.array([x, 0.0, 0.0]))
    K = intrinsics(focal, focal, side / 2, side / 2)
    cameras = Cameras(*(torch.tensor(m, dtype=torch.float32)[None] for m in (viewmat, K)), side, side)
    return View(cameras, 0, head.pose(HeadParams.zeros(1, head.num_shape, head.num_expr)), None, head)


def eyes_of(view: View) -> dict[str, tuple[int, int]]:
    """(row, column) of the middle of each eye of the posed head, the subject's left and right."""
    assert view.head is not None and view.pose is not None
    found = {}
    for name in ("l_eye", "r_eye"):
        x, y, z = view.pose.vertices[0][view.head.regions[name] >= 0.5].mean(0)
        point = view.cameras.viewmats[0] @ torch.tensor([x, y, z, 1.0])
        u, v, _ = view.cameras.Ks[0] @ (point[:3] / point[2])
        found[name] = int(v), int(u)
    return found


def test_classes_come_back_by_name_and_in_place(colour_model: Path) -> None:
    image = torch.full((1, 3, SIDE, SIDE), 0.5)
    image[0, :, 8:24, 8:24], image[0, :, 40:56, 36:56] = RED, BLUE
    found = parser(colour_model, sides="subject").segment(image, [flat(SIDE, SIDE)])
    torch.testing.assert_close(found.sum(1), torch.ones(1, SIDE, SIDE))
    classes = found[0].argmax(0)
    assert (classes[12:20, 12:20] == LABEL_INDEX["l_eye"]).all() and (
        classes[44:52, 40:52] == LABEL_INDEX["earring"]
    ).all()
    assert (classes[8:24, 36:56] == LABEL_INDEX["skin"]).float().mean() > 0.8


def test_a_wide_picture_is_not_squeezed_out_of_place(colour_model: Path) -> None:
    image = torch.full((1, 3, 48, 96), 0.5)
    image[0, :, 12:36, 60:84] = BLUE
    classes = parser(colour_model, sides="subject").segment(image, [flat(48, 96)])[0].argmax(0)
    rows, columns = torch.nonzero(classes == LABEL_INDEX["earring"], as_tuple=True)
    assert abs(float(rows.float().mean()) - 23.5) < 2 and abs(float(columns.float().mean()) - 71.5) < 2


def test_sides_are_the_pictures_or_the_subjects_as_chosen(colour_model: Path) -> None:
    image = torch.full((1, 3, SIDE, SIDE), 0.5)
    image[0, :, 20:44, 8:24] = RED  # what the model calls l_eye, on the left of the picture
    for sides, label in (("subject", "l_eye"), ("picture", "r_eye"), ("auto", "r_eye")):
        found = parser(colour_model, sides=sides).segment(image, [flat(SIDE, SIDE)])
        assert int(found[0, :, 32, 16].argmax()) == LABEL_INDEX[label]


@pytest.mark.parametrize("by_picture", [False, True])
def test_auto_asks_the_tracked_head_whose_left_it_is(colour_model: Path, by_picture: bool) -> None:
    """Whatever the model calls them, the eye where the head model has its left one is the left one."""
    view = bust_view(256, 600.0)
    image = torch.full((1, 3, 256, 256), 0.5)
    for (name, (row, column)), colour in zip(
        eyes_of(view).items(), (GREEN, RED) if by_picture else (RED, GREEN), strict=True
    ):
        image[0, :, row - 8 : row + 8, column - 12 : column + 12] = colour
        assert (column > 128) == (name == "l_eye")  # the subject's left is on the picture's right
    part = parser(colour_model)
    classes = part.segment(image, [view])[0].argmax(0)
    for name, (row, column) in eyes_of(view).items():
        assert int(classes[row, column]) == LABEL_INDEX[name]
    aside = parser(colour_model, sides="picture").segment(image, [view])[0].argmax(0)
    assert torch.equal(aside, classes) == by_picture


def test_a_mirrored_picture_has_mirrored_maps_with_the_sides_exchanged(random_model: Path) -> None:
    image = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    swap = exchanged()
    assert [swap[LABEL_INDEX[n]] for n in ("l_eye", "r_brow", "l_lip")] == [
        LABEL_INDEX[n] for n in ("r_eye", "l_brow", "l_lip")
    ]
    for mirror in (True, False):
        part = parser(random_model, mirror=mirror)
        one, other = (part.segment(i, [flat(40, 56)]) for i in (image, image.flip(-1)))
        same = torch.allclose(other, one.flip(-1)[:, swap], atol=1e-3)
        assert same == mirror  # the net by itself is no mirror: the average with its mirrored self is
        assert not torch.allclose(other, one.flip(-1), atol=1e-1)


def test_the_head_is_shown_large(colour_model: Path) -> None:
    """An eye of 5 pixels is lost when a picture of 400 is shown at 96; the head's own crop keeps it."""
    view = bust_view(400, 400.0, x=-0.2)
    row, column = eyes_of(view)["l_eye"]
    image = torch.full((1, 3, 400, 400), 0.5)
    image[0, :, row - 4 : row + 5, column - 4 : column + 5] = RED
    part = parser(colour_model, sides="subject")
    assert int(part.segment(image, [view])[0, :, row, column].argmax()) == LABEL_INDEX["l_eye"]
    assert int(part.segment(image, [flat(400, 400)])[0, :, row, column].argmax()) != LABEL_INDEX["l_eye"]
    box = head_box(view, 400, 400, 0.15)
    assert box is not None and box[0] < column < box[2] and 90 < box[2] - box[0] < 200


def test_a_head_beside_the_picture_has_no_box() -> None:
    assert head_box(bust_view(100, 100.0, x=-2.0), 100, 100, 0.15) is None


def test_the_matte_ends_the_person(random_model: Path) -> None:
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, :, 32:] = 1.0
    view, image = flat(SIDE, SIDE), torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    part = parser(random_model)
    free, found = part.segment(image, [view]), part.segment(image, [replace(view, mask=mask)])
    assert (found[0, 0, :, :32] == 1.0).all() and not found[0, 1:, :, :32].any()
    torch.testing.assert_close(found[..., 32:], free[..., 32:])


def test_pictures_do_not_depend_on_their_batch(random_model: Path) -> None:
    images = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    views = [flat(SIDE, SIDE)] * 3
    one, many = (parser(random_model, batch=n).segment(images, views) for n in (1, 3))
    torch.testing.assert_close(one, many, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("check", conformance.checks("segmenter"), ids=conformance.name)
def test_conformance(random_model: Path, check: conformance.Check) -> None:
    check(registry().create("segmenter", "face-parsing", {"model": str(random_model), "size": SIDE}))


def test_the_entry_module_is_light() -> None:
    code = (
        "import sys, avatarkit_face_parsing.provider as p, avatarkit_face_parsing.options; list(p.avatarkit_segmenters()); "
        "print(p.face_parser().ok, [m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True []"


def test_recon_labels_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that calls everything a hat makes an avatar of hats."""
    from avatarkit.cli.main import main
    from avatarkit.gaussians.avatar_file import load_avatar
    from avatarkit.paths import home
    from avatarkit.synthetic.capture import make_capture

    from .conftest import NAMES, saved, tiny

    model = tiny()
    with torch.no_grad():
        model.decode_head.classifier.weight.zero_()
        model.decode_head.classifier.bias.copy_(torch.tensor([9.0 * (name == "hat") for name in NAMES]))
    monkeypatch.setenv("AVATARKIT_FACE_PARSER", str(saved(model, tmp_path / "hats")))
    monkeypatch.setenv("NUMBA_CACHE_DIR", os.environ.get("NUMBA_CACHE_DIR") or str(home() / "numba"))
    monkeypatch.setenv("AVATARKIT_HOME", str(tmp_path / "home"))
    capture = make_capture(tmp_path / "capture", cameras=2, timesteps=2, width=48, height=48, samples=1)
    small = ("max_splats=100", "free_gaussians=0", "label_views=1", "label_steps=1", "sh_degree=0")
    options = [part for setting in small for part in ("--set", setting)]
    avatar = tmp_path / "me.avatar"
    try:
        main(["recon", str(capture), "-o", str(avatar), "--iterations", "2", "--segmenter", "face-parsing", "--no-report",
              "--quiet", *options])  # fmt: skip
    except SystemExit as stop:
        assert not stop.code
    logits = load_avatar(avatar).gaussians.label_logits
    decided = logits.max(1).values - logits.min(1).values > 1.0
    assert logits.shape[1] == NUM_LABELS and decided.sum() > 100
    share = logits[decided].argmax(1).bincount(minlength=NUM_LABELS) / int(decided.sum())
    assert (
        share[LABEL_INDEX["hat"]] > 0.9 and share[LABEL_INDEX["hat"]] + share[0] == 1.0
    )  # beyond the matte: background
