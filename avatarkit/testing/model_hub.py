"""A local server that has one model as the Hugging Face hub serves it: for tests of plugins that fetch weights by name.

``with serving_model("faces/tiny", files) as hub``: set ``HF_ENDPOINT`` to ``hub.address`` and let the real client ask.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c" * 40


@dataclass
class ModelHub:
    """address: "http://127.0.0.1:PORT"; asked: "METHOD /path" of every request, oldest first."""

    address: str
    asked: list[str] = field(default_factory=list)


def files_below(folder: Path) -> dict[str, Path]:
    """Every file of ``folder`` by its path there, as a hub names them."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


@contextlib.contextmanager
def serving_model(name: str, files: Mapping[str, Path]) -> Iterator[ModelHub]:
    """Serve the model ``name`` ("owner/model") with ``files`` until the block ends; every other model is not there."""
    places = {file: k for k, file in enumerate(files)}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def do_GET(self, body: bool = True) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            path = self.path.partition("?")[0]
            if path.startswith(f"/api/models/{name}/tree/"):
                rows = [
                    {"type": "file", "oid": f"{k:040x}", "size": files[file].stat().st_size, "path": file}
                    for file, k in places.items()
                ]
                return self.answer(json.dumps(rows).encode(), {"Content-Type": "application/json"}, body)
            if path.startswith(f"/api/models/{name}"):
                about = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
                return self.answer(json.dumps(about).encode(), {"Content-Type": "application/json"}, body)
            file = path.removeprefix(f"/{name}/resolve/").partition("/")[2] if path.startswith(f"/{name}/") else ""
            if file in files:
                headers = {"ETag": f'"{places[file]:040x}"', "X-Repo-Commit": COMMIT}
                return self.answer(files[file].read_bytes(), headers, body)
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if f"/{name}" in path else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def answer(self, data: bytes, headers: dict[str, str], body: bool) -> None:
            self.send_response(200)
            for header, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(header, value)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        hub = ModelHub(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
