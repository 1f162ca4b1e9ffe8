"""Colours, tones, sizes and forms: whom each of them describes."""

from __future__ import annotations

from avatarkit.edit.rules_ahead import place_ahead
from avatarkit.edit.rules_assembly import Assembly
from avatarkit.edit.rules_lexicon import lexicon
from avatarkit.edit.rules_modifiers import SHADED, TINGED, absorb, add_colour, add_size, share_size, weakened
from avatarkit.edit.rules_records import Modifiers, Phrase
from avatarkit.edit.rules_text import Item


def on_colour(now: Assembly, k: int, item: Item) -> None:
    noun_ahead, last = now.noun_ahead(k), now.last
    if now.negated and not noun_ahead:
        now.result.unwanted.append(item.text)
        now.negated = False
        return
    if not noun_ahead and _names_noun(now, item):
        return
    if last and now.joining and not noun_ahead and last.placed and last.said.colours and place_ahead(now.items, k):
        now.alike(last, described=True)  # "red on the left and blue on the right"
    blends = k > 0 and now.items[k - 1].kind in ("colour", "shade")
    for said in now.holders(k):
        add_colour(said, item, blends=blends)


def _names_noun(now: Assembly, item: Item) -> bool:
    """ "blonde" says hair by itself and "pearls" a necklace, where there is no other noun for them."""
    known = lexicon()
    thing = known.material_nouns.get(item.text)
    if thing and not now.group:
        made = now.phrase(now.made(Item("thing", {"target": thing}, item.text)))
    elif item.text in known.hair_colours and not any(p.value == "hair" and not p.said.colours for p in now.group):
        made = now.phrase(now.made(Item("part", "hair", item.text)))
    else:
        return False
    add_colour(made.said, item, blends=True)
    return True


def on_shade(now: Assembly, k: int, item: Item) -> None:
    for said in now.holders(k):
        said.shades.append(item.text)


def on_material(now: Assembly, k: int, item: Item) -> None:
    for said in now.holders(k):
        said.material = item.value["material"]


def on_tinge(now: Assembly, k: int, item: Item) -> None:
    """ "redder": nearer to red."""
    share, now.degree = round(min(1.0, TINGED * now.degree), 3), 1.0
    for said in now.holders(k, articles=True):
        add_colour(said, item, blends=False)
        said.share, said.compared = share, True


def on_form(now: Assembly, k: int, item: Item) -> None:
    alone, last = lexicon().form_nouns.get(item.value), now.last
    shaped = k + 1 < len(now.items) and now.items[k + 1].text == "shaped"
    if not alone or (shaped and now.group) or now.noun_ahead(k):
        compared = item.text in lexicon().reforms
        for said in now.holders(k, articles=compared):
            said.form, said.compared = item.value, said.compared or compared
    elif last and now.bare and now.relation is None and _is_a(last, alone):
        absorb(last.said, now.pending)  # "a tattoo of a red star"
        last.said.form, now.pending = item.value, Modifiers()
    else:
        now.noun(k, Item("thing", {"target": alone}, item.text)).said.form = item.value


def _is_a(phrase: Phrase, target: str) -> bool:
    """Whether a thing is a ``target`` of no form yet: a tattoo that can be one of a star."""
    return phrase.kind == "thing" and phrase.value["target"] == target and not phrase.said.form


def on_size(now: Assembly, k: int, item: Item) -> None:
    _sized(now, now.holders(k), item.value, compared=False)


def on_comparative(now: Assembly, k: int, item: Item) -> None:
    _sized(now, now.holders(k, articles=True), item.value, compared=True)


def _sized(now: Assembly, holders: list[Modifiers], value: tuple[str, float], *, compared: bool) -> None:
    for said in holders:
        add_size(said, value[0], value[1] ** now.degree, compared=compared)
    now.degree = 1.0


def on_percent(now: Assembly, k: int, item: Item) -> None:
    """ "20 % bigger", and "bigger by 20 %"."""
    if not item.value:
        now.result.unknown.append(item.text)
        return
    compared = [phrase.said for phrase in now.group if phrase.said.size and phrase.said.compared]
    toned = [phrase.said for phrase in now.group if phrase.said.tones]
    following = next((i for i in now.items[k + 1 : k + 3] if i.kind in ("comparative", "tone", "tinge")), None)
    for said in compared:
        assert said.size is not None
        said.size = share_size(said.size, item.value)
    for said in () if compared else toned:
        said.tones[-1] = _share_tone(said.tones[-1], item.value)
    if compared or toned:
        return
    if following is None:
        now.result.unknown.append(item.text)
    elif following.kind == "tinge":
        now.degree = item.value / 100 / TINGED
    elif following.kind == "tone":
        following.value = _share_tone(following.value, item.value)
    else:
        following.value = share_size(following.value, item.value)


def _share_tone(tone: tuple[str, float], percent: float) -> tuple[str, float]:
    """ "50 % darker"."""
    share = min(1.0, percent / 100)
    return tone[0], share if tone[1] > 0 else -share


def on_tone(now: Assembly, k: int, item: Item) -> None:
    following = now.items[k + 1] if k + 1 < len(now.items) else None
    if following is not None and following.kind == "colour" and item.text in SHADED:
        for said in now.holders(k):
            said.shades.append(SHADED[item.text])
        return
    attribute, share = item.value
    share = max(-1.0, min(1.0, round(share * now.degree, 3)))
    now.degree = 1.0
    for said in now.holders(k, articles=True):
        said.tones.append((attribute, share))


def on_degree(now: Assembly, k: int, item: Item) -> None:
    last = now.result.phrases[-1] if now.result.phrases else None
    ahead = next((later for later in now.items[k + 1 :] if later.kind not in ("filler", "degree")), None)
    if ahead is None or ahead.kind in ("and", "boundary", "verb"):
        if last is not None:
            last.degree *= item.value  # "move it up a bit"
        for phrase in now.group:
            weakened(phrase.said, item.value)
        return
    now.degree *= item.value


def on_distance(now: Assembly, k: int, item: Item) -> None:
    """ "2 cm to the left": of a move, in head widths."""
    if now.verb != "move" or not now.group:
        now.result.notes.append(
            f"'{item.text}' was passed over: only a move takes a distance, a size is a factor such as '20% bigger'"
        )
        return
    if "head" not in item.text:
        now.result.notes.append(f"'{item.text}' was taken for {item.value:.2g} head widths, a head being 15 cm wide")
    following = next((later for later in now.items[k + 1 :] if later.kind != "filler"), None)
    if following is not None and following.kind in ("direction", "side"):
        now.distance = item.value
        return
    for phrase in now.group:
        phrase.go(item.value, phrase.way.direction)


def on_number(now: Assembly, k: int, item: Item) -> None:
    now.pending.count = int(item.value)
