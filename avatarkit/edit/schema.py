"""The JSON schema of a plan, made from the records and the vocabulary.

Closed: ``additionalProperties`` is false, every property is required and has one type, which is what OpenAI's strict mode,
Anthropic's structured output and the grammars of vLLM and Ollama all take.  Bounds that they do not all know (lengths of texts)
stand in the descriptions; ``validation`` checks everything again.
"""

from __future__ import annotations

from typing import Any

from avatarkit.edit import plan as records
from avatarkit.edit import vocabulary as words
from avatarkit.head.arkit_names import ARKIT_NAMES
from avatarkit.types import Json


def plan_schema(groups: tuple[str, ...] = ()) -> Json:
    """The schema of what a model writes of a plan.  groups: named groups of the avatar, which may be targets too."""
    return _object(
        {
            "version": {"type": "integer", "enum": [records.PLAN_VERSION]},
            "operations": _array(_operation(groups), records.MAX_OPERATIONS, "In the order in which they are done."),
            "ambiguities": _array(
                _text(records.MAX_TEXT, "One sentence for the user."),
                records.MAX_AMBIGUITIES,
                "What you did not understand, cannot express, or had to guess.",
            ),
        }
    )


def file_schema(groups: tuple[str, ...] = ()) -> Json:
    """The schema of a plan file, for people and their editors: the same, with the prompt, and only what matters required."""
    schema = plan_schema(groups)
    schema["properties"] = {
        "version": schema["properties"]["version"],
        "prompt": _text(records.MAX_PROMPT, "What was asked for."),
        "refiner": _text(records.MAX_NAME * 2, "Who made the plan."),
        **schema["properties"],
    }
    schema["required"] = ["operations"]
    operation = schema["properties"]["operations"]["items"]
    operation["required"] = ["kind", "target"]
    operation["properties"]["region"]["required"] = []
    operation["properties"]["attributes"]["required"] = []
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "avatarkit edit plan", **schema}


def final_schema(keyframes: tuple[str, ...]) -> Json:
    """The schema of the second turn: the final words for each keyframe."""
    text = _object(
        {
            "keyframe": _enum(keyframes, "Which keyframe."),
            "instruction": _text(records.MAX_TEXT, "What the image editor is told to do in this picture."),
            "caption": _text(records.MAX_TEXT, "What the picture shows once it is edited."),
            "negative": _text(records.MAX_TEXT, "What must not appear; empty if nothing."),
        }
    )
    return _object({"keyframes": _array(text, len(keyframes), "One entry for each keyframe.")})


def _operation(groups: tuple[str, ...]) -> Json:
    acted_on = words.targets(groups)
    every = tuple(dict.fromkeys((*acted_on, *words.ADDABLE)))
    region = _object(
        {
            "anchor": _enum(("", *acted_on), "What the place is described by; empty: the target itself."),
            "relation": _enum(tuple(words.RELATIONS), _glossed(words.RELATIONS)),
            "frame": _enum(tuple(words.FRAMES), f"Subject unless the prompt says otherwise. {_glossed(words.FRAMES)}"),
        }
    )
    return _object(
        {
            "kind": _enum(tuple(words.KINDS), _glossed(words.KINDS)),
            "target": _enum(every, "What is acted on, or what is added. l_ and r_ are the subject's left and right."),
            "region": region,
            "attributes": _attributes(),
            "prompt": _text(records.MAX_TEXT, "The instruction to an image editor."),
            "source_caption": _text(records.MAX_TEXT, "What a picture shows before."),
            "target_caption": _text(records.MAX_TEXT, "What a picture shows after."),
            "negative": _text(records.MAX_TEXT, "What must not appear; empty if nothing."),
            "preserve": _array(_enum(acted_on, ""), len(acted_on), "What must stay as it is."),
            "strength": _number("strength", "1 unless the prompt asks for less."),
            "depends_on": _array(
                {"type": "integer", "minimum": 0, "maximum": records.MAX_OPERATIONS - 1},
                records.MAX_OPERATIONS,
                "Positions of earlier operations that have to be done before this one.",
            ),
        }
    )


def _attributes() -> Json:
    weight = _object({"name": _enum(ARKIT_NAMES, "An ARKit expression name."), "weight": _number("weight", "Added.")})
    offset = {"type": "array", "items": _number("offset", ""), "minItems": 3, "maxItems": 3}
    return _object(
        {
            "colour": {"type": "string", "pattern": "^(#[0-9a-f]{6})?$", "description": "sRGB #rrggbb; empty: as it is."},
            "lightness": _number("lightness", "Share of the way to white, or to black if negative; 0: as it is."),
            "saturation": _number("saturation", "Share of the way to full colour, or to grey if negative; 0: as it is."),
            "material": _enum(("", *words.MATERIALS), "Of what is added; empty: unsaid."),
            "form": _enum(("", *words.FORMS), "Of what is added, one that it has; empty: unsaid."),
            "style": _enum(("", *words.STYLES), "Of restyle; 'other' is said in the prompt; empty for other kinds."),
            "dimension": _enum(("", *words.DIMENSIONS), "Along which size scales; empty: all."),
            "size": _number("size", "Factor; 1: as it is."),
            "count": {**_number("count", "How many are added."), "type": "integer"},
            "offset": {**offset, "description": "Of move, in head widths: to the subject's left, up, forward; zeros if not."},
            "amount": _number("amount", "Of identity: how far; 0 for other kinds."),
            "weights": _array(weight, records.MAX_WEIGHTS, "Of expression; empty for other kinds."),
            "name": _text(records.MAX_NAME, "What an 'object' is, or whom an identity resembles; a noun; else empty."),
        }
    )  # fmt: skip


def _object(properties: dict[str, Any]) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _array(items: Json, most: int, description: str) -> Json:
    return {"type": "array", "items": items, "maxItems": most, "description": description}


def _enum(values: tuple[str, ...], description: str) -> Json:
    return {"type": "string", "enum": list(values), **({"description": description} if description else {})}


def _text(most: int, description: str) -> Json:
    return {"type": "string", "description": f"{description} At most {most} characters; no URLs or paths."}


def _number(name: str, description: str) -> Json:
    low, high = records.RANGES[name]
    return {"type": "number", "minimum": low, "maximum": high, **({"description": description} if description else {})}


def _glossed(table: dict[str, str]) -> str:
    return "; ".join(f"{word}: {meaning}" for word, meaning in table.items())
