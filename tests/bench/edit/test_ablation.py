"""What is left out is left out: the second turn's words decide which side a literal editor paints, a static mask stays where it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from avatarkit.bench.edit import ablation, oracle
from avatarkit.bench.edit.running import Ledger
from avatarkit.bench.edit.subjects import Sitter
from avatarkit.edit.plan import EditRequest, FinalRequest, Keyframe
from avatarkit.edit.planning import final_texts, make_plan
from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit.registry import registry

BLUE = {"hair_colour": "#0000ff", "highlight_colour": "#0000ff"}


def case(prompt: str) -> oracle.OracleCase:
    return next(one for one in oracle.oracle_cases() if one.case.prompt == prompt)


def texts(prompt: str, refiner: Any) -> tuple[Any, Any]:
    """The operation and its final words for a keyframe whose region lies on the picture's right."""
    plan = make_plan(EditRequest(prompt), Run())
    keyframe = Keyframe("t0 c1", 0.0, 0.0, (0.55, 0.3, 0.8, 0.6), ())
    return plan.operations[0], final_texts(refiner, FinalRequest(plan, 0, (keyframe,)), Run())


@pytest.mark.parametrize(
    ("prompt", "one_turn"),
    [
        ("make the left half of the hair blue", True),
        ("make the hair on the left side of the picture pink", False),
        ("blue hair", False),
    ],
)
def test_only_without_the_second_turn_are_sides_misread(prompt: str, one_turn: bool) -> None:
    rules = registry().create("refiner", "rules")
    operation, (text,) = texts(prompt, rules)
    assert not ablation.misread(operation, text.instruction)
    operation, (text,) = texts(prompt, ablation.OneTurn(rules))
    assert ablation.misread(operation, text.instruction) is one_turn


def test_who_misreads_paints_the_mirror_of_what_was_meant(tiny_sitter: Sitter) -> None:
    rules = registry().create("refiner", "rules")
    editor = ablation.Literal(tiny_sitter, BLUE, oracle.Partial(("hair",), 1.0))
    for refiner, side in ((rules, 1.0), (ablation.OneTurn(rules), -1.0)):
        operation, words = texts("make the left half of the hair blue", refiner)
        step: Any = SimpleNamespace(operation=operation, texts=words)
        nothing: Any = torch.zeros(1, 3, 80, 80)
        found = editor.edit(
            nothing, nothing, step, references=None, cameras=nothing, correspondences=None, seed=0, run=Run()
        )
        assert torch.equal(found[0], oracle.Oracle(tiny_sitter, BLUE, oracle.Partial(("hair",), side)).picture(0, 1))


def test_classes_and_earrings_are_mirrored(tiny_sitter: Sitter) -> None:
    editor = ablation.Literal(
        tiny_sitter, {"earrings": "hoop", "earring_side": "left"}, oracle.Partial(("l_brow", "hair"))
    )
    assert editor.mirrored.look.earring_side == "right"
    assert editor.mirrored.partial.only == ("r_brow", "hair")


def test_a_static_mask_stays_where_it_was(tiny_sitter: Sitter) -> None:
    refine = ablation.static_masks(tiny_sitter.scene, (), None, torch.zeros(0))  # type: ignore[arg-type]
    first, second = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    place = tiny_sitter.scene.place(0, 0)
    assert torch.equal(refine(place, first), first) and torch.equal(refine(place, second), first)
    assert torch.equal(refine(place, torch.ones(1, 5, 5)), torch.ones(1, 5, 5))


def test_without_the_discriminator_nothing_is_called_everything(
    tiny_sitter: Sitter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "GAN", "hinge-gone")
    sitters: Any = lambda _: tiny_sitter  # noqa: E731
    ledger, said = Ledger(tmp_path / "rows"), list[str]()
    with pytest.raises(InputError, match="unknown discriminator 'hinge-gone'"):
        ablation.run(tmp_path, sitters, ledger, variants=("everything",))
    assert ablation.part(sitters, ledger, oracle.BY_PICTURES, said.append) == [] and not ledger.rows
    assert len(said) == 1 and said[0].startswith("the ablation is left out: unknown discriminator 'hinge-gone'")


def test_variants_differ_in_one_thing(tiny_sitter: Sitter, tmp_path: Path) -> None:
    pytest.importorskip("avatarkit_hinge_gan")
    made = {}
    for variant in ablation.VARIANTS:
        config = replace(oracle.BY_PICTURES, **dict(variant.settings))  # type: ignore[arg-type]
        made[variant.name] = ablation.painter_of(variant, case("copper red hair"), tiny_sitter, config, tmp_path)
    whole = made["everything"]
    assert made["no L_gs"].config == replace(whole.config, weight_gs=0.0)
    assert {name: painter.config.rgb_lambda for name, painter in made.items() if "λ" in name} == {
        "λ = 0.5": 0.5,
        "λ = 0.9": 0.9,
    }
    assert [name for name, painter in made.items() if painter.discriminator is None] == ["no GAN"]
    assert made["no mapping net"].masks is None
    assert made["static mask"].masks is ablation.static_masks
    assert isinstance(made["no second turn"].refiner, ablation.OneTurn) and not isinstance(
        whole.refiner, ablation.OneTurn
    )


def test_rows_are_kept_apart_by_variant(tiny_sitter: Sitter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_cases(cases: Any, sitters: Any, ledger: Ledger, config: Any, **_: Any) -> list[dict[str, Any]]:
        row = {
            "name": cases[0].name,
            "kind": cases[0].kind,
            "success": config.rgb_lambda == 0.7,
            "values": {"delta": 4.0},
        }
        ledger.add(row)
        return [row]

    monkeypatch.setattr(ablation, "run_cases", run_cases)
    monkeypatch.setattr(ablation, "discriminator", lambda: None)
    ledger = Ledger(tmp_path / "rows")
    rows = ablation.run(tmp_path, lambda _: tiny_sitter, ledger, cases=("oracle-attribute-00", "oracle-spatial-01"))  # type: ignore[arg-type]
    assert len(ledger.rows) == len(rows) == 16
    found = {row["variant"]: row for row in ablation.summary(rows)}
    assert found["everything"]["attribute"]["success"] == 1.0 and found["λ = 0.9"]["spatial"]["success"] == 0.0
    assert found["no GAN"]["delta"] == 4.0 and found["no GAN"]["outside"] is None
    assert ablation.table(ablation.summary(rows)).row_count == len(ablation.VARIANTS)
