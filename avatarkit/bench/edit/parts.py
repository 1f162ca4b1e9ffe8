"""The parts of the bench, by the names that ``--only`` takes, and the run over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatarkit.bench.edit import ablation, faults, mapping, oracle
from avatarkit.bench.edit.cases import Case, attribute_cases, spatial_cases
from avatarkit.bench.edit.kinds import identity_cases, mixed_cases, negation_cases, number_cases, style_cases
from avatarkit.bench.edit.running import QUICK, Ledger, Sitters, run_cases, with_settings
from avatarkit.bench.edit.summary import AVERAGED, failures, learned_table, summary, table
from avatarkit.contracts import EditMetric
from avatarkit.edit.config import EditConfig
from avatarkit.errors import unknown_name
from avatarkit.paths import explained

if TYPE_CHECKING:
    from rich.table import Table

Report = Callable[[str], None]
Part = Callable[[Sitters, Ledger, EditConfig, Report], Any]

KINDS: dict[str, Callable[[], list[Case]]] = {
    "attribute": attribute_cases, "spatial": spatial_cases, "negation": negation_cases, "number": number_cases,
    "style": style_cases, "identity": identity_cases, "mixed": mixed_cases,
}  # fmt: skip
"""Tables of cases; a success rate each."""
PARTS: dict[str, Part] = {
    "oracle": oracle.part,
    "mapping": mapping.part,
    "faults": faults.part,
    "ablation": ablation.part,
}
"""What is measured besides; each returns what stands under its name in the result."""
RESULTS = ("oracle", "mapping", "faults", "ablation")
"""Names of parts in the order of the result."""


def run(
    folder: Path, *, seed: int = 0, only: Sequence[str] = (), config: EditConfig = QUICK, report: Report = lambda _: None,
    metrics: Mapping[str, EditMetric] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Make the sitters in ``folder`` (once), carry out what its ledger does not have yet, and sum up.

    only: names of kinds, parts and cases; everything where there are none; metrics: learned judges of the kinds' cases.  Raises
    InputError for a name that is none of them.
    """
    cases = {kind: make() for kind, make in KINDS.items()}
    named = {case.name for every in cases.values() for case in every}
    for name in only:
        if name not in KINDS and name not in PARTS and name not in named:
            raise unknown_name("part of the bench", name, (*KINDS, *PARTS))
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        ledger = Ledger(folder / f"ledger-{seed}.jsonl")
    sitters = Sitters(folder, seed, report)
    config = with_settings(config, seed=seed)
    results: dict[str, Any] = {}
    for kind, every in cases.items():
        chosen = [case for case in every if not only or kind in only or case.name in only]
        if chosen:
            results[kind] = run_cases(chosen, sitters, ledger, config, report=report, metrics=metrics)
    for name, part in PARTS.items():
        if not only or name in only:
            results[name] = part(sitters, ledger, config, report)
    return summary(results, KINDS, RESULTS, {"seed": seed})


def tables(result: Mapping[str, Any]) -> list[Table]:
    """What was measured, for the eye; nothing of what was not."""
    seed = f"seed {result['seed']}"
    shown: list[Table | None] = []
    if any(result.get(kind) is not None for kind in KINDS):
        shown += [table(result, KINDS, f"edits that do what was asked, {seed}"), learned_table(result)]
    if result.get("oracle") is not None:
        shown.append(table(result["oracle"], AVERAGED, f"through the oracle, {seed}"))
    for name, drawn in (("mapping", mapping.table), ("faults", faults.table), ("ablation", ablation.table)):
        if result.get(name):
            shown.append(drawn(result[name]))
    return [one for one in (*shown, failures(result)) if one is not None]
