"""Ten edits to look at: before and after, over three moments and from three directions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from avatarkit.bench.edit.cases import Case
from avatarkit.bench.edit.running import QUICK, Sitters, carried_out
from avatarkit.edit.config import EditConfig
from avatarkit.edit.pictures import before_and_after
from avatarkit.paths import explained
from avatarkit.pictures.sheet import write_picture

PROMPTS: tuple[tuple[str, str], ...] = (
    ("plain", "copper red hair and round black glasses"), ("plain", "a green beanie and red lips"),
    ("plain", "make the left half of the hair blue"), ("plain", "make her smile"), ("plain", "turn her into an elf"),
    ("worn", "remove the glasses and the earrings"), ("worn", "a bigger nose and purple brows"),
    ("bearded", "shave his beard"), ("bearded", "take off the cap"), ("bearded", "an orange beard and a gold necklace"),
)  # fmt: skip
"""Subject and prompt; one of everything that operators do."""


def write_sheets(
    folder: Path, sitters: Sitters, config: EditConfig = QUICK, report: Callable[[str], None] = lambda _: None
) -> dict[str, str]:
    """Write a JPEG for each of ``PROMPTS``; returns prompt → file, or why nothing was done."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for index, (subject, prompt) in enumerate(PROMPTS):
        report(f"sheet {index + 1} of {len(PROMPTS)}: {prompt}")
        who = sitters(subject)
        outcome = carried_out(Case(f"sheet-{index}", subject, prompt, "sheet", ""), who, config)
        if outcome.error:
            written[prompt] = outcome.error
            continue
        path = folder / f"edit-{index}-{subject}.jpg"
        write_picture(path, before_and_after(who.scene, who.scene.with_avatar(outcome.avatar)))
        written[prompt] = str(path)
    return written
