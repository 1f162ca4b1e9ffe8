"""Assets: found, registered, downloaded from a real local server that works, fails, lies, breaks off and hangs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from avatarkit import assets
from avatarkit.cli.assets import app
from avatarkit.errors import EnvironmentProblem, InputError, MissingAsset

NAME = "mediapipe-face-landmarker"
CONTENT = bytes(range(256)) * 4096  # 1 MB


class Publisher(BaseHTTPRequestHandler):
    """/good, /missing (404), /wrong (another file), /longer, /short (fewer bytes than promised), /hang."""

    stop = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
            return
        body = {"/wrong": CONTENT[::-1], "/longer": CONTENT + b"more"}.get(self.path, CONTENT)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path == "/short":
            self.wfile.write(body[:700_000])
        elif self.path == "/hang":
            self.wfile.write(body[:100])
            self.wfile.flush()
            self.stop.wait(10)
        else:
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server's address; proxies of the environment do not apply to it."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Publisher.stop.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Publisher.stop.set()
    server.shutdown()
    thread.join()
    server.server_close()


def offer(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the landmark model be ``CONTENT`` at ``url``."""
    published = replace(assets.ASSETS[NAME], url=url, sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT))
    monkeypatch.setitem(assets.ASSETS, NAME, published)


def leftovers(home: Path) -> list[str]:
    folder = home / "assets"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize("path", ["/good", "/moved"])
def test_download(avatarkit_home: Path, publisher: str, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    offer(monkeypatch, publisher + path)
    assert assets.find(NAME) is None
    seen: list[tuple[int, int]] = []
    file = assets.download(NAME, progress=lambda received, total: seen.append((received, total)))
    assert file.read_bytes() == CONTENT
    assert file == assets.require(NAME) == avatarkit_home / "assets" / "face_landmarker.task"
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert leftovers(avatarkit_home) == ["face_landmarker.task"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/missing", "the server answered 404"),
        ("/wrong", "not the published file"),
        ("/longer", "not the published file"),
        ("/short", "ended after 700000 of 1048576 bytes"),
        ("/hang", "no data arrived in time"),
    ],
)
def test_a_failed_download_changes_nothing(
    avatarkit_home: Path, publisher: str, monkeypatch: pytest.MonkeyPatch, path: str, words: str
) -> None:
    offer(monkeypatch, publisher + path)
    place = avatarkit_home / "assets" / "face_landmarker.task"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"an older one")
    with pytest.raises(EnvironmentProblem, match=words) as caught:
        assets.download(NAME, timeout=0.5)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 3
    assert place.read_bytes() == b"an older one"
    assert leftovers(avatarkit_home) == ["face_landmarker.task"]


def test_no_network(avatarkit_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    offer(monkeypatch, "http://127.0.0.1:9/file")  # nothing listens there
    words = rf"asset '{NAME}' could not be downloaded .*check the network, or download .* avatarkit assets add"
    with pytest.raises(EnvironmentProblem, match=words):
        assets.download(NAME, timeout=2)


def test_assets_behind_a_licence_say_where_to_go(avatarkit_home: Path) -> None:
    with pytest.raises(
        MissingAsset,
        match=r"asset 'flame' needs a licence that only you can accept.*https://flame\.is\.tue\.mpg\.de.*avatarkit assets add flame FILE",
    ):
        assets.download("flame")
    with pytest.raises(MissingAsset, match="run: avatarkit assets get lpips-alex"):
        assets.require("lpips-alex")
    with pytest.raises(InputError, match="unknown asset 'flam'; did you mean 'flame'"):
        assets.find("flam")


def test_add_a_file_from_disk(avatarkit_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "http://unused")
    good, bad = tmp_path / "good.task", tmp_path / "bad.task"
    good.write_bytes(CONTENT)
    bad.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match="not the published"):
        assets.add(NAME, bad)
    with pytest.raises(InputError, match="no such file"):
        assets.add(NAME, tmp_path / "absent")
    assert assets.find(NAME) is None
    assert assets.add(NAME, good).read_bytes() == CONTENT


def test_the_published_landmark_model_is_the_tests_own(test_data: Path) -> None:
    file = test_data / "mediapipe" / "face_landmarker.task"
    assert assets.file_sha256(file) == assets.ASSETS[NAME].sha256
    assert file.stat().st_size == assets.ASSETS[NAME].size


def test_every_asset_says_what_a_person_needs() -> None:
    files = [asset.file for asset in assets.ASSETS.values()]
    assert len(set(files)) == len(files)
    for asset in assets.ASSETS.values():
        assert asset.licence and asset.summary and asset.page.startswith("https://")
        assert bool(asset.url) == bool(asset.sha256) == bool(asset.size) == (not asset.reader)
        assert not asset.url or asset.url.startswith("https://")
        assert len(asset.sha256) in (0, 64)


# --- the command ---------------------------------------------------------------------------------------------------------


def test_command_lists_gets_and_adds(
    avatarkit_home: Path, tmp_path: Path, publisher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, publisher + "/good")
    run = CliRunner().invoke
    before = {row["name"]: row for row in json.loads(run(app, ["list", "--json", "-"]).stdout)["assets"]}
    assert set(before) == set(assets.ASSETS)
    assert not before[NAME]["registered"] and before[NAME]["licence"] == "Apache-2.0"
    done = run(app, ["get", NAME, "--json", str(tmp_path / "done.json")])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "done.json").read_text())["path"] == str(assets.require(NAME))
    local = tmp_path / "local.task"
    local.write_bytes(CONTENT)
    assert run(app, ["get", NAME, str(local)]).exit_code == 0
    offer(monkeypatch, publisher + "/missing")
    assert run(app, ["get", NAME]).exit_code == 0  # what is there is not fetched again
    assets.require(NAME).write_bytes(CONTENT[:-1])
    assert isinstance(run(app, ["get", NAME]).exception, EnvironmentProblem)  # but what is damaged is
    local.write_bytes(CONTENT)
    assert run(app, ["get", NAME, str(local)]).exit_code == 0
    table = run(app, ["list"])
    assert table.exit_code == 0
    failed = run(app, ["add", NAME, str(tmp_path / "absent")])
    assert isinstance(failed.exception, InputError)


def test_command_registers_a_head(avatarkit_home: Path, tmp_path: Path, test_data: Path) -> None:
    file = test_data / "flame2023_open" / "flame2023_open_arkit.npz"
    run = CliRunner().invoke
    assert run(app, ["add", "flame", str(file)]).exit_code == 0
    assert assets.require("flame").read_bytes() == file.read_bytes()
    broken = tmp_path / "broken.npz"
    np.savez(broken, v_template=np.zeros((3, 3)))
    failed = run(app, ["add", "flame", str(broken)])
    assert isinstance(failed.exception, InputError) and "'faces' is missing" in str(failed.exception)
    assert assets.require("flame").read_bytes() == file.read_bytes()
