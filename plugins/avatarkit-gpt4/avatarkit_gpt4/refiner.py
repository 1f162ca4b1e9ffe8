"""Plans by OpenAI's chat completions, or by a server that speaks them.

The SDK sends, retries (408, 409, 429, 5xx, lost connections; it heeds Retry-After) and counts its timeout; the core keeps the
deadline, checks every answer and caches.  Redirects are not followed: data goes where was said, or nowhere.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from typing import Any

import openai

from avatarkit.edit import refining, servers
from avatarkit.edit.asking import Question
from avatarkit.edit.plan import EditPlan, EditRequest, FinalRequest, KeyframeText
from avatarkit.edit.refining import Answer
from avatarkit.edit.servers import LATER, server_said
from avatarkit.errors import AvatarkitError, EnvironmentProblem, InputError
from avatarkit.events import Run
from avatarkit.types import Json
from avatarkit_gpt4.options import Gpt4Config

DEFAULT_ADDRESS = "https://api.openai.com/v1"
STRUCTURED = ("schema", "object", "none")


class Gpt4Refiner:
    """``avatarkit.contracts.FinalisingRefiner`` and ``avatarkit.edit.refining.Asker``."""

    name = "gpt4"

    def __init__(self, config: Gpt4Config) -> None:
        """Raises InputError for options that do not fit, EnvironmentProblem where the key is missing."""
        servers.check_options(self.name, config.timeout, config.deadline, config.attempts, config.max_tokens)
        if config.structured not in STRUCTURED:
            raise InputError(
                f"option 'structured' of 'gpt4' is '{config.structured}'; expected {', '.join(STRUCTURED)}"
            )
        self.config = config
        self.model = config.model
        self.address = servers.checked_address(config.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_ADDRESS)
        self._key = servers.account_key(self.name, config.key_variable, self.address, DEFAULT_ADDRESS, dict(os.environ))
        self._requests = 0
        self._client = self._connected()

    @property
    def settings(self) -> Json:
        config = self.config
        return {
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "structured": config.structured,
        }

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
            with client.chat.completions.with_streaming_response.create(**self._arguments(question)) as response:
                body = servers.read_body(self.name, self.address, response.iter_bytes(), stopped)
        except AvatarkitError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        return Answer(self._text(servers.parse_body(self.name, self.address, body)), max(1, self._requests))

    def close(self) -> None:
        client, self._client = self._client, self._connected()
        client.close()

    def _connected(self) -> openai.OpenAI:
        http = openai.DefaultHttpxClient(follow_redirects=False, event_hooks={"request": [self._count]})
        return openai.OpenAI(
            api_key=self._key, base_url=self.address, timeout=self.config.timeout, max_retries=0, http_client=http
        )

    def _count(self, request: object) -> None:
        self._requests += 1

    def _arguments(self, question: Question) -> dict[str, Any]:
        config, system = self.config, question.system
        if config.structured != "schema":
            system += f"\nThe schema:\n{json.dumps(question.schema)}\n"
        messages: list[dict[str, Any]] = [{"role": "system", "content": system}]
        for role, text in question.turns:
            messages.append({"role": role, "content": text})
        if question.images:
            parts: list[dict[str, Any]] = [{"type": "text", "text": question.turns[0][1]}]
            for image in question.images:
                url = f"data:{servers.media_type(image)};base64,{base64.b64encode(image).decode()}"
                parts.append({"type": "image_url", "image_url": {"url": url}})
            messages[1]["content"] = parts
        # OpenAI's newer models refuse the old name; other servers know only that.
        limit = "max_completion_tokens" if self.address == DEFAULT_ADDRESS else "max_tokens"
        arguments: dict[str, Any] = {"model": self.model, "messages": messages, limit: config.max_tokens}
        if config.temperature >= 0:
            arguments["temperature"] = config.temperature
        if config.structured == "schema":
            shape = {"name": question.name, "strict": True, "schema": question.schema}
            arguments["response_format"] = {"type": "json_schema", "json_schema": shape}
        elif config.structured == "object":
            arguments["response_format"] = {"type": "json_object"}
        return arguments

    def _text(self, body: Any) -> str:
        """The message of a chat completion."""
        try:
            choice = body["choices"][0]
            message = choice["message"]
            content, refusal, finish = message.get("content"), message.get("refusal"), choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise servers.not_the_api(self.name, self.address, json.dumps(body)[:80]) from None
        if refusal or finish == "content_filter":
            raise InputError(
                f"gpt4: the model refused: {server_said(refusal or 'its content filter', self._key)}; word the prompt otherwise"
            )
        if finish == "length":
            raise InputError(
                f"gpt4: the answer was cut off at {self.config.max_tokens} tokens; raise the option 'max_tokens', or ask for less at once"
            )
        if not isinstance(content, str):
            raise servers.not_the_api(self.name, self.address, "a message without text")
        return content

    def _failed(self, error: Exception) -> AvatarkitError:
        """An SDK's error in words."""
        place = servers.shown_address(self.address)
        if isinstance(error, openai.APIStatusError):
            said = server_said(error.body.get("message", "") if isinstance(error.body, dict) else "", self._key)
            return servers.failed(
                self.name, self.address, error.status_code, said,
                model=self.model, variable=self.config.key_variable, attempts=self._requests,
            )  # fmt: skip
        if isinstance(error, openai.APITimeoutError):
            return EnvironmentProblem(
                f"gpt4: {place} sent nothing for {self.config.timeout:g} s ({self._requests} attempts); {LATER}"
            )
        if isinstance(error, openai.APIConnectionError):
            return servers.unreachable(self.name, self.address, error.__cause__ or error)
        return servers.broken_off(self.name, self.address, error)
