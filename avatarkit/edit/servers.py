"""Servers of language models: addresses, keys, what they answer, and what goes wrong, in words.

Here is no SDK and no socket: plugins bring them, and tell with these functions what happened.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from avatarkit.edit.validation import clean
from avatarkit.errors import AvatarkitError, EnvironmentProblem, InputError

MAX_ANSWER = 1 << 20  # bytes of a response; a plan is a few thousand
LATER = "try again later, or use --llm rules"
_SECRET = re.compile(r"\b(?:sk|key|tok)[-_][\w*.…-]{6,}|\bBearer\s+\S+", re.IGNORECASE)


def server_said(text: object, secret: str = "") -> str:
    """A server's message as part of an error: one line, harmless, short, without keys."""
    line = clean(str(text)[:4000])
    if secret:
        line = line.replace(secret, "…")
    line = _SECRET.sub("…", line)
    return line if len(line) <= 200 else f"{line[:197]}…"


def shown_address(address: str) -> str:
    """A URL without credentials, query and fragment."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def checked_address(address: str, option: str = "base_url") -> str:
    """``address`` if it is an http(s) URL without credentials in it.  Raises InputError."""
    try:
        parts = urlsplit(address)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits:
        raise InputError(f"option '{option}': '{clean(address)[:80]}' is no URL; expected http://host:port/v1")
    if parts.username or parts.password:
        raise InputError(f"option '{option}' holds a user name or password; keys come from the environment only")
    return address


def is_local(address: str) -> bool:
    """Whether an address is this machine."""
    return (urlsplit(address).hostname or "") in ("localhost", "127.0.0.1", "::1")


def account_key(name: str, variable: str, address: str, default_address: str, environ: Mapping[str, str]) -> str:
    """The key in the environment variable; "none" for a server of one's own that wants none.

    Raises EnvironmentProblem where there is none for the provider's own address, and where it would cross a network unencrypted.
    """
    key = environ.get(variable, "").strip()
    if not key:
        if address != default_address:
            return "none"
        raise EnvironmentProblem(f"{name} needs a key: set {variable} (it is read from the environment only)")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise EnvironmentProblem(
            f"{variable} holds characters that no key has (a line break, a space or a quote?); set it again"
        )
    if address.startswith("http://") and not is_local(address):
        raise InputError(
            f"{name}: the key in {variable} would go to {shown_address(address)} unencrypted; use https, or name an unset "
            "variable with the option 'key_variable'"
        )
    return key


def failed(
    name: str, address: str, status: int, said: str, *, model: str, variable: str, attempts: int
) -> AvatarkitError:
    """The error for an HTTP status: whose fault it is, and what to do."""
    place, said = shown_address(address), f": {said}" if said else ""
    if status in (401, 403):
        return EnvironmentProblem(f"{name}: {place} refused the key ({status}); check {variable}{said}")
    if status == 404:
        return InputError(
            f"{name}: {place} has no model '{clean(model)}', or no such path (404); check the options 'model' and 'base_url'{said}"
        )
    if status == 429:
        return EnvironmentProblem(
            f"{name}: {place} takes no more requests now (429, {attempts} attempts); wait, or check the account's limits{said}"
        )
    if status == 413:
        return InputError(f"{name}: the request is too large for {place} (413); use fewer or smaller pictures{said}")
    if 300 <= status < 400:
        return EnvironmentProblem(
            f"{name}: {place} points somewhere else ({status}), which is not followed; set 'base_url' to the right address"
        )
    if 400 <= status < 500:
        return InputError(f"{name}: {place} did not take the request ({status}){said}")
    return EnvironmentProblem(f"{name}: {place} fails ({status}, {attempts} attempts); {LATER}{said}")


def check_options(name: str, timeout: float, deadline: float, attempts: int, max_tokens: int) -> None:
    """Raises InputError for an option out of bounds."""
    for option, value, low, high in (
        ("timeout", timeout, 0.05, 600),
        ("deadline", deadline, 0.05, 3600),
        ("attempts", attempts, 1, 4),
        ("max_tokens", max_tokens, 16, 200_000),
    ):
        if not low <= value <= high:
            raise InputError(f"option '{option}' of '{name}' is {value:g}; expected {low:g} to {high:g}")


def media_type(image: bytes) -> str:
    """PNG or JPEG, by its first bytes.  Raises InputError for anything else."""
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if image.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    raise InputError("a picture for the language model is neither PNG nor JPEG")


def read_body(name: str, address: str, chunks: Iterable[bytes], stopped: threading.Event) -> bytes:
    """A response's bytes, at most ``MAX_ANSWER``.  Raises EnvironmentProblem for more; ends early once ``stopped``."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > MAX_ANSWER:
            raise EnvironmentProblem(
                f"{name}: {shown_address(address)} sent more than {MAX_ANSWER >> 20} MiB; that is no plan"
            )
        if stopped.is_set():
            break
    return bytes(body)


def parse_body(name: str, address: str, body: bytes) -> Any:
    """A response as JSON.  Raises EnvironmentProblem for anything else."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise not_the_api(name, address, body[:200].decode("utf-8", "replace")) from None


def not_the_api(name: str, address: str, found: str) -> EnvironmentProblem:
    """The error for an answer that is not of the API that was asked."""
    begins = clean(found)[:60] or "nothing"
    return EnvironmentProblem(
        f"{name}: {shown_address(address)} answers with something else than its API ('{begins}'); check the option 'base_url'"
    )


def unreachable(name: str, address: str, error: BaseException) -> EnvironmentProblem:
    """The error for a server that cannot be reached."""
    return EnvironmentProblem(
        f"{name}: {shown_address(address)} cannot be reached ({server_said(error) or type(error).__name__}); check the network and the option 'base_url'"
    )


def broken_off(name: str, address: str, error: BaseException) -> AvatarkitError:
    """The error for an answer that ended in the middle."""
    return EnvironmentProblem(
        f"{name}: the answer of {shown_address(address)} broke off ({server_said(error) or type(error).__name__}); {LATER}"
    )
