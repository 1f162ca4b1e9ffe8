"""The openai SDK against local servers that speak chat completions, well and badly."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from avatarkit_gpt4.options import Gpt4Config
from avatarkit_gpt4.refiner import Gpt4Refiner

from avatarkit.edit.plan import EditPlan, EditRequest, FinalRequest, Keyframe, LabelBox, Operation
from avatarkit.edit.planning import make_plan
from avatarkit.edit.rules import read_prompt
from avatarkit.edit.schema import plan_schema
from avatarkit.errors import AvatarkitError, EnvironmentProblem, InputError
from avatarkit.events import Notice, Run, collect
from avatarkit.testing import conformance
from avatarkit.testing.language_servers import Reply, Server, serving

KEY = "sk-test-0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
HAIR: dict[str, Any] = {
    "kind": "recolour",
    "target": "hair",
    "attributes": {"colour": "#b5451f"},
    "prompt": "copper hair",
}
GOOD = {"version": 1, "operations": [HAIR], "ambiguities": []}
REQUEST = EditRequest("copper red hair", frozenset({"hair", "skin"}))


def completion(content: str | None, finish: str = "stop", refusal: str | None = None) -> Reply:
    """A chat completion as OpenAI writes it."""
    message = {"role": "assistant", "content": content, "refusal": refusal, "annotations": []}
    return Reply(
        {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4.1-2025-04-14",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        }
    )  # fmt: skip


def fault(status: int, message: str, **headers: str) -> Reply:
    return Reply({"error": {"message": message, "type": "x", "code": None, "param": None}}, status, headers)


SOON = {"retry-after-ms": "10"}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARKIT_HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def refiner(server: Server, **options: Any) -> Gpt4Refiner:
    return Gpt4Refiner(Gpt4Config(**{"base_url": f"{server.address}/v1", "timeout": 5.0, "deadline": 20.0, **options}))


def refined(*replies: Reply, request: EditRequest = REQUEST, **options: Any) -> tuple[EditPlan, Server]:
    with serving(*replies) as server:
        return refiner(server, **options).refine(request, Run()), server


def refused(*replies: Reply, **options: Any) -> tuple[AvatarkitError, Server]:
    with serving(*replies) as server, pytest.raises(AvatarkitError) as caught:
        refiner(server, **options).refine(REQUEST, Run())
    text = str(caught.value)
    assert "\n" not in text and "\x1b" not in text and KEY not in text and len(text) < 4000
    return caught.value, server


def test_a_plan_and_what_was_sent_for_it() -> None:
    request = replace(REQUEST, images=(PNG,), groups=("nose stud",))
    plan, server = refined(completion(json.dumps(GOOD)), request=request)
    assert plan.prompt == "copper red hair" and plan.refiner == "gpt4:gpt-4.1"
    assert [(o.kind, o.target, o.attributes.colour) for o in plan.operations] == [("recolour", "hair", "#b5451f")]
    (sent,) = server.requests
    assert server.paths == ["/v1/chat/completions"] and server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert sent["response_format"]["json_schema"]["schema"] == plan_schema(("nose stud",))
    text, image = sent["messages"][1]["content"]
    assert json.loads(text["text"])["request"] == "copper red hair"
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert KEY not in json.dumps(sent)


def test_it_says_what_leaves_before_it_leaves() -> None:
    run, events = collect()
    with serving(completion(json.dumps(GOOD))) as server:
        part = refiner(server)
        run.add_sink(lambda event: events.append(len(server.requests)))
        part.refine(replace(REQUEST, images=(PNG,), history=("a hat",)), run)
        notice, count = events[:2]
        assert isinstance(notice, Notice) and count == 0
        assert (
            server.address in notice.text
            and "a picture of the avatar (0 kB)" in notice.text
            and "1 earlier prompts" in notice.text
            and "gpt-4.1" in notice.text
        )


def test_the_same_question_is_answered_from_the_cache_and_another_is_not(tmp_path: Path) -> None:
    with serving(completion(json.dumps(GOOD))) as server:
        part = refiner(server)
        first = part.refine(REQUEST, Run())
        run, events = collect()
        assert part.refine(REQUEST, run) == first and len(server.requests) == 1
        assert "nothing is sent" in events[0].text
        for other in (
            replace(REQUEST, prompt="red hair"),
            replace(REQUEST, images=(PNG,)),
            replace(REQUEST, labels=None),
        ):
            part.refine(other, Run())
        refiner(server, model="gpt-4o").refine(REQUEST, Run())
        refiner(server, temperature=0.5).refine(REQUEST, Run())
        refiner(server, cache=False).refine(REQUEST, Run())
        assert len(server.requests) == 7
    kept = list((tmp_path / "refiners").iterdir())
    assert len(kept) == 6 and not any(KEY in file.read_text() for file in kept)
    for file in kept:
        file.write_text("{damaged")
    with serving(completion(json.dumps(GOOD))) as server:
        refiner(server).refine(REQUEST, Run())
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "kind", "words", "requests"),
    [
        (fault(401, f"Incorrect API key provided: {KEY}."), EnvironmentProblem, "refused the key (401); check OPENAI_API_KEY", 1),
        (fault(403, "no access"), EnvironmentProblem, "refused the key (403)", 1),
        (fault(404, "The model `gpt-4.1` does not exist"), InputError, "has no model 'gpt-4.1'", 1),
        (fault(400, "Invalid schema\x1b[31m for\nresponse_format"), InputError, "did not take the request (400): Invalid schema [31m for response_format", 1),
        (fault(413, "too big"), InputError, "too large", 1),
        (fault(429, "Rate limit", **SOON), EnvironmentProblem, "429, 4 attempts", 4),
        (fault(500, "oops", **SOON), EnvironmentProblem, "fails (500, 4 attempts)", 4),
        (Reply(b"<html>Bad gateway</html>", 502, {"Content-Type": "text/html", **SOON}), EnvironmentProblem, "fails (502", 4),
        (Reply(b"", 307, {"Location": "http://127.0.0.1:9/"}), EnvironmentProblem, "is not followed", 1),
        (Reply(b"<html><body>Sign in</body></html>", headers={"Content-Type": "text/html"}), EnvironmentProblem, "something else than its API ('<html><body>Sign in", 1),
        (Reply({"hello": "world"}), EnvironmentProblem, "something else than its API", 1),
        (Reply([1, 2]), EnvironmentProblem, "something else than its API", 1),
        (Reply({"choices": []}), EnvironmentProblem, "something else than its API", 1),
        (Reply(b"[" * 200_000), EnvironmentProblem, "something else than its API", 1),
        (Reply(b"x" * 10_000_000), EnvironmentProblem, "more than 1 MiB", 1),
        (completion(json.dumps(GOOD), "length"), InputError, "cut off at 8000 tokens; raise the option 'max_tokens'", 1),
        (completion(None, refusal="I can't help\x07 with that"), InputError, "the model refused: I can't help with that", 1),
        (completion("", "content_filter"), InputError, "refused: its content filter", 1),
        (completion(None), EnvironmentProblem, "a message without text", 1),
        (replace(completion(json.dumps(GOOD)), cut=0.5), EnvironmentProblem, "broke off", 1),
        (completion("Sure! I would make the hair red."), InputError, "asked twice: is not JSON", 2),
        (completion("\ud800 no"), InputError, "asked twice: is not JSON", 2),
        (completion('{"operations": "none"}'), InputError, "operations: expected a list; got 'none'", 2),
        (completion("[" * 100_000), InputError, "is nested too deeply", 2),
        (completion("x" * 300_000), InputError, "is 300000 characters long", 2),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_a_servers_faults_are_one_line(reply: Reply, kind: type, words: str, requests: int) -> None:
    error, server = refused(reply)
    assert isinstance(error, kind) and error.exit_code in (2, 3), error
    assert words in str(error), error
    assert len(server.requests) == requests


def test_retry_after_is_heeded_and_a_later_answer_is_taken() -> None:
    began = time.monotonic()
    late = fault(429, "slow down", **{"Retry-After": "0.3"})
    plan, server = refined(late, fault(503, "busy", **SOON), completion(json.dumps(GOOD)))
    assert plan.operations and len(server.requests) == 3 and time.monotonic() - began > 0.3


def test_a_server_that_hangs_and_one_that_drips_are_given_up() -> None:
    began = time.monotonic()
    error, _ = refused(Reply(GOOD, hang=5.0), timeout=0.2, attempts=1)
    assert isinstance(error, EnvironmentProblem) and "sent nothing for 0.2 s (1 attempts)" in str(error)
    slow = replace(completion(json.dumps(GOOD)), drip=0.05)  # every byte within the timeout, the whole in half a minute
    error, _ = refused(slow, timeout=0.4, deadline=0.6)
    assert isinstance(error, EnvironmentProblem) and "no whole answer" in str(error) and "within 0.6" in str(error)
    waits = fault(429, "slow down", **{"Retry-After": "60"})
    error, server = refused(waits, deadline=0.4)
    assert "no whole answer" in str(error) and len(server.requests) == 1
    assert time.monotonic() - began < 5


def test_after_a_deadline_it_can_be_asked_again() -> None:
    with serving(replace(completion(json.dumps(GOOD)), hang=5.0), completion(json.dumps(GOOD))) as server:
        part = refiner(server, deadline=0.4)
        with pytest.raises(EnvironmentProblem, match="no whole answer"):
            part.refine(REQUEST, Run())
        assert len(part.refine(REQUEST, Run()).operations) == 1


def test_nobody_listens() -> None:
    with serving(Reply()) as server:
        pass
    with pytest.raises(EnvironmentProblem, match="cannot be reached"):
        refiner(server, attempts=1).refine(REQUEST, Run())


def test_a_fence_and_words_around_it_are_no_fault() -> None:
    plan, server = refined(completion(f"Here you are:\n```json\n{json.dumps(GOOD, indent=1)}\n```\nEnjoy!"))
    assert len(plan.operations) == 1 and len(server.requests) == 1


def test_a_wrong_plan_is_mended_with_the_validators_words() -> None:
    wrong = {**GOOD, "operations": [{**HAIR, "target": "hairs", "attributes": {"colour": "red", "size": 99}}]}
    plan, server = refined(completion(json.dumps(wrong)), completion(json.dumps(GOOD)))
    assert plan.operations[0].target == "hair" and len(server.requests) == 2
    roles = [message["role"] for message in server.requests[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    words = server.requests[1]["messages"][-1]["content"]
    assert "operations[0].target: unknown target 'hairs'" in words and "did you mean 'hair'?" in words
    assert "'red' is '#ff0000'" in words and "from 0.25 to 4; got 99" in words


def test_attempts_are_counted_over_the_question_and_its_repair() -> None:
    bad, busy = completion("no"), fault(503, "busy", **SOON)
    _, server = refused(busy, busy, busy, bad)
    assert len(server.requests) == 4  # the fourth was answered badly; a fifth is not made
    _, server = refused(busy, bad, attempts=2)
    assert len(server.requests) == 2, "so few as the option says"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", "read /etc/passwd"),
        ("prompt", "../../home"),
        ("negative", "https://evil.example/x"),
        ("target_caption", "$(rm -rf .)"),
        ("source_caption", "C:\\Windows"),
        ("target", "../hair"),
        ("target", "ip2p"),
        ("kind", "exec"),
        ("plugin", "gsplat"),
        ("depends_on", [99]),
        ("region", {"anchor": "/etc", "relation": "on", "frame": "subject"}),
    ],
)
def test_hostile_fields_are_refused(field: str, value: Any) -> None:
    hostile = {**GOOD, "operations": [{**HAIR, field: value}]}
    error, server = refused(completion(json.dumps(hostile)))
    assert isinstance(error, InputError) and f"operations[0].{field}" in str(error) and len(server.requests) == 2


def test_escapes_in_texts_do_not_reach_the_terminal() -> None:
    hostile = {**GOOD, "operations": [{**HAIR, "prompt": "copper\x1b]0;owned\x07 hair\u202e\n\nnow"}]}
    plan, _ = refined(completion(json.dumps(hostile)))
    assert plan.operations[0].prompt == "copper ]0;owned hair now"


def test_the_second_turn_gives_words_for_each_keyframe() -> None:
    plan = EditPlan("a red hat", (Operation("add", "hat", prompt="add a red hat"),))
    keyframes = (
        Keyframe("t0-front", 0.0, 0.0, (0.3, 0.0, 0.7, 0.3), (LabelBox("hair", (0.2, 0.1, 0.8, 0.5)),), PNG),
        Keyframe("t4-left", 0.9, 0.0, None),
    )
    rows = [
        {"keyframe": "t4-left", "instruction": "change nothing", "caption": "her left profile", "negative": ""},
        {"keyframe": "t0-front", "instruction": "a red hat above the hair", "caption": "a woman in a red hat", "negative": "blue"},
    ]  # fmt: skip
    half = completion(json.dumps({"keyframes": rows[:1]}))
    with serving(half, completion(json.dumps({"keyframes": rows}))) as server:
        texts = refiner(server).finalise(FinalRequest(plan, 0, keyframes), Run())
    assert [text.keyframe for text in texts] == ["t0-front", "t4-left"] and texts[0].negative == "blue"
    content = server.requests[0]["messages"][1]["content"]
    asked = json.loads(content[0]["text"])
    assert (
        asked["keyframes"][0]["boxes"] == {"hair": [0.2, 0.1, 0.8, 0.5]} and asked["keyframes"][1]["region"] == "hidden"
    )
    assert len(content) == 2 and "'t0-front' is missing" in server.requests[1]["messages"][-1]["content"]


def test_other_servers_need_no_key_and_less_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    plan, server = refined(completion(json.dumps(GOOD)), structured="object", temperature=-1.0, model="llama3.2-vision")
    sent = server.requests[0]
    assert plan.operations and sent["response_format"] == {"type": "json_object"} and "temperature" not in sent
    assert "max_tokens" in sent and "additionalProperties" in sent["messages"][0]["content"]
    assert "sk-" not in server.headers[0]["authorization"]


def test_without_a_key_or_with_wrong_options_it_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for options, words in (
        ({"base_url": "ftp://x"}, "is no URL"),
        ({"base_url": "http://me:secret@localhost/v1"}, "holds a user name or password"),
        ({"base_url": "http://192.0.2.1/v1"}, "the key in OPENAI_API_KEY would go to .* unencrypted"),
        ({"attempts": 5}, "expected 1 to 4"),
        ({"timeout": float("nan")}, "'timeout'"),
        ({"structured": "xml"}, "option 'structured' of 'gpt4' is 'xml'; expected schema"),
    ):
        with pytest.raises(InputError, match=words):
            Gpt4Refiner(Gpt4Config(**options))  # type: ignore[arg-type]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a\nb")
    with pytest.raises(EnvironmentProblem, match="characters that no key has"):
        Gpt4Refiner(Gpt4Config())
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(EnvironmentProblem, match="set OPENAI_API_KEY"):
        Gpt4Refiner(Gpt4Config())


def test_fallback_to_the_rules_only_when_asked() -> None:
    with serving(fault(401, "no")) as server:
        options = {"base_url": f"{server.address}/v1"}
        with pytest.raises(EnvironmentProblem, match="401"):
            make_plan(REQUEST, Run(), refiner="gpt4", options=options)
        run, events = collect()
        plan = make_plan(REQUEST, run, refiner="gpt4", options=options, fallback=True)
    assert plan == read_prompt(REQUEST)
    assert any(event.level == "warning" and "planned by the rules instead" in event.text for event in events)


def test_the_provider_is_found_light_and_marked_as_network() -> None:
    from avatarkit.registry import registry

    provider = registry().get("refiner", "gpt4")
    assert provider.network and provider.requires == ("openai",)
    code = "import sys, avatarkit_gpt4.provider as p; list(p.avatarkit_refiners()); print([m for m in ('torch', 'openai', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_conformance() -> None:
    results = conformance.check_provider("refiner", "gpt4")
    assert all(result.ok for result in results) and any(
        result.detail.startswith("refine(request, run)") for result in results
    )
