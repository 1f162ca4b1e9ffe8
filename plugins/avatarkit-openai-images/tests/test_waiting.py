"""Jobs in threads: order, errors, and nothing begun after one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from avatarkit_openai_images.waiting import finish

from avatarkit.errors import EnvironmentProblem, InputError
from avatarkit.events import Run


def done(jobs: list[Callable[[threading.Event], Any]], **changes: Any) -> tuple[list[tuple[int, Any]], list[str]]:
    results: list[tuple[int, Any]] = []
    dropped: list[str] = []
    chosen = {
        "parallel": 2, "deadline": 10.0, "run": Run(), "drop": lambda: dropped.append("dropped"),
        "late": lambda seconds: EnvironmentProblem(f"late: {seconds:.1f}"), **changes,
    }  # fmt: skip
    try:
        finish(jobs, chosen.pop("each", lambda index, result: results.append((index, result))), **chosen)
    finally:
        assert dropped == ["dropped"]
    return results, dropped


def test_every_result_comes_with_its_index() -> None:
    results, _ = done([lambda _, k=k: k * k for k in range(20)])
    assert sorted(results) == [(k, k * k) for k in range(20)]
    assert done([])[0] == []


def test_the_second_may_overtake_the_first() -> None:
    second = threading.Event()

    def first(_: threading.Event) -> str:
        assert second.wait(5)
        return "first"

    results, _ = done([first, lambda _: second.set() or "second"])
    assert results == [(1, "second"), (0, "first")]


def test_after_an_error_nothing_is_begun() -> None:
    begun: list[int] = []

    def job(k: int) -> Callable[[threading.Event], None]:
        def work(_: threading.Event) -> None:
            begun.append(k)
            if k == 2:
                raise InputError("the third")

        return work

    for _ in range(20):
        begun.clear()
        with pytest.raises(InputError, match="the third"):
            done([job(k) for k in range(6)], parallel=1)
        assert begun == [0, 1, 2]


def test_an_error_of_the_receiver_ends_it() -> None:
    def each(index: int, result: Any) -> None:
        raise ValueError(f"cannot use {index}")

    with pytest.raises(ValueError, match="cannot use 0"):
        done([lambda _: 1, lambda stopped: stopped.wait(5)], each=each, parallel=1)


def test_the_clock_and_the_run_end_it_whatever_the_jobs_do() -> None:
    never = threading.Event()
    with pytest.raises(EnvironmentProblem, match=r"late: 0\.[1-9]"):
        done([lambda _: never.wait(30)], deadline=0.2)
    run = Run()

    def stops(_: threading.Event) -> None:
        run.stop()
        never.wait(30)

    with pytest.raises(KeyboardInterrupt):
        done([stops], run=run)
    never.set()


def test_a_job_hears_that_it_should_stop() -> None:
    heard = threading.Event()

    def listens(stopped: threading.Event) -> None:
        if stopped.wait(10):
            heard.set()

    def fails(_: threading.Event) -> None:
        raise InputError("no")

    with pytest.raises(InputError):
        done([listens, fails])
    assert heard.wait(5)
