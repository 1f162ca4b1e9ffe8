"""Plans as data: round trips, the schema, and what the validator says of every fault."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit.edit import vocabulary as words
from avatarkit.edit.plan import (
    MAX_OPERATIONS,
    Attributes,
    EditPlan,
    EditRequest,
    Operation,
    Region,
    Weight,
    plan_json,
)
from avatarkit.edit.planning import load_plan
from avatarkit.edit.schema import file_schema, plan_schema
from avatarkit.edit.validation import MAX_JSON, PlanError, parse_json, read_plan
from avatarkit.errors import FileFormatError, InputError
from avatarkit.head.arkit import ARKIT_NAMES as BY_THE_HEADS
from avatarkit.head.arkit_names import ARKIT_NAMES
from avatarkit.labels import LABELS

ANYTHING = EditRequest("")
FULL = EditPlan(
    "everything",
    (
        Operation("add", "earring", Region("l_ear", "on"), Attributes(colour="#ffd700", material="gold", form="hoop", count=2)),
        Operation("recolour", "hair", None, Attributes(colour="#b5451f", lightness=-0.25), preserve=("brows",), strength=0.5),
        Operation("move", "glasses", None, Attributes(offset=(0.0, 0.1, -0.05))),
        Operation("expression", "face", None, Attributes(weights=(Weight("jawOpen", 0.5), Weight("browInnerUp", -1.0)))),
        Operation("shape", "nose", None, Attributes(size=1.25, dimension="width"), depends_on=(0, 2)),
        Operation("restyle", "head", None, Attributes(style="other"), prompt="as a stained glass window"),
        Operation("identity", "head", None, Attributes(name="elf", amount=0.5)),
        Operation("delete", "hat", Region("nose", "left_of", "viewer"), negative="hats"),
        Operation("add", "object", None, Attributes(name="eye patch", size=0.5)),
    ),
    ("which ear was not said",),
    "a person",
)  # fmt: skip


def operation(**changes: Any) -> dict[str, Any]:
    return {"kind": "recolour", "target": "hair", "attributes": {"colour": "#ff0000"}, **changes}


def problems(data: Any, request: EditRequest = ANYTHING) -> list[str]:
    with pytest.raises(PlanError) as caught:
        read_plan(data, request)
    return caught.value.problems


def test_a_plan_survives_json() -> None:
    text = json.dumps(plan_json(FULL), allow_nan=False)
    assert read_plan(parse_json(text), ANYTHING) == FULL


def test_what_is_left_out_of_a_file_is_the_default() -> None:
    plan = read_plan({"prompt": "x", "operations": [operation()]}, ANYTHING)
    assert plan.operations == (Operation("recolour", "hair", None, Attributes(colour="#ff0000")),)


def test_the_schema_is_closed_and_of_the_strict_kind() -> None:
    """OpenAI's strict mode: every property required, additionalProperties false, no optional types."""

    def look(schema: dict[str, Any]) -> None:
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False and schema["required"] == list(schema["properties"])
            for inner in schema["properties"].values():
                look(inner)
        elif schema.get("type") == "array":
            look(schema["items"])
        assert set(schema) <= {
            "type", "properties", "required", "additionalProperties", "items", "enum", "description", "minimum", "maximum",
            "minItems", "maxItems", "pattern",
        }  # fmt: skip

    schema = plan_schema(("nose stud",))
    look(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator.check_schema(file_schema())
    data = plan_json(FULL)
    jsonschema.validate(data, file_schema())
    del data["prompt"], data["refiner"]
    jsonschema.validate(data, schema)
    values = json.dumps(schema)
    assert values.count('"enum"') and len(values) < 40_000


def test_schema_and_validator_agree() -> None:
    """What breaks a bound breaks both; texts and meanings are the validator's alone."""
    schema = jsonschema.Draft202012Validator(file_schema())
    good = plan_json(FULL)
    for path, value in (
        (("operations", 0, "kind"), "explode"),
        (("operations", 0, "target"), "hairs"),
        (("operations", 0, "attributes", "size"), 9),
        (("operations", 0, "attributes", "count"), 2.5),
        (("operations", 0, "attributes", "colour"), "red"),
        (("operations", 0, "attributes", "plugin"), "x"),
        (("operations", 0, "region", "relation"), "inside"),
        (("operations", 0, "strength"), "1"),
        (("operations", 3, "attributes", "weights", 0, "name"), "jawopen"),
        (("operations", 2, "attributes", "offset"), [0, 1]),
        (("version",), 2),
        (("operations",), [good["operations"][0]] * 17),
    ):
        data = copy.deepcopy(good)
        place: Any = data
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert not schema.is_valid(data), path
        assert problems(data), path


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "it: expected an object; got a list"),
        ({}, "operations: missing"),
        ({"operations": {}}, "operations: expected a list; got an object"),
        ({"operations": [3]}, "operations[0]: expected an object; got 3"),
        ({"operations": [operation(kind="colour")]}, "operations[0].kind: unknown kind 'colour'; use one of add, delete, move, recolour, restyle, expression, shape, identity; did you mean 'recolour'?"),
        ({"operations": [operation(target="hairs")]}, "did you mean 'hair'?"),
        ({"operations": [operation(target=None)]}, "operations[0].target: missing; use one of skin, nose"),
        ({"operations": [operation(target="background")]}, "operations[0].target: unknown target 'background'"),
        ({"operations": [{"kind": "add", "target": "eyes"}]}, "operations[0].target: unknown target 'eyes'; use one of glasses, sunglasses"),
        ({"operations": [operation(atributes={})]}, "operations[0].atributes: unknown key"),
        ({"operations": [operation(attributes={"colour": "navy"})]}, "operations[0].attributes.colour: expected '#rrggbb'; got 'navy'; 'navy' is '#000080'"),
        ({"operations": [operation(attributes={})]}, "operations[0]: 'recolour hair' needs attributes.colour or attributes.lightness"),
        ({"operations": [operation(attributes={"colour": "#ff0000", "weights": [{"name": "jawOpen", "weight": 1}]})]}, "operations[0].attributes.weights: 'recolour' has no use for it"),
        ({"operations": [operation(attributes={"colour": "#ff0000", "lightness": float("nan")})]}, "lightness: expected a number from -1 to 1; got nan"),
        ({"operations": [operation(attributes={"colour": "#ff0000", "lightness": True})]}, "lightness: expected a number from -1 to 1; got True"),
        ({"operations": [operation(attributes={"colour": "#ff0000", "lightness": 10**400})]}, "lightness: expected a number"),
        ({"operations": [operation(strength=2)]}, "operations[0].strength: expected a number from 0 to 1; got 2"),
        ({"operations": [operation(depends_on=[0])]}, "operations[0].depends_on[0]: expected nothing: no operation is earlier; got 0"),
        ({"operations": [operation(), operation(depends_on=[1])]}, "expected the position of an earlier operation, 0 to 0; got 1"),
        ({"operations": [operation(preserve=["hair"])]}, "operations[0].preserve: 'hair' is the target itself"),
        ({"operations": [operation(region={"anchor": "l_brow", "relation": "abvoe"})]}, "did you mean 'above'?"),
        ({"operations": [operation(prompt="x" * 301)]}, "operations[0].prompt: has 301 characters; at most 300"),
        ({"operations": [operation(prompt="see http://a.example")]}, "operations[0].prompt: plain words only"),
        ({"operations": [operation(prompt="open /etc/passwd")]}, "operations[0].prompt: plain words only"),
        ({"operations": [operation(prompt="<script>")]}, "operations[0].prompt: plain words only"),
        ({"operations": [{"kind": "identity", "target": "head", "attributes": {"name": "elf; rm"}}]}, "expected a short noun"),
        ({"operations": [{"kind": "add", "target": "object"}]}, "operations[0]: 'add object' needs attributes.name"),
        ({"operations": [{"kind": "move", "target": "hat", "attributes": {"offset": [0, 1]}}]}, "expected three numbers"),
        ({"operations": [{"kind": "expression", "target": "face", "attributes": {"weights": [{"name": "jawOpened", "weight": 1}]}}]}, "did you mean 'jawOpen'?"),
        ({"operations": [operation()] * (MAX_OPERATIONS + 1)}, "operations: has 17 entries; at most 16"),
        ({"version": 2, "operations": []}, "version: expected 1; got 2"),
        ({"operations": [], "ambiguities": [3]}, "ambiguities[0]: expected text; got 3"),
    ],
)  # fmt: skip
def test_faults_are_named_with_their_place(data: Any, said: str) -> None:
    found = problems(data)
    assert any(said in problem for problem in found), found


def asks(kind: str, target: str, **changes: Any) -> dict[str, Any]:
    """A plan of one operation; what is no field of it is an attribute."""
    own = {name: changes.pop(name) for name in ("region", "strength", "preserve", "prompt") if name in changes}
    return {"operations": [{"kind": kind, "target": target, "attributes": changes, **own}]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (asks("add", "hat", form="goatee"), ".attributes.form: 'hat' has no form 'goatee'; use one of round, wide_brim"),
        (asks("add", "cap", form="round"), ".attributes.form: 'cap' has no form 'round'; leave it empty"),
        (asks("add", "tattoo", form="curly"), "'tattoo' has no form 'curly'; use one of heart, star"),
        (asks("add", "cap", count=7), ".attributes.count: there is one 'cap' on a head; leave it at 1 (several: earring, necklace"),
        (asks("add", "hat", strength=0.2), ".strength: 'add hat' is done or not; leave it at 1"),
        (asks("add", "hat", name="fedora"), ".attributes.name: 'add hat' has no use for it; leave it empty, or add an 'object' of that name"),
        (asks("add", "earring", region={"anchor": "nose"}), ".region.anchor: 'earring' does not go on 'nose'; use one of l_ear, r_ear, ears"),
        (asks("add", "nose_ring", region={"anchor": "l_ear"}), ".region.anchor: 'nose_ring' does not go on 'l_ear'; use one of nose"),
        (asks("delete", "hair", count=3), ".attributes.count: 'delete' has no use for it"),
        (asks("delete", "hair", strength=0.1), ".strength: 'delete hair' is done or not"),
        (asks("delete", "head"), ".target: 'head' cannot be taken away; name what grows or lies on it"),
        (asks("delete", "skin"), ".target: 'skin' cannot be taken away"),
        (asks("shape", "nose", form="round"), ".attributes.form: 'shape' has no use for it; leave it at its default"),
        (asks("shape", "nose", form="round"), "operations[0]: 'shape nose' needs attributes.size"),
        (asks("shape", "hair", form="curly"), "for another form plan 'delete hair' and 'add hair' with one of short, full, straight, wavy, curly"),
        (asks("shape", "nose", size=1.2, region={"anchor": "l_eye", "relation": "left_of"}), ".region: 'nose' can only be scaled as a whole"),
        (asks("move", "brows", offset=[0, 0.1, 0], region={"anchor": "nose"}), ".region: 'brows' can only be moved as a whole"),
        (asks("expression", "hair", weights=[{"name": "jawOpen", "weight": 1}]), ".target: an expression is of the face; use 'face', not 'hair'"),
        (asks("expression", "face", weights=[{"name": "jawOpen", "weight": 1}], region={"anchor": "hair"}), ".region: 'expression' has no use for it"),
        (asks("identity", "nose", name="elf"), ".target: an identity is of the whole person; use 'head', not 'nose'"),
        (asks("identity", "head", name="elf", region={"anchor": "hair"}), ".region: 'identity' has no use for it"),
        (asks("recolour", "eyes", colour="#ff0000", preserve=["l_eye"]), ".preserve: 'l_eye' is half of the target 'eyes'; name 'r_eye' as the target"),
    ],
)  # fmt: skip
def test_what_a_kind_or_a_target_has_no_use_for_is_told(data: dict[str, Any], said: str) -> None:
    found = problems(data)
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize(
    "data",
    [
        asks("delete", "hair", count=1, size=1, form="", colour="", offset=[0, 0, 0], weights=[], amount=0, name="", strength=1),
        asks("delete", "hair", region=None), asks("delete", "hair", region={"anchor": "", "relation": "above"}),
        asks("shape", "nose", size=1.2, region={"anchor": "nose", "relation": "on"}), asks("shape", "hat", size=1.2, region={"anchor": "l_ear"}),
        asks("expression", "lips", weights=[{"name": "jawOpen", "weight": 1}], region={"anchor": "face"}),
        asks("identity", "face", name="elf", strength=0.5), asks("add", "tattoo", form="star", count=3, strength=0.5),
        asks("add", "object", name="crown", form="round", count=2), asks("add", "nose_ring", form="hoop"),
        asks("recolour", "skin", colour="#ff0000", preserve=["nose", "lips"], strength=0.3), asks("add", "hat", dimension="size"),
        asks("recolour", "eyes", colour="#ff0000", region={"anchor": "nose", "relation": "left_of"}, preserve=["l_eye"]),
    ],
)  # fmt: skip
def test_defaults_and_what_makes_sense_are_taken(data: dict[str, Any]) -> None:
    assert len(read_plan(data, ANYTHING).operations) == 1


def test_the_forms_are_those_of_the_recipes_and_of_paint() -> None:
    from avatarkit.edit.accessories.recipes import RECIPES
    from avatarkit.edit.paint.asked import FORMS

    assert set(words.FORMS_OF) == set(words.ADDABLE) == set(RECIPES) | set(FORMS) | {"object"}
    usual = {"nose_ring": {"hoop", "round"}}  # a ring is one
    for target, recipe in RECIPES.items():
        assert set(words.FORMS_OF[target]) == set(recipe.forms) | usual.get(target, set()), target
    for target, forms in FORMS.items():
        assert set(words.FORMS_OF[target]) == set(forms) - {""}, target
    assert all(set(forms) <= set(words.FORMS) for forms in words.FORMS_OF.values())


def test_every_problem_is_told_at_once_and_on_one_line() -> None:
    data = {
        "operations": [operation(kind="x\n\x1b[31m", strength=-1), operation(target="?", depends_on=["a"])],
        "extra": 1,
    }
    found = problems(data)
    assert len(found) == 5
    with pytest.raises(InputError) as caught:
        read_plan(data, ANYTHING)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert len(problems({"operations": [operation(**{f"k{i}": 0 for i in range(50)})]})) == 50


def test_what_the_avatar_shows_counts() -> None:
    shown = EditRequest("x", frozenset({"hair", "skin"}), groups=("nose stud",))
    glasses = operation(target="glasses")
    assert "the avatar shows no 'glasses' (it shows hair, skin)" in problems({"operations": [glasses]}, shown)[0]
    added = {"operations": [{"kind": "add", "target": "sunglasses"}, glasses]}
    assert len(read_plan(added, shown).operations) == 2
    assert read_plan({"operations": [operation(target="nose stud")]}, shown).operations[0].target == "nose stud"
    assert problems({"operations": [operation(target="nose stud")]})


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.sampled_from(("hair", "add", "#ff0000", "jawOpen")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("operations", "kind", "target", "attributes", "region", "weights", "name", "weight", "offset", "preserve", "depends_on", "version", "prompt")), inner, max_size=5),
    max_leaves=20,
))  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_anything_is_a_valid_plan_or_a_plan_error(data: Any) -> None:
    for tried in (
        data,
        {"operations": [data]},
        {"operations": [operation(attributes=data, region=data, preserve=data)]},
    ):
        try:
            plan = read_plan(tried, ANYTHING)
        except PlanError as error:
            assert error.problems and "\n" not in str(error)
        else:
            jsonschema.validate(plan_json(plan), file_schema())
            assert read_plan(plan_json(plan), ANYTHING) == plan


def test_json_that_is_none() -> None:
    for text, said in (
        ("", "is not JSON"),
        ("[" * 200_000, "nested too deeply"),
        ("x" * (MAX_JSON + 1), "characters long"),
        ('{"a": NaN}', "NaN"),
    ):
        with pytest.raises(PlanError, match=said):
            parse_json(text)
    assert parse_json('\ufeff{"a": 1}') == {"a": 1} and parse_json('so:\n```json\n{"a": 1}\n```\nthere') == {"a": 1}


def test_a_plan_file_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    for data, kind, said in (
        (b"\xff\xfe\x00", FileFormatError, "not a text file"),
        (b" " * (MAX_JSON + 1), FileFormatError, "at most"),
        (b'{"operations": []}', FileFormatError, "has no operations"),
        (b'{"operations": [{"kind": "add"}]}', PlanError, r"plan\.json: operations\[0\]\.target: missing"),
    ):
        file.write_bytes(data)
        with pytest.raises(kind, match=said):
            load_plan(file, ANYTHING)
    with pytest.raises(InputError, match="no such file"):
        load_plan(tmp_path / "gone.json", ANYTHING)


def test_the_vocabulary_fits_the_labels_and_the_heads() -> None:
    assert LABELS[1:] == words.PARTS and BY_THE_HEADS is ARKIT_NAMES and len(ARKIT_NAMES) == 52
    assert all(set(labels) <= set(LABELS) for labels in words.GROUPS.values())
    assert set(words.ADDABLE.values()) <= set(LABELS)
