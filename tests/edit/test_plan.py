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
