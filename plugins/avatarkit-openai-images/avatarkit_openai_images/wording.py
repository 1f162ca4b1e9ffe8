"""What the model is told: the operation's own words, and what must stay as it is."""

from __future__ import annotations

from avatarkit.contracts import EditStep
from avatarkit.edit.captions import said
from avatarkit.errors import InputError

KEPT = {
    "who": "who the person is",
    "expression": "the expression",
    "rest": "the pose and size of the head, the framing, the light and the background",
}
NOT_KEPT = {"identity": ("who",), "expression": ("expression",)}  # kinds of operations that are about just that


def instruction(step: EditStep, at: int, reference: bool) -> str:
    """The prompt for the view ``at``.  reference: whether a second picture goes with it.

    Raises InputError where the step has no words for the view.
    """
    operation, text = step.operation, step.texts[at]
    asked = _sentence(text.instruction or operation.prompt)
    if not asked:
        raise InputError(
            f"openai-images: the operation has no words for '{text.keyframe}'; expected an instruction or a prompt"
        )
    parts = [_corrected(step, at, asked)]
    if operation.strength < 1 and step.latent != "delete":
        parts.append(f"Go about {operation.strength:.0%} of the way to the full effect.")
    caption = text.caption or operation.target_caption
    if caption and step.latent != "delete":
        parts.append(f"The result is {_sentence(caption, capital=False)}")
    kept = [words for name, words in KEPT.items() if name not in NOT_KEPT.get(operation.kind, ())]
    parts.append(
        f"Change only what lies in the transparent part of the mask; keep {', '.join(kept)} exactly as they are."
    )
    if operation.preserve:
        parts.append(f"Do not change {' or '.join(said(word) for word in operation.preserve)}.")
    if reference:
        parts.append(
            "The second picture shows the same view with this edit as far as it has come: match its shapes and colours, not its blur."
        )
    negative = text.negative or operation.negative
    if negative:
        parts.append(f"The result must not show: {_sentence(negative, capital=False)}")
    return " ".join(parts)


def _corrected(step: EditStep, at: int, asked: str) -> str:
    """The request itself, put as the correction that it is (Wu et al., CVPR 2024), where it is one."""
    if step.latent == "add":
        return f"This is still missing: {asked[0].lower()}{asked[1:]}"
    if step.latent == "change":
        return f"This is there, but not as it was asked for; change it: {asked[0].lower()}{asked[1:]}"
    if step.latent == "reposition":
        across, down = step.shift
        ways = [(across, "width", "right", "left"), (down, "height", "down", "up")]
        moves = [f"by {abs(v):.0%} of the picture's {side} {'to the ' if side == 'width' else ''}{plus if v > 0 else minus}"
                 for v, side, plus, minus in ways if abs(v) >= 0.005]  # fmt: skip
        if moves:
            return f"This is in the wrong place: {asked} Move it {' and '.join(moves)}, and paint what was behind it."
    if step.latent == "delete":
        behind = "paint what is behind it as if it had never been there"
        if step.operation.kind == "delete":
            return f"This has not been done yet: {asked[0].lower()}{asked[1:-1]}, and {behind}."
        caption = step.texts[at].caption or step.operation.target_caption
        thing = f" (it was painted there as {caption.rstrip('.')})" if caption else ""
        return f"Remove what does not belong there{thing}, and {behind}."
    return asked


def _sentence(words: str, capital: bool = True) -> str:
    words = words.strip().rstrip(".")
    return f"{words[0].upper() if capital else words[0]}{words[1:]}." if words else ""
