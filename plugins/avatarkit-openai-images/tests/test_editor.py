"""The openai SDK against local servers that speak the images edit API: what is sent, what comes back, what is kept."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avatarkit_openai_images.editor import OpenaiImagesEditor
from avatarkit_openai_images.options import OpenaiImagesConfig
from torch import Tensor

from avatarkit.contracts import EditStep
from avatarkit.edit.plan import KeyframeText, Operation
from avatarkit.errors import InputError
from avatarkit.events import Notice, Progress, Run, collect
from avatarkit.testing import conformance
from avatarkit.testing.language_servers import Reply
from avatarkit.testing.scenes import cameras

HEIGHT, WIDTH = 120, 80
BOX = (slice(30, 70), slice(20, 50))
OPERATION = Operation(
    "restyle", "hair", prompt="paint the hair copper red", target_caption="a person with copper hair", negative="hats",
    preserve=("l_eye", "u_lip"),
)  # fmt: skip


def smooth(count: int, seed: int = 0) -> Tensor:
    """Pictures without fine detail, so that resizing there and back loses nothing."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear", align_corners=True)


def boxed(count: int) -> Tensor:
    masks = torch.zeros(count, 1, HEIGHT, WIDTH)
    masks[:, :, BOX[0], BOX[1]] = 1.0
    return masks


def step(count: int, operation: Operation = OPERATION, **changes: Any) -> EditStep:
    texts = tuple(KeyframeText(f"t{i} c0", f"paint the hair copper red, view {i}", f"hair {i}") for i in range(count))
    return EditStep(operation, texts, **changes)


def editor(server: Any, **options: Any) -> OpenaiImagesEditor:
    chosen = {"base_url": f"{server.address}/v1", "size": 256, "timeout": 5.0, "deadline": 20.0, "grow": 0.0, **options}
    return OpenaiImagesEditor(OpenaiImagesConfig(**chosen))


def edit(
    part: OpenaiImagesEditor, views: Tensor, masks: Tensor | None = None, run: Run | None = None, **changes: Any
) -> Tensor:
    count = len(views)
    chosen = {"references": None, "seed": 0, **changes}
    asked = chosen.pop("step", None) or step(count)
    return part.edit(
        views, boxed(count) if masks is None else masks, asked,
        cameras=cameras(count, HEIGHT, WIDTH), correspondences=None, run=run or Run(), **chosen,
    )  # fmt: skip


def test_what_the_server_painted_comes_back_in_its_place(kit: Any) -> None:
    views = smooth(3)
    before = views.clone()
    with kit.serving(kit.painted) as server:
        edited = edit(editor(server), views)
    assert torch.equal(views, before) and edited.shape == views.shape and edited.dtype == torch.float32
    inside = (
        slice(None),
        slice(None),
        slice(33, 67),
        slice(23, 47),
    )  # a few pixels from the border, which resizing softens
    torch.testing.assert_close(edited[inside], 1 - views[inside], atol=2.5 / 255, rtol=0)
    outside = edited.clone()
    outside[:, :, 27:73, 17:53] = views[:, :, 27:73, 17:53]
    torch.testing.assert_close(outside, views, atol=2.5 / 255, rtol=0)
    assert float((edited - views)[inside].abs().mean()) > 0.1


def test_what_is_sent(kit: Any) -> None:
    views = smooth(1)
    with kit.serving(kit.painted) as server:
        edit(editor(server, quality="high", fidelity="high"), views)
    (form,) = server.forms
    assert form.path == "/v1/images/edits" and form.headers["authorization"] == f"Bearer {kit.key}"
    words = form.fields.pop("prompt")
    assert form.fields == {
        "model": "gpt-image-2.5-sunburst", "n": "1", "size": "256x256", "quality": "high", "input_fidelity": "high",
    }  # fmt: skip
    assert words.startswith("Paint the hair copper red, view 0. ")
    assert "Do not change left eye or upper lip." in words and "must not show: hats." in words and "hair 0." in words
    assert set(form.files) == {"image", "mask"} and all(len(files) == 1 for files in form.files.values())
    picture, mask = form.picture("image"), form.picture("mask")
    assert picture.shape == (256, 256, 3) and mask.shape == (256, 256, 4)
    scale, left = 256 / HEIGHT, (256 - round(WIDTH * 256 / HEIGHT)) // 2
    rows, columns = np.nonzero(mask[..., 3] == 0)
    for found, wanted in zip(
        (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1),
        (30 * scale, 70 * scale, left + 20 * scale, left + 50 * scale),
        strict=True,
    ):
        assert abs(int(found) - wanted) <= 3
    assert set(np.unique(mask[..., 3])) == {0, 255}
    assert np.abs(picture[128, left + 85].astype(float) - views[0, :, 60, 40].numpy() * 255).max() < 4
    assert (picture[:, : left - 2] == picture[:, :1]).all()  # beyond the view its edge goes on


def test_the_mask_is_widened(kit: Any) -> None:
    sizes = []
    for grow in (0.0, 0.05):
        with kit.serving(kit.painted) as server:
            edit(editor(server, grow=grow), smooth(1))
        rows, columns = np.nonzero(server.forms[0].picture("mask")[..., 3] == 0)
        sizes.append((np.ptp(rows), np.ptp(columns)))
    assert [int(wide - plain) for plain, wide in zip(*sizes, strict=True)] == [26, 26]  # 13 pixels on each side


def test_a_reference_goes_along_and_can_stay_here(kit: Any) -> None:
    views, references = smooth(1), smooth(1, seed=9)
    with kit.serving(kit.painted) as server:
        run, events = collect()
        edit(editor(server), views, references=references, run=run)
        edit(editor(server, references=False), views, references=references)
    first, second = server.forms
    assert [len(form.files["image"]) for form in (first, second)] == [2, 1]
    assert "The second picture" in first.fields["prompt"] and "second picture" not in second.fields["prompt"]
    left = (256 - round(WIDTH * 256 / HEIGHT)) // 2
    assert np.abs(first.picture("image", 1)[128, left + 85] - references[0, :, 60, 40].numpy() * 255).max() < 4
    assert "1 picture of how it looks so far" in events[0].text


def test_it_says_what_leaves_before_it_leaves_and_then_how_far_it_is(kit: Any) -> None:
    run, events = collect()
    with kit.serving(kit.painted) as server:
        run.add_sink(lambda event: events.append(len(server.forms)))
        edit(editor(server), smooth(3), run=run)
    notice, sent = events[:2]
    assert isinstance(notice, Notice) and sent == 0
    size = sum(len(file) for form in server.forms for files in form.files.values() for file in files)
    for words in (
        "3 pictures of the avatar with their masks",
        "256×256",
        f"{size / 1000:.0f} kB",
        f"{server.address}/v1",
        "sunburst",
    ):
        assert words in notice.text
    assert kit.key not in notice.text
    assert [(e.step, e.total) for e in events if isinstance(e, Progress)] == [(1, 3), (2, 3), (3, 3)]


def test_requests_are_a_few_at_a_time_and_pictures_come_to_their_views(kit: Any) -> None:
    def slowly(form: Any) -> Reply:
        time.sleep(0.4 if "view 0" in form.fields["prompt"] else 0.1)
        return kit.painted(form)

    views = smooth(6)
    with kit.serving(slowly) as server:
        edited = edit(editor(server, parallel=2), views)
    assert server.most == 2 and len(server.forms) == 6
    torch.testing.assert_close(edited[:, :, 50, 35], 1 - views[:, :, 50, 35], atol=2.5 / 255, rtol=0)


def test_an_empty_mask_costs_nothing(kit: Any) -> None:
    views, masks = smooth(2), boxed(2)
    masks[0] = 0.0
    with kit.serving(kit.painted) as server:
        edited = edit(editor(server), views, masks)
        assert len(server.forms) == 1 and torch.equal(edited[0], views[0]) and not torch.equal(edited[1], views[1])
        run, events = collect()
        assert torch.equal(edit(editor(server), views, masks * 0, run), views)
    assert len(server.forms) == 1 and events == []


def test_the_same_is_painted_once_and_anything_else_anew(kit: Any, tmp_path: Path) -> None:
    views = smooth(2)
    with kit.serving(kit.painted) as server:
        first = edit(editor(server), views)
        run, events = collect()
        assert torch.equal(edit(editor(server), views, run=run), first) and len(server.forms) == 2
        assert "2 pictures from the cache, nothing is sent" in events[0].text
        assert isinstance(events[1], Progress) and events[1].step == 2
        one_new = torch.cat([views[:1], smooth(1, seed=3)])
        run, events = collect()
        assert torch.equal(edit(editor(server), one_new, run=run, step=step(2))[0], first[0])
        assert len(server.forms) == 3 and "1 picture from the cache, only the others are sent" in events[0].text
        assert "sending 1 picture of the avatar with its mask" in events[2].text
        text = KeyframeText("t0 c0", "paint the hair blue", "")
        for options, changes in (
            ({}, {"seed": 1}),
            ({}, {"step": EditStep(OPERATION, (text,))}),
            ({}, {"masks": boxed(1).roll(5, -1)}),
            ({}, {"references": smooth(1, seed=7)}),
            ({"model": "gpt-image-2"}, {}),
            ({"quality": "low"}, {}),
            ({"cache": False}, {}),
        ):
            before = len(server.forms)
            edit(editor(server, **options), views[:1], **changes)
            assert len(server.forms) == before + 1, (options, changes)
        kept = list((tmp_path / "editors").iterdir())
        assert len(kept) == 9 and all(file.suffix == ".png" for file in kept)
        assert not any(kit.key.encode() in file.read_bytes() for file in kept)
        whole = kept[0].read_bytes()
        for damaged in (b"", b"no picture", whole[:-100]):
            for file in kept:
                file.write_bytes(damaged)
            before = len(server.forms)
            assert torch.equal(edit(editor(server), views), first) and len(server.forms) == before + 2


def test_views_that_are_alike_are_sent_once(kit: Any) -> None:
    views = smooth(1).repeat(3, 1, 1, 1)
    asked = EditStep(OPERATION, (KeyframeText("t0 c0", "paint the hair red", ""),) * 3)
    with kit.serving(kit.painted) as server:
        edited = edit(editor(server), views, step=asked)
    assert len(server.forms) == 1 and torch.equal(edited[0], edited[2]) and not torch.equal(edited[0], views[0])


def test_ctrl_c_ends_it_at_once(kit: Any) -> None:
    run = Run()

    def answer(form: Any) -> Reply:
        if len(server.forms) == 2:
            run.stop()
        return Reply(b"", hang=30.0)

    with kit.serving(answer) as server:
        began = time.monotonic()
        for _ in range(2):  # the second time it is stopped before anything is sent
            with pytest.raises(KeyboardInterrupt):
                edit(editor(server), smooth(4), run=run)
        assert time.monotonic() - began < 5
        time.sleep(0.3)
        assert len(server.forms) == 2


def test_what_was_painted_before_ctrl_c_is_kept(kit: Any, tmp_path: Path) -> None:
    run = Run()
    run.add_sink(lambda event: run.stop() if isinstance(event, Progress) else None)
    views = smooth(4)
    with kit.serving(kit.painted, Reply(b"", hang=30.0)) as server:
        with pytest.raises(KeyboardInterrupt):
            edit(editor(server, parallel=1), views, run=run)
        assert len(list((tmp_path / "editors").iterdir())) == 1
        first = EditStep(OPERATION, step(4).texts[:1])
        assert not torch.equal(edit(editor(server), views[:1], step=first), views[:1])


def test_it_works_again_after_a_failure(kit: Any) -> None:
    fault = Reply({"error": {"message": "no"}}, 400)
    with kit.serving(fault, kit.painted) as server:
        part = editor(server)
        with pytest.raises(InputError, match="400"):
            edit(part, smooth(1))
        assert not torch.equal(edit(part, smooth(1)), smooth(1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("side", [128, 256, 640])
def test_other_formats_and_sizes_are_taken(kit: Any, kind: str, side: int) -> None:
    ramp = np.linspace(40, 200, side).astype(np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], np.uint8(90)), -1)
    with kit.serving(kit.answered(kit.picture_file(pixels, kind))) as server:
        edited = edit(editor(server, cache=False), smooth(1))
    rows = torch.linspace(40, 200, 256)[torch.tensor([20, 60, 100]) * 256 // HEIGHT] / 255
    torch.testing.assert_close(edited[0, 0, [20, 60, 100], 40], rows, atol=0.02, rtol=0)
    torch.testing.assert_close(edited[0, 2], torch.full((HEIGHT, WIDTH), 90 / 255), atol=0.03, rtol=0)


def test_what_is_transparent_shows_the_view(kit: Any) -> None:
    pixels = np.full((256, 256, 4), (255, 0, 0, 255), np.uint8)
    pixels[:, :128, 3] = 0
    pixels[:, 128:, 3] = 128
    views = smooth(1)
    with kit.serving(kit.answered(kit.picture_file(pixels))) as server:
        edited = edit(editor(server), views)
    torch.testing.assert_close(edited[..., :36], views[..., :36], atol=3 / 255, rtol=0)
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    torch.testing.assert_close(edited[0, ..., 44:], (128 * red + 127 * views[0, ..., 44:]) / 255, atol=3 / 255, rtol=0)


def test_a_data_url_is_no_address(kit: Any) -> None:
    inline = kit.answered(kit.picture_file(np.full((256, 256, 3), 60, np.uint8))).body["data"][0]["b64_json"]
    with kit.serving(Reply({"data": [{"url": f"data:image/png;base64,{inline}"}]})) as server:
        edited = edit(editor(server, response_format="b64_json"), smooth(1))
    torch.testing.assert_close(edited, torch.full_like(edited, 60 / 255), atol=1e-4, rtol=0)
    assert server.forms[0].fields["response_format"] == "b64_json"


def test_another_server_needs_no_key(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with kit.serving(kit.painted) as server:
        edit(editor(server), smooth(1))
    assert "sk-" not in server.forms[0].headers["authorization"]


def test_conformance(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    results = conformance.check_provider("editor", "openai-images")
    assert all(result.ok for result in results) and [result.skipped for result in results] == [False, False, True, True]
    with kit.serving(kit.painted) as server:  # a server of the test's own may be asked
        for check in conformance.checks("editor"):
            assert check(editor(server))


def test_the_provider_is_found_light_and_marked_as_network() -> None:
    from avatarkit.registry import registry

    provider = registry().get("editor", "openai-images")
    assert provider.network and provider.requires == ("openai", "PIL")
    code = (
        "import sys, avatarkit_openai_images.provider as p; list(p.avatarkit_editors()); import avatarkit_openai_images.options; "
        "print([m for m in ('torch', 'openai', 'PIL', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
