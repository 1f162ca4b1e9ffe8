"""What each part of the image editor's way is worth: the oracle's cases with one part left out at a time.

The editor here is the oracle, but it takes left and right as they are in the picture unless it is told where in the picture the region lies,
which is what the second turn tells it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from avatarkit.bench.edit.oracle import BY_PICTURES, Oracle, OracleCase, Partial, by_pictures, cell, oracle_cases
from avatarkit.bench.edit.running import Ledger, Sitters, run_cases
from avatarkit.bench.edit.subjects import Sitter, map_key, true_labels
from avatarkit.bench.edit.summary import rate
from avatarkit.bench.labels import GivenMaps
from avatarkit.cameras import Cameras
from avatarkit.contracts import Correspondences, EditStep
from avatarkit.edit.captions import with_texts
from avatarkit.edit.config import EditConfig
from avatarkit.edit.mapping_masks import MappingMasks
from avatarkit.edit.painting import Painter, Refine
from avatarkit.edit.plan import FinalRequest, KeyframeText, Operation
from avatarkit.edit.scene import Place, Scene
from avatarkit.errors import AvatarkitError
from avatarkit.events import Run
from avatarkit.recon.prepare import read_known
from avatarkit.registry import registry

if TYPE_CHECKING:
    from rich.table import Table

GAN = "hinge-gan"
TOLD = re.compile(r"(at the (upper |lower )?(left|right)|in the (upper |lower )?middle) of the picture")
SIDED = re.compile(r"\b(left|right)\b")
OTHER = {"l": "r", "r": "l"}
SECONDS = 3600.0  # for a mapping net: its steps are what ends it


@dataclass(frozen=True)
class Variant:
    """What is left out.  settings: of ``EditConfig``; masks: "net", "labels" or "static"; gan, second_turn: whether they are there."""

    name: str
    masks: str = "net"
    gan: bool = True
    second_turn: bool = True
    settings: tuple[tuple[str, float], ...] = ()


VARIANTS = (
    Variant("everything"),
    Variant("static mask", masks="static"),
    Variant("no mapping net", masks="labels"),
    Variant("no L_gs", settings=(("weight_gs", 0.0),)),
    Variant("no GAN", gan=False),
    Variant("no second turn", second_turn=False),
    Variant("λ = 0.5", settings=(("rgb_lambda", 0.5),)),
    Variant("λ = 0.9", settings=(("rgb_lambda", 0.9),)),
)
"""λ is 0.7 but in the last two."""


class Literal(Oracle):
    """The oracle, taking sides literally: the picture's, unless the instruction says where in the picture."""

    def __init__(self, who: Sitter, change: dict[str, Any], meant: Partial) -> None:
        super().__init__(who, change, meant)
        only = tuple(OTHER[name[0]] + name[1:] if name[1:2] == "_" else name for name in meant.only)
        self.mirrored = Oracle(who, _mirrored(change), Partial(only, -meant.side))

    def edit(
        self, views: Tensor, masks: Tensor, step: EditStep, *, references: Tensor | None, cameras: Cameras,
        correspondences: Correspondences | None, seed: int, run: Run,
    ) -> Tensor:  # fmt: skip
        """(B, 3, H, W): of the side that the words name."""
        return torch.stack([
            (self.mirrored if misread(step.operation, text.instruction) else self).picture(*cell(text.keyframe)) for text in step.texts
        ])  # fmt: skip


def misread(operation: Operation, instruction: str) -> bool:
    """Whether who takes the words literally paints the other side: the subject's left is on the picture's right."""
    if TOLD.search(instruction) or not SIDED.search(instruction):
        return False
    return not re.search(r"picture|viewer", instruction) and (
        operation.region is None or operation.region.frame == "subject"
    )


def _mirrored(change: dict[str, Any]) -> dict[str, Any]:
    side = {"left": "right", "right": "left"}.get(change.get("earring_side", ""))
    return change if side is None else {**change, "earring_side": side}


class OneTurn:
    """The rules without the second turn: every keyframe has the plan's own words."""

    def __init__(self, refiner: Any) -> None:
        self.refiner = refiner

    def refine(self, request: Any, run: Run) -> Any:
        return self.refiner.refine(request, run)

    def finalise(self, request: FinalRequest, run: Run) -> tuple[KeyframeText, ...]:
        """The instruction of the operation for each keyframe."""
        operation = with_texts(request.plan.operations[request.operation])
        return tuple(
            KeyframeText(k.name, operation.prompt, operation.target_caption, operation.negative)
            for k in request.keyframes
        )


def static_masks(scene: Scene, kinds: tuple[str, ...], operation: Operation, weights: Tensor) -> Refine:
    """``Painter.masks``: the mask of the first place for all places."""
    first: list[Tensor] = []

    def refine(place: Place, mask: Tensor) -> Tensor:
        if not first:
            first.append(mask)
        return first[0] if first[0].shape == mask.shape else mask

    return refine


def given_maps(folder: Path, who: Sitter, seed: int) -> GivenMaps:
    """A segmenter that knows the true maps of a sitter's training frames."""
    capture = folder / f"capture-{who.name}-{seed}"
    sequence, _ = read_known(capture, None, Run(seed=seed))
    return GivenMaps(
        {map_key(sequence, i): true_labels(capture, sequence, i) for i in sequence.capture.indices("train")}
    )


def painter_of(variant: Variant, chosen: OracleCase, who: Sitter, config: EditConfig, folder: Path) -> Painter:
    """What paints a case under a variant."""
    refiner = registry().create("refiner", "rules")
    masks: Any = None
    if variant.masks == "static":
        masks = static_masks
    elif variant.masks == "net":
        masks = MappingMasks(
            lambda: given_maps(folder, who, config.seed), "true maps", SECONDS, config.seed, Run(seed=config.seed)
        )
    return Painter(
        Literal(who, chosen.case.change, chosen.partial), "Literal", config,
        refiner if variant.second_turn else OneTurn(refiner), discriminator() if variant.gan else None, masks=masks,
    )  # fmt: skip


def discriminator() -> Any:
    """avatarkit-hinge-gan's.  Raises an AvatarkitError where it is not installed: without it "everything" would be "no GAN"."""
    return registry().create("discriminator", GAN)


def run(
    folder: Path, sitters: Sitters, ledger: Ledger, *, config: EditConfig = BY_PICTURES, variants: Sequence[str] = (),
    cases: Sequence[str] = (), report: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """A row for every case and variant: the case's row with "variant".  variants, cases: names, all where empty.

    Raises an AvatarkitError before anything is done where a variant needs the discriminator and there is none.
    """
    rows = []
    named = [variant for variant in VARIANTS if not variants or variant.name in variants]
    if any(variant.gan for variant in named):
        discriminator()
    for chosen in oracle_cases():  # a bench that is stopped has compared all variants on the same cases
        if cases and chosen.case.name not in cases:
            continue
        for variant in named:
            settings = replace(config, **dict(variant.settings))  # type: ignore[arg-type]
            case = replace(chosen.case, name=f"ablation-{variant.name.replace(' ', '-')}-{chosen.case.name}")
            found = run_cases(
                [case], sitters, ledger, settings, report=report,
                painter=lambda c, who, s, v=variant, o=chosen: painter_of(v, o, who, s, folder),  # type: ignore[misc]
            )  # fmt: skip
            rows.append(found[0] | {"variant": variant.name})
    return rows


def part(sitters: Sitters, ledger: Ledger, config: EditConfig, report: Callable[[str], None]) -> list[dict[str, Any]]:
    """For ``parts.PARTS``: a row a variant; none, and a word why, where there is no discriminator."""
    try:
        discriminator()
    except AvatarkitError as error:
        report(f"the ablation is left out: {error}")
        return []
    return summary(run(ledger.path.parent, sitters, ledger, config=by_pictures(config), report=report))


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By variant: success of attribute and spatial cases with their intervals, mean error and change outside."""
    result = []
    for variant in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == variant]
        means = {}
        for name in ("delta", "outside"):
            values = [row["values"][name] for row in own if name in row["values"]]
            means[name] = sum(values) / len(values) if values else None
        result.append({
            "variant": variant, **{kind: rate(row for row in own if row["kind"] == kind) for kind in ("attribute", "spatial")}, **means,
        })  # fmt: skip
    return result


def table(means: Sequence[dict[str, Any]]) -> Table:
    """One line a variant, of what ``summary`` gives."""
    from rich import box
    from rich.table import Table

    shown = Table(title="ablation", title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("", "attribute", "spatial", "ΔE inside", "% outside"):
        shown.add_column(name, justify="right" if name else "left")
    for row in means:
        rates = [
            f"{100 * row[k]['success']:.0f} % of {row[k]['n']}" if row[k] else "-" for k in ("attribute", "spatial")
        ]
        figures = [
            "-" if row[k] is None else f"{scale * row[k]:.2f}" for k, scale in (("delta", 1.0), ("outside", 100.0))
        ]
        shown.add_row(row["variant"], *rates, *figures)
    return shown
