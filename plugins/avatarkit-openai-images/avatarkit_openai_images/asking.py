"""One picture from OpenAI's images edit API, or from a server that speaks it.

The SDK sends, retries (408, 409, 429, 5xx, lost connections; it heeds Retry-After) and counts its timeout.  Redirects are not
followed, and neither are addresses in answers: data goes where was said, or nowhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import openai

from avatarkit.edit import servers
from avatarkit.edit.servers import server_said, shown_address
from avatarkit.edit.validation import clean
from avatarkit.errors import AvatarkitError, EnvironmentProblem, InputError
from avatarkit_openai_images.options import OpenaiImagesConfig

NAME = "openai-images"
MAX_ANSWER = 64 << 20  # bytes of a response; a square of 1024 pixels takes 1 to 5 MB
LATER = "try again later, or choose another --editor"
REFUSALS = ("moderation_blocked", "content_policy_violation", "content_filter")


@dataclass(frozen=True)
class Request:
    """One view: PNG files of the square, of its mask, of the reference where there is one, and the words."""

    picture: bytes
    mask: bytes
    reference: bytes | None
    prompt: str

    @property
    def files(self) -> tuple[bytes, ...]:
        return (self.picture, self.mask) if self.reference is None else (self.picture, self.mask, self.reference)


def request_key(request: Request, config: OpenaiImagesConfig, address: str, seed: int) -> str:
    """A hash of everything that an answer depends on.  No key of any account is part of it."""
    parts = {
        "editor": NAME,
        "model": config.model,
        "address": address,
        "settings": [config.size, config.quality, config.fidelity],
        "prompt": request.prompt,
        "files": [hashlib.sha256(file).hexdigest() for file in request.files],
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Asker:
    """A connection for the requests of one call; ``ask`` may run in several threads."""

    def __init__(self, config: OpenaiImagesConfig, address: str, key: str) -> None:
        self.config, self.address, self._key = config, address, key
        self._sent = threading.local()
        http = openai.DefaultHttpxClient(follow_redirects=False, event_hooks={"request": [self._count]})
        self._client = openai.OpenAI(
            api_key=key, base_url=address, timeout=config.timeout, max_retries=config.attempts - 1, http_client=http
        )

    def close(self) -> None:
        self._client.close()

    def ask(self, request: Request, stopped: threading.Event) -> bytes:
        """The picture file that the server answers with.  Raises AvatarkitError in words for whatever else it does."""
        self._sent.requests = 0
        try:
            with self._client.images.with_streaming_response.edit(**self._arguments(request)) as response:
                body = self._body(response.iter_bytes(), stopped)
        except AvatarkitError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        return self._file(servers.parse_body(NAME, self.address, body))

    def _count(self, request: object) -> None:
        self._sent.requests += 1

    def _arguments(self, request: Request) -> dict[str, Any]:
        config = self.config
        picture = ("view.png", request.picture, "image/png")
        arguments: dict[str, Any] = {
            "model": config.model,
            "prompt": request.prompt,
            "image": picture
            if request.reference is None
            else [picture, ("so-far.png", request.reference, "image/png")],
            "mask": ("mask.png", request.mask, "image/png"),
            "size": f"{config.size}x{config.size}",
            "n": 1,
        }
        optional = {
            "quality": config.quality,
            "input_fidelity": config.fidelity,
            "response_format": config.response_format,
        }
        return arguments | {name: value for name, value in optional.items() if value}

    def _body(self, chunks: Iterable[bytes], stopped: threading.Event) -> bytes:
        body = bytearray()
        for chunk in chunks:
            body += chunk
            if len(body) > MAX_ANSWER:
                raise EnvironmentProblem(
                    f"{NAME}: {shown_address(self.address)} sent more than {MAX_ANSWER >> 20} MiB for one picture; {LATER}"
                )
            if stopped.is_set():
                break
        return bytes(body)

    def _file(self, body: Any) -> bytes:
        """The first picture of an images response."""
        place = shown_address(self.address)
        rows = body.get("data") if isinstance(body, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise servers.not_the_api(NAME, self.address, json.dumps(body)[:80])
        if not rows:
            raise EnvironmentProblem(f"{NAME}: {place} sent no picture; {LATER}")
        text, url = rows[0].get("b64_json"), rows[0].get("url")
        if not text and isinstance(url, str) and url:
            scheme, _, text = url.partition(",")
            if not scheme.startswith("data:image/") or not scheme.endswith(";base64"):
                raise InputError(
                    f"{NAME}: {place} sent an address instead of a picture, and nothing is fetched from addresses in answers; "
                    "set the option 'response_format' to b64_json"
                )
        if not isinstance(text, str) or not text:
            raise servers.not_the_api(NAME, self.address, "a picture without data")
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):  # ValueError: letters that are not ASCII
            raise servers.not_the_api(NAME, self.address, "a picture that is no base64") from None

    def _failed(self, error: Exception) -> AvatarkitError:
        """An SDK's error in words."""
        place, config, sent = shown_address(self.address), self.config, self._sent.requests
        if isinstance(error, openai.APIStatusError):
            said = server_said(error.body.get("message", "") if isinstance(error.body, dict) else "", self._key)
            if error.code in REFUSALS:
                return InputError(
                    f"{NAME}: {place} refused to paint this ({clean(str(error.code))}): {said}; word the prompt otherwise, or choose "
                    "another --editor"
                )
            if error.status_code >= 500:
                return EnvironmentProblem(
                    f"{NAME}: {place} fails ({error.status_code}, {sent} attempts); {LATER}{f': {said}' if said else ''}"
                )
            return servers.failed(
                NAME, self.address, error.status_code, said,
                model=config.model, variable=config.key_variable, attempts=sent,
            )  # fmt: skip
        if isinstance(error, openai.APITimeoutError):
            return EnvironmentProblem(
                f"{NAME}: {place} sent nothing for {config.timeout:g} s ({sent} attempts); {LATER}, or raise the option 'timeout'"
            )
        if isinstance(error, openai.APIConnectionError):
            return servers.unreachable(NAME, self.address, error.__cause__ or error)
        return EnvironmentProblem(
            f"{NAME}: the answer of {place} broke off ({server_said(error, self._key) or type(error).__name__}); {LATER}"
        )
