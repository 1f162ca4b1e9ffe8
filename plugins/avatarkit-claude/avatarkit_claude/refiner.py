"""Plans by Anthropic's messages API.

The SDK sends, retries (408, 409, 429, 5xx, lost connections; it heeds Retry-After) and counts its timeout; the core keeps the
deadline, checks every answer and caches.  Redirects are not followed: data goes where was said, or nowhere.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from typing import Any

import anthropic

from avatarkit.edit import refining, servers
from avatarkit.edit.asking import Question
from avatarkit.edit.plan import EditPlan, EditRequest, FinalRequest, KeyframeText
from avatarkit.edit.refining import Answer
from avatarkit.edit.servers import LATER, server_said
from avatarkit.errors import AvatarkitError, EnvironmentProblem, InputError
from avatarkit.events import Run
from avatarkit.types import Json
from avatarkit_claude.options import ClaudeConfig

DEFAULT_ADDRESS = "https://api.anthropic.com"
STRUCTURED = ("schema", "none")


class ClaudeRefiner:
    """``avatarkit.contracts.FinalisingRefiner`` and ``avatarkit.edit.refining.Asker``."""

    name = "claude"

    def __init__(self, config: ClaudeConfig) -> None:
        """Raises InputError for options that do not fit, EnvironmentProblem where the key is missing."""
        servers.check_options(self.name, config.timeout, config.deadline, config.attempts, config.max_tokens)
        if config.structured not in STRUCTURED:
            raise InputError(
                f"option 'structured' of 'claude' is '{config.structured}'; expected {', '.join(STRUCTURED)}"
            )
        self.config = config
        self.model = config.model
        self.address = servers.checked_address(
            config.base_url or os.environ.get("ANTHROPIC_BASE_URL") or DEFAULT_ADDRESS
        )
        self._key = servers.account_key(self.name, config.key_variable, self.address, DEFAULT_ADDRESS, dict(os.environ))
        self._requests = 0
        self._client = self._connected()

    @property
    def settings(self) -> Json:
        return {"max_tokens": self.config.max_tokens, "structured": self.config.structured}

    def refine(self, request: EditRequest, run: Run) -> EditPlan:
        """The model's plan, checked; see ``refining.refine_by_model``."""
        c = self.config
        return refining.refine_by_model(
            self, request, run, deadline=c.deadline, cache=c.cache, pictures=c.pictures, attempts=c.attempts
        )

    def finalise(self, request: FinalRequest, run: Run) -> tuple[KeyframeText, ...]:
        """The second turn; see ``refining.finalise_by_model``."""
        c = self.config
        return refining.finalise_by_model(
            self, request, run, deadline=c.deadline, cache=c.cache, pictures=c.pictures, attempts=c.attempts
        )

    def ask(self, question: Question, attempts: int, stopped: threading.Event) -> Answer:
        """One question; the answer's text.  Raises AvatarkitError in words for whatever the server does."""
        self._requests = 0
        client = self._client.with_options(max_retries=min(attempts, self.config.attempts) - 1)
        try:
            with client.messages.with_streaming_response.create(**self._arguments(question)) as response:
                body = servers.read_body(self.name, self.address, response.iter_bytes(), stopped)
        except AvatarkitError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        return Answer(self._text(servers.parse_body(self.name, self.address, body)), max(1, self._requests))

    def close(self) -> None:
        client, self._client = self._client, self._connected()
        client.close()

    def _connected(self) -> anthropic.Anthropic:
        http = anthropic.DefaultHttpxClient(follow_redirects=False, event_hooks={"request": [self._count]})
        return anthropic.Anthropic(
            api_key=self._key, base_url=self.address, timeout=self.config.timeout, max_retries=0, http_client=http
        )

    def _count(self, request: object) -> None:
        self._requests += 1

    def _arguments(self, question: Question) -> dict[str, Any]:
        system = question.system
        if self.config.structured != "schema":
            system += f"\nThe schema:\n{json.dumps(question.schema)}\n"
        messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in question.turns]
        if question.images:
            parts: list[dict[str, Any]] = []
            for image in question.images:
                data = base64.b64encode(image).decode()
                source = {"type": "base64", "media_type": servers.media_type(image), "data": data}
                parts.append({"type": "image", "source": source})
            messages[0]["content"] = [*parts, {"type": "text", "text": question.turns[0][1]}]
        arguments: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self.config.max_tokens,
            "system": system,
            "messages": messages,
        }
        if self.config.structured == "schema":
            schema = anthropic.transform_schema(question.schema)  # bounds that the server lacks go to the descriptions
            arguments["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return arguments

    def _text(self, body: Any) -> str:
        """The text of a message."""
        try:
            texts = [block["text"] for block in body["content"] if block["type"] == "text"]
            stop = body["stop_reason"]
            text = "".join(texts)
        except (KeyError, TypeError):
            raise servers.not_the_api(self.name, self.address, json.dumps(body)[:80]) from None
        if stop == "refusal":
            raise InputError(
                f"claude: the model refused: {server_said(text or 'it gave no reason', self._key)}; word the prompt otherwise"
            )
        if stop in ("max_tokens", "model_context_window_exceeded"):
            raise InputError(
                f"claude: the answer was cut off at {self.config.max_tokens} tokens; raise the option 'max_tokens', or ask for less at once"
            )
        return text

    def _failed(self, error: Exception) -> AvatarkitError:
        """An SDK's error in words."""
        place = servers.shown_address(self.address)
        if isinstance(error, anthropic.APIStatusError):
            inner = error.body.get("error") if isinstance(error.body, dict) else None
            said = server_said(inner.get("message", "") if isinstance(inner, dict) else "", self._key)
            return servers.failed(
                self.name, self.address, error.status_code, said,
                model=self.model, variable=self.config.key_variable, attempts=self._requests,
            )  # fmt: skip
        if isinstance(error, anthropic.APITimeoutError):
            return EnvironmentProblem(
                f"claude: {place} sent nothing for {self.config.timeout:g} s ({self._requests} attempts); {LATER}"
            )
        if isinstance(error, anthropic.APIConnectionError):
            return servers.unreachable(self.name, self.address, error.__cause__ or error)
        return servers.broken_off(self.name, self.address, error)
