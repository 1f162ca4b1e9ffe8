"""A local HTTP server that takes multipart forms, as the images edit API does, and answers as it is told."""

from __future__ import annotations

import base64
import contextlib
import email
import io
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatarkit.testing.language_servers import Reply

KEY = "sk-test-0123456789abcdef"


@dataclass
class Form:
    """One request: its text fields, and its files by field name, in order."""

    path: str
    headers: dict[str, str]
    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[bytes]] = field(default_factory=dict)

    def picture(self, name: str, at: int = 0) -> Any:
        """(h, w, C) uint8."""
        return np.asarray(Image.open(io.BytesIO(self.files[name][at])))


Answer = Reply | Callable[[Form], Reply]


@dataclass
class Server:
    address: str
    forms: list[Form] = field(default_factory=list)
    most: int = 0  # requests that were being answered at the same time


def read_form(path: str, headers: dict[str, str], body: bytes) -> Form:
    form = Form(path, headers)
    boundary = email.message_from_string(f"Content-Type: {headers['content-type']}\n\n").get_boundary()
    assert boundary is not None
    for part in (b"\r\n" + body).split(f"\r\n--{boundary}".encode())[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        message = email.message_from_bytes(head.lstrip(b"\r\n"))
        name = str(message.get_param("name", header="content-disposition"))
        if message.get_filename() is None:
            form.fields[name] = data.decode()
        else:
            form.files.setdefault(name.removesuffix("[]"), []).append(data)
    return form


@contextlib.contextmanager
def serving(*answers: Answer) -> Iterator[Server]:
    """Each request gets the next answer, the last one again and again."""
    ended, lock, left, now = threading.Event(), threading.Lock(), list(answers), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            form = read_form(self.path, headers, self.rfile.read(int(headers["content-length"])))
            with lock:
                server.forms.append(form)
                answer = left.pop(0) if len(left) > 1 else left[0]
                now[0] += 1
                server.most = max(server.most, now[0])
            try:
                with contextlib.suppress(OSError):
                    self.send(answer(form) if callable(answer) else answer)
            finally:
                with lock:
                    now[0] -= 1

        def send(self, reply: Reply) -> None:
            ended.wait(reply.hang)
            data = reply.encoded()
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(data)))
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            sent = data[: int(len(data) * reply.cut)]
            if not reply.drip:
                self.wfile.write(sent)
            for k in range(len(sent) if reply.drip else 0):
                if ended.is_set():
                    break
                self.wfile.write(sent[k : k + 1])
                self.wfile.flush()
                time.sleep(reply.drip)
            self.close_connection = self.close_connection or reply.cut < 1.0

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            if not isinstance(sys.exception(), ConnectionError):  # a client that hangs up is what some tests are about
                super().handle_error(request, client_address)

    with Quiet(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        server = Server(f"http://127.0.0.1:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            ended.set()
            http.shutdown()
            thread.join()


def picture_file(pixels: Any, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind, quality=95)
    return file.getvalue()


def answered(file: bytes) -> Reply:
    """An images response as OpenAI writes it."""
    return Reply(
        {
            "created": 1, "background": "opaque", "output_format": "png", "quality": "high", "size": "256x256",
            "data": [{"b64_json": base64.b64encode(file).decode()}],
            "usage": {"input_tokens": 9, "output_tokens": 9, "total_tokens": 18},
        }
    )  # fmt: skip


def painted(form: Form) -> Reply:
    """A good model: everything that the mask lets it paint becomes its negative, and the rest stays."""
    picture, mask = form.picture("image").copy(), form.picture("mask")
    assert picture.shape[:2] == mask.shape[:2] and picture.shape[2] == 3
    inside = mask[..., 3] == 0
    picture[inside] = 255 - picture[inside]
    return answered(picture_file(picture))


@dataclass(frozen=True)
class Kit:
    """What the tests take from here: conftest is no module that they could import."""

    key: str = KEY
    serving: Any = staticmethod(serving)
    answered: Any = staticmethod(answered)
    painted: Any = staticmethod(painted)
    picture_file: Any = staticmethod(picture_file)


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARKIT_HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
