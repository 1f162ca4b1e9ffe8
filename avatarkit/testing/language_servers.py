"""A local HTTP server that answers as it is told: for tests of refiners that ask a language model.

``with serving(reply, …) as server``: each request gets the next reply, the last one again and again.  Replies know how servers
fail: late, slowly, half, with HTML, with too much.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One response.  body: bytes, or anything that becomes JSON; hang: seconds before it; drip: seconds between its bytes;
    cut: the share of the body that is sent before the connection closes."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang: float = 0.0
    drip: float = 0.0
    cut: float = 1.0

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Server:
    """address: "http://127.0.0.1:PORT"; requests: the JSON that came, oldest first; headers and paths likewise."""

    address: str
    requests: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serving(*replies: Reply) -> Iterator[Server]:
    """Serve ``replies`` until the block ends."""
    ended = threading.Event()
    left = list(replies)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                server.requests.append(json.loads(body))
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
                server.paths.append(self.path)
                reply = left.pop(0) if len(left) > 1 else left[0]
            with contextlib.suppress(OSError):
                self.answer(reply)

        def answer(self, reply: Reply) -> None:
            ended.wait(reply.hang)
            data = reply.encoded()
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(data)))
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            sent = data[: int(len(data) * reply.cut)]
            if reply.drip:
                for k in range(len(sent)):
                    if ended.is_set():
                        break
                    self.wfile.write(sent[k : k + 1])
                    self.wfile.flush()
                    time.sleep(reply.drip)
            else:
                self.wfile.write(sent)
            if reply.cut < 1.0:
                self.close_connection = True

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
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
