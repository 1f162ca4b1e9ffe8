#!/usr/bin/env python3
"""What many heads cost: time, storage, network and money of N heads from the figures of one.

    python benchmarks/scaling.py                                                     # the formulas, with dashes for what is not given
    python benchmarks/scaling.py --seconds S --capture-gb C --cache-gb F --run-gb R --avatar-gb A --gpus 64 --gpu-hour PRICE

The figures of one head are measured: SECONDS a task has its GPU (``seconds`` in the batch's report), GB by ``du``.  Prices are yours.
Nothing is filled in that was not given: a row whose inputs are missing is a dash.  Writes a Markdown table; ``--json`` the numbers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

Inputs = dict[str, float | None]
Rows = list[tuple[str, str, str, float | None]]  # what, unit, formula, value

# Name, default (None: measured or yours, no default), what it is.
ASSUMED: tuple[tuple[str, float | None, str], ...] = (
    ("heads", 100_000, "heads"),
    ("gpus", 64, "GPUs; one task has one"),
    ("gpus_a_node", 8, "GPUs of a node, which share its network"),
    ("busy", 0.9, "part of the time in which a GPU has a task: start of Python, queue, last tasks of all"),
    ("repeated", 0.02, "part of the work that is done twice: tasks that died since their last checkpoint"),
    ("seconds", None, "seconds a task has its GPU: read, track, train, label, evaluate, report"),
    ("capture_gb", None, "GB of one capture, read once over the network"),
    ("cache_gb", None, "GB of its decoded frames, on the node's own disk while the task runs"),
    ("run_gb", None, "GB of one run folder that stays: two checkpoints, log, report"),
    ("avatar_gb", None, "GB of one avatar"),
    ("months", 1.0, "months that everything is kept"),
    ("gpu_hour", None, "price of a GPU for an hour"),
    ("gb_month", None, "price of a GB of storage for a month"),
    ("gb_moved", None, "price of a GB over the network"),
)  # fmt: skip


def projected(given: Inputs) -> Rows:
    """Each row's value is None where one of its inputs is."""
    memory = dict(given)

    def row(what: str, unit: str, formula: str, name: str, value: Callable[..., float], *inputs: str) -> None:
        numbers = [memory[key] for key in inputs]
        memory[name] = None if any(number is None for number in numbers) else value(*numbers)
        rows.append((what, unit, formula, memory[name]))

    rows: Rows = []
    row("GPU hours", "h", "heads · seconds · (1 + repeated) / 3600", "gpu_hours",
        lambda n, s, again: n * s * (1 + again) / 3600, "heads", "seconds", "repeated")  # fmt: skip
    row("time from first to last", "days", "GPU hours / (gpus · busy · 24)", "days",
        lambda h, g, busy: h / (g * busy * 24), "gpu_hours", "gpus", "busy")  # fmt: skip
    row("captures", "TB", "heads · capture_gb / 1000", "captures_tb", lambda n, c: n * c / 1000, "heads", "capture_gb")
    row("avatars and run folders", "TB", "heads · (avatar_gb + run_gb) / 1000", "results_tb",
        lambda n, a, r: n * (a + r) / 1000, "heads", "avatar_gb", "run_gb")  # fmt: skip
    row("disk of a node", "GB", "gpus_a_node · cache_gb", "node_gb", lambda g, c: g * c, "gpus_a_node", "cache_gb")
    row("read, all nodes", "GB/s", "gpus · busy · capture_gb / seconds", "read",
        lambda g, busy, c, s: g * busy * c / s, "gpus", "busy", "capture_gb", "seconds")  # fmt: skip
    row("read, one node", "Gbit/s", "8 · gpus_a_node · busy · capture_gb / seconds", "node_read",
        lambda g, busy, c, s: 8 * g * busy * c / s, "gpus_a_node", "busy", "capture_gb", "seconds")  # fmt: skip
    row("written, all nodes", "GB/s", "gpus · busy · (avatar_gb + run_gb) / seconds", "written",
        lambda g, busy, a, r, s: g * busy * (a + r) / s, "gpus", "busy", "avatar_gb", "run_gb", "seconds")  # fmt: skip
    row("GPUs", "money", "GPU hours / busy · gpu_hour", "for_gpus",
        lambda h, busy, p: h / busy * p, "gpu_hours", "busy", "gpu_hour")  # fmt: skip
    row("storage", "money", "(captures + results) · 1000 · months · gb_month", "for_storage",
        lambda c, r, m, p: (c + r) * 1000 * m * p, "captures_tb", "results_tb", "months", "gb_month")  # fmt: skip
    row("network", "money", "(captures · (1 + repeated) + results) · 1000 · gb_moved", "for_network",
        lambda c, again, r, p: (c * (1 + again) + r) * 1000 * p, "captures_tb", "repeated", "results_tb", "gb_moved")  # fmt: skip
    row("all", "money", "GPUs + storage + network", "money",
        lambda a, b, c: a + b + c, "for_gpus", "for_storage", "for_network")  # fmt: skip
    row("one head", "money", "all / heads", "each", lambda m, n: m / n, "money", "heads")
    return rows


def figure(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def table(given: Inputs, rows: Rows) -> str:
    lines = ["| assumption | value | what it is |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {figure(given[name])} | {what} |" for name, _, what in ASSUMED]
    lines += ["", "| of all heads | formula | value |", "| --- | --- | --- |"]
    lines += [f"| {what}, {unit} | {formula} | {figure(value)} |" for what, unit, formula, value in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default, what in ASSUMED:
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=default, help=what)
    parser.add_argument("--json", action="store_true", help="numbers instead of the table")
    arguments = vars(parser.parse_args())
    as_json = arguments.pop("json")
    for name, value in arguments.items():
        if value is not None and (
            value < 0 or (value == 0 and name in ("heads", "gpus", "gpus_a_node", "busy", "seconds"))
        ):
            parser.error(f"--{name.replace('_', '-')} {value:g}: expected a positive number")
    rows = projected(arguments)
    numbers = {f"{what}, {unit}": value for what, unit, _, value in rows}
    print(json.dumps({"assumed": arguments, "projected": numbers}, indent=1) if as_json else table(arguments, rows))


if __name__ == "__main__":
    main()
