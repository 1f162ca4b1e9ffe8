"""The prompts of the bench: enough, different, each with a plan and a truth that differs from what is there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from avatarkit.bench.edit.parts import KINDS
from avatarkit.bench.edit.probes import ON_AVATAR, PROBES
from avatarkit.bench.edit.subjects import SUBJECTS
from avatarkit.edit.plan import EditRequest
from avatarkit.edit.planning import make_plan
from avatarkit.events import Run
from avatarkit.labels import LABELS

CASES = [case for make in KINDS.values() for case in make()]
WORN = {
    "plain": set(), "worn": {"glasses", "earring", "necklace"}, "bearded": {"hat", "beard", "moustache"},
}  # fmt: skip


def test_names_are_unique_and_tables_are_large_enough() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    for kind, make in KINDS.items():
        table = make()
        assert len(table) >= (50 if kind in ("attribute", "spatial") else 20), kind
        assert len({(case.subject, case.prompt) for case in table}) == len(table), kind
        assert {case.kind for case in table} == {kind}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_prompt_becomes_a_plan_on_its_subject(case) -> None:  # type: ignore[no-untyped-def]
    labels = (set(LABELS[1:]) - {"glasses", "hat", "earring", "necklace"}) | WORN[case.subject]
    plan = make_plan(EditRequest(case.prompt, frozenset(labels)), Run())
    assert plan.operations and case.probe in {**PROBES, **ON_AVATAR}
    assert replace(SUBJECTS[case.subject], **case.change) != SUBJECTS[case.subject] or not case.change
