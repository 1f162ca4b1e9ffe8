"""What servers and people do wrong, in one line each."""

from __future__ import annotations

import base64
import io
import json
import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from avatarkit_openai_images.editor import OpenaiImagesEditor
from avatarkit_openai_images.options import OpenaiImagesConfig
from PIL import Image

from avatarkit.contracts import EditStep
from avatarkit.edit.plan import KeyframeText, Operation
from avatarkit.errors import AvatarkitError, EnvironmentProblem, InputError
from avatarkit.events import Run
from avatarkit.testing.language_servers import Reply
from avatarkit.testing.scenes import cameras

KEY = "sk-test-0123456789abcdef"
SOON = {"retry-after-ms": "10"}
TEXT = KeyframeText("t0 c0", "paint the hair red", "")
OPERATION = Operation("restyle", "hair")


def fault(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    return Reply({"error": {"message": message, "type": "x", "code": code, "param": None}}, status, headers)


def picture(*size: int, mode: str = "RGB", kind: str = "PNG") -> str:
    file = io.BytesIO()
    Image.new(mode, size).save(file, format=kind)
    return base64.b64encode(file.getvalue()).decode()


def data(**row: Any) -> Reply:
    return Reply({"created": 1, "data": [row]})


def editor(address: str, **options: Any) -> OpenaiImagesEditor:
    chosen = {"base_url": f"{address}/v1", "size": 256, "timeout": 5.0, "deadline": 20.0, **options}
    return OpenaiImagesEditor(OpenaiImagesConfig(**chosen))


def edit(part: OpenaiImagesEditor, count: int = 1, **changes: Any) -> torch.Tensor:
    views, masks = torch.full((count, 3, 48, 64), 0.5), torch.ones(count, 1, 48, 64)
    chosen = {
        "views": views,
        "masks": masks,
        "step": EditStep(OPERATION, (TEXT,) * count),
        "references": None,
        **changes,
    }
    return part.edit(
        chosen["views"], chosen["masks"], chosen["step"], references=chosen["references"],
        cameras=cameras(count, 48, 64), correspondences=None, seed=0, run=Run(),
    )  # fmt: skip


def refused(kit: Any, *answers: Any, **options: Any) -> tuple[AvatarkitError, Any]:
    with kit.serving(*answers) as server, pytest.raises(AvatarkitError) as caught:
        edit(editor(server.address, **options))
    text = str(caught.value)
    assert "\n" not in text and "\x1b" not in text and KEY not in text and len(text) < 1000 and "--llm" not in text
    return caught.value, server


GOOD = data(b64_json=picture(256, 256))


@pytest.mark.parametrize(
    ("reply", "kind", "words", "requests"),
    [
        (fault(401, f"Incorrect API key provided: {KEY}."), EnvironmentProblem, "refused the key (401); check OPENAI_API_KEY", 1),
        (fault(403, "Your organization must be verified"), EnvironmentProblem, "refused the key (403); check OPENAI_API_KEY: Your organization", 1),
        (fault(404, "The model does not exist"), InputError, "has no model 'gpt-image-2.5-sunburst'", 1),
        (fault(400, "Invalid\x1b[31m size\nof mask"), InputError, "did not take the request (400): Invalid [31m size of mask", 1),
        (fault(400, "Your request was rejected by the safety system.", "moderation_blocked"), InputError,
         "refused to paint this (moderation_blocked): Your request was rejected by the safety system.; word the prompt otherwise", 1),
        (fault(400, "no", "content_policy_violation"), InputError, "refused to paint this (content_policy_violation)", 1),
        (fault(413, "too big"), InputError, "too large", 1),
        (fault(429, "Rate limit", **SOON), EnvironmentProblem, "429, 4 attempts", 4),
        (fault(500, "oops", **SOON), EnvironmentProblem, "fails (500, 4 attempts); try again later, or choose another --editor: oops", 4),
        (Reply(b"<html>Bad gateway</html>", 502, {"Content-Type": "text/html", **SOON}), EnvironmentProblem, "fails (502", 4),
        (Reply(b"", 307, {"Location": "http://127.0.0.1:9/"}), EnvironmentProblem, "is not followed", 1),
        (Reply(b"<html><body>Sign in</body></html>", headers={"Content-Type": "text/html"}), EnvironmentProblem, "something else than its API ('<html><body>Sign in", 1),
        (Reply({"hello": "world"}), EnvironmentProblem, "something else than its API", 1),
        (Reply([1, 2]), EnvironmentProblem, "something else than its API", 1),
        (Reply({"data": ["x"]}), EnvironmentProblem, "something else than its API", 1),
        (Reply({"data": None}), EnvironmentProblem, "something else than its API", 1),
        (Reply(b"[" * 200_000), EnvironmentProblem, "something else than its API", 1),
        (Reply(b"x" * (65 << 20)), EnvironmentProblem, "more than 64 MiB for one picture", 1),
        (Reply({"data": []}), EnvironmentProblem, "sent no picture; try again later", 1),
        (data(b64_json=None), EnvironmentProblem, "a picture without data", 1),
        (data(b64_json=7), EnvironmentProblem, "a picture without data", 1),
        (data(b64_json="!!! no base64 !!!"), EnvironmentProblem, "a picture that is no base64", 1),
        (data(b64_json="Ünïcödé"), EnvironmentProblem, "a picture that is no base64", 1),
        (data(url="https://evil.example/picture.png"), InputError, "nothing is fetched from addresses in answers; set the option 'response_format'", 1),
        (data(url="file:///etc/passwd"), InputError, "sent an address instead of a picture", 1),
        (data(url="data:text/html;base64,aGk="), InputError, "sent an address instead of a picture", 1),
        (data(b64_json=base64.b64encode(b"hello, no picture").decode()), EnvironmentProblem, "sent no PNG, JPEG or WEBP picture that can be read", 1),
        (data(b64_json=picture(256, 256, kind="BMP")), EnvironmentProblem, "sent no PNG, JPEG or WEBP picture", 1),
        (data(b64_json=base64.b64encode(base64.b64decode(picture(256, 256))[:-40]).decode()), EnvironmentProblem, "sent no PNG, JPEG or WEBP picture", 1),
        (data(b64_json=picture(5000, 5000, mode="1")), EnvironmentProblem, "sent a picture of 5000×5000 pixels;", 1),
        (data(b64_json=picture(10_000, 10_000, mode="1")), EnvironmentProblem, "sent a picture of 10000×10000 pixels;", 1),
        (data(b64_json=picture(20_000, 20_000, mode="1")), EnvironmentProblem, "sent a picture of a gigantic size", 1),
        (data(b64_json=picture(384, 256)), EnvironmentProblem, "sent a picture of 384×256 pixels, which is no square", 1),
        (replace(GOOD, cut=0.5), EnvironmentProblem, "broke off", 1),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_a_servers_faults_are_one_line(kit: Any, reply: Reply, kind: type, words: str, requests: int) -> None:
    error, server = refused(kit, reply)
    assert isinstance(error, kind) and error.exit_code in (2, 3), error
    assert words in str(error), error
    assert len(server.forms) == requests


def test_nothing_bad_is_kept(kit: Any, tmp_path: Any) -> None:
    refused(kit, data(b64_json=picture(384, 256)))
    assert not (tmp_path / "editors").exists()


def test_retry_after_is_heeded_and_a_later_answer_is_taken(kit: Any) -> None:
    began = time.monotonic()
    with kit.serving(fault(429, "slow down", **{"Retry-After": "0.3"}), fault(503, "busy", **SOON), GOOD) as server:
        edited = edit(editor(server.address))
    assert len(server.forms) == 3 and float(edited.max()) == 0 and time.monotonic() - began > 0.3
    assert all(form.files == server.forms[0].files for form in server.forms)


def test_attempts_are_counted_for_each_view(kit: Any) -> None:
    with kit.serving(fault(500, "oops", **SOON)) as server, pytest.raises(EnvironmentProblem, match="2 attempts"):
        edit(editor(server.address, attempts=2, parallel=1), 3, views=torch.rand(3, 3, 48, 64))
    assert len(server.forms) == 2  # the first view's failure ends all


def test_a_server_that_hangs_and_one_that_drips_are_given_up(kit: Any) -> None:
    began = time.monotonic()
    error, _ = refused(kit, Reply(b"", hang=5.0), timeout=0.2, attempts=1)
    assert isinstance(error, EnvironmentProblem) and "sent nothing for 0.2 s (1 attempts)" in str(error)
    slow = replace(GOOD, drip=0.02)  # every byte within the timeout, the whole in half a minute
    error, _ = refused(kit, slow, timeout=0.4, deadline=0.6)
    assert (
        isinstance(error, EnvironmentProblem)
        and "1 picture of 1 did not come" in str(error)
        and "within 0.6" in str(error)
    )
    error, server = refused(kit, fault(429, "slow down", **{"Retry-After": "60"}), deadline=0.4)
    assert "did not come" in str(error) and "raise the option 'deadline'" in str(error) and len(server.forms) == 1
    assert time.monotonic() - began < 5


def test_nobody_listens(kit: Any) -> None:
    with kit.serving(GOOD) as server:
        pass
    with pytest.raises(EnvironmentProblem, match="cannot be reached"):
        edit(editor(server.address, attempts=1))


def test_the_key_is_in_no_file_and_no_traceback(kit: Any, tmp_path: Any) -> None:
    error, _ = refused(kit, fault(401, f"Incorrect API key provided: {KEY}. Header: Bearer {KEY}"))
    assert KEY not in repr(error) and "Bearer sk" not in str(error)
    with kit.serving(GOOD) as server:
        edit(editor(server.address))
    assert not any(KEY.encode() in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert KEY not in json.dumps([form.fields for form in server.forms])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base_url": "ftp://x"}, "is no URL"),
        ({"base_url": "http://me:secret@localhost/v1"}, "environment only"),
        ({"base_url": "http://192.0.2.1/v1"}, "pictures would go to http://192.0.2.1/v1 unencrypted; use https"),
        ({"attempts": 5}, "'attempts' of 'openai-images' is 5; expected 1 to 4"),
        ({"timeout": float("nan")}, "'timeout'"),
        ({"deadline": 0.0}, "'deadline'"),
        ({"parallel": 0}, "'parallel'"),
        ({"size": 4096}, "'size'"),
        ({"size": 1000}, "'size' of 'openai-images' is 1000; expected a multiple of 16"),
        ({"grow": 0.5}, "'grow'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        OpenaiImagesEditor(OpenaiImagesConfig(**options))


def test_http_without_a_key_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(InputError, match="unencrypted"):
        OpenaiImagesEditor(OpenaiImagesConfig(base_url="http://192.0.2.1/v1"))
    with pytest.raises(EnvironmentProblem, match="set OPENAI_API_KEY"):
        OpenaiImagesEditor(OpenaiImagesConfig())
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a\nb")
    with pytest.raises(EnvironmentProblem, match="characters that no key has"):
        OpenaiImagesEditor(OpenaiImagesConfig())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"views": torch.zeros(1, 4, 48, 64)}, r"views have the shape \(1, 4, 48, 64\); expected \(B, 3, H, W\)"),
        ({"masks": torch.zeros(1, 1, 48, 60)}, r"masks have the shape .*; expected \(1, 1, 48, 64\), as the views"),
        ({"references": torch.zeros(2, 3, 48, 64)}, "references have the shape"),
        ({"step": EditStep(OPERATION, ())}, "has words for 0 views; expected 1"),
        ({"step": EditStep(OPERATION, (KeyframeText("t3 c1", "", ""),))}, "no words for 't3 c1'"),
        ({"views": torch.full((1, 3, 48, 64), float("nan"))}, "views hold values that are not finite"),
    ],
)
def test_what_does_not_fit_is_refused_and_not_sent(kit: Any, changes: dict[str, Any], words: str) -> None:
    with kit.serving(GOOD) as server, pytest.raises(InputError, match=words):
        edit(editor(server.address), **changes)
    assert server.forms == []


def test_views_of_any_shape_come_back_in_their_own(kit: Any) -> None:
    for height, width in ((1, 1), (300, 3), (3, 300), (700, 500)):
        with kit.serving(data(b64_json=picture(256, 256))) as server:
            changes = {"views": torch.rand(1, 3, height, width), "masks": torch.ones(1, 1, height, width)}
            edited = edit(editor(server.address), **changes)
        assert edited.shape == (1, 3, height, width) and float(edited.abs().max()) == 0
        assert server.forms[0].picture("image").shape == (256, 256, 3)
        assert server.forms[0].picture("mask").shape == (256, 256, 4)
