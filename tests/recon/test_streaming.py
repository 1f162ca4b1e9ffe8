"""Pictures asked for before they are needed: made once, by a thread beside, in order; errors arrive where they are taken."""

from __future__ import annotations

import threading

import pytest

from avatarkit.recon.streaming import Ahead


def test_what_was_asked_for_is_made_beside_and_taken_once() -> None:
    made: list[tuple[int, int]] = []

    def make(key: int) -> int:
        made.append((key, threading.get_ident()))
        if key < 0:
            raise OSError("gone")
        return 10 * key

    ahead = Ahead(make)
    for key in (3, 1, 3):
        ahead.ask(key)
    assert ahead.take(3) == 30 and ahead.take(1) == 10
    assert [key for key, _ in made] == [3, 1] and threading.get_ident() not in {thread for _, thread in made}
    assert ahead.take(3) == 30 and made[-1] == (3, threading.get_ident()), "nobody asked: made here"
    ahead.ask(-1)
    with pytest.raises(OSError, match="gone"):
        ahead.take(-1)
