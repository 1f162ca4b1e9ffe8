"""``avatarkit track`` on a short film, with a tracker from a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from avatarkit.cli.track import track
from avatarkit.errors import InputError
from avatarkit.events import Run
from avatarkit.recon.prepare import read_known
from avatarkit.track.sequence_files import OURS

from ..capture.scene import make_scene

TRACKER = '''
import numpy as np
from avatarkit.contracts import FaceLandmarks
from avatarkit.head.loading import load_head
from avatarkit.track.landmark_tracking import track_landmarks


class Scripted:
    """Finds the landmarks of bust at rest, a little farther right in every frame."""

    def track(self, capture, head, run, initial=None):
        return track_landmarks(self, capture, head, run).sequence

    def detect(self, images):
        bust = load_head("bust")
        marks = bust.landmarks.points(bust.template, bust.faces).numpy()
        points = np.zeros((478, 3), np.float32)
        found = []
        for step, image in enumerate(images):
            middle = image.shape[1] / 2
            points[bust.landmarks.indices.numpy(), :2] = middle + 300 * marks[:, :2] * [1, -1] + [step, 0]
            found.append(FaceLandmarks(points.copy(), {}, 1, 1.0))
        return found
'''

PUSHING = """
from dataclasses import replace


class Pushing:
    def track(self, capture, head, run, initial=None):
        params = replace(initial.params, translation=initial.params.translation + 0.01)
        return replace(initial, params=params)
"""


def run(*arguments: str) -> None:
    app = typer.Typer()
    app.command()(track)
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output


def write_film(file: Path, pictures: list[np.ndarray]) -> Path:
    import av

    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file


@pytest.fixture
def film(tmp_path: Path, avatarkit_home: Path) -> Path:
    return write_film(tmp_path / "film.mp4", [np.full((128, 128, 3), 20 * step, np.uint8) for step in range(8)])


@pytest.fixture
def wall_film(tmp_path: Path, avatarkit_home: Path) -> Path:
    """A red head that walks to the right before a grey wall."""
    y, x = np.mgrid[:128, :128]
    pictures = []
    for step in range(12):
        head = np.hypot((x - 58 - step) / 24.0, (y - 64) / 32.0) < 1
        pictures.append(np.where(head[..., None], (190, 60, 50), (150, 152, 155)).astype(np.uint8))
    return write_film(tmp_path / "wall.mp4", pictures)


def test_track_writes_a_sequence_a_picture_and_a_summary(film: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "scripted.py"
    plugin.write_text(TRACKER)
    out, summary = tmp_path / "tracked", tmp_path / "summary.json"
    run(str(film), "-o", str(out), "--head", "bust", "--tracker", f"{plugin}:Scripted", "--json", str(summary), "-q")
    content = json.loads(summary.read_text())
    assert content["timesteps"] == 8 and content["head"]["name"] == "bust" and content["fit"]["median_px"] < 1.0
    assert (out / "transforms_train.json").is_file() and Path(content["pictures"]["tracking"]) == out / "tracking.png"
    with pytest.raises(InputError, match="does not write over what it starts from"):
        run(str(out), "-o", str(out), "--tracker", f"{plugin}:Scripted", "--head", "bust")


def test_a_data_set_is_refined_from_its_own_parameters(tiny_capture: Path, tmp_path: Path) -> None:
    """By a tracker that moves what it is given by a centimetre; splits, cameras and masks stay."""
    (tmp_path / "pushing.py").write_text(PUSHING)
    truth, _ = read_known(tiny_capture, None, Run())
    run(str(tiny_capture), "-o", str(tmp_path / "found"), "--tracker", f"{tmp_path / 'pushing.py'}:Pushing", "-q")
    found, _ = read_known(tmp_path / "found", None, Run())
    assert [(f.timestep, f.camera, f.split) for f in found.capture.frames] == [
        (f.timestep, f.camera, f.split) for f in truth.capture.frames
    ]
    assert found.capture.masked
    torch.testing.assert_close(found.viewmats, truth.viewmats, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.params.translation, truth.params.translation + 0.01, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.params.expr, truth.params.expr)


def test_a_head_in_flame_topology_keeps_its_teeth(film: Path, tmp_path: Path, test_data: Path) -> None:
    """FLAME has none, so they are appended where it is fitted, and again where what was written is read: for recon and --resume."""
    plugin, out = tmp_path / "scripted.py", tmp_path / "tracked"
    plugin.write_text(TRACKER)
    flame = str(test_data / "flame2023_open" / "flame2023_open_arkit.npz")
    run(str(film), "-o", str(out), "--head", flame, "--tracker", f"{plugin}:Scripted", "-q")
    sequence, head = read_known(out, flame, Run())
    assert sequence.head == head.reference and head.reference["vertices"] == 5143
    assert head.regions["teeth"].sum() == 120
    ours = json.loads((out / OURS).read_text())  # a folder that was tracked without them stays without
    ours["head"]["vertices"] = 5023
    (out / OURS).write_text(json.dumps(ours))
    assert read_known(out, flame, Run())[1].reference["vertices"] == 5023


def test_flame_without_landmarks_says_where_they_come_from(film: Path, tmp_path: Path, test_data: Path) -> None:
    """As the published .pkl is; said before a film is looked through, which this tracker could not do."""
    with np.load(test_data / "flame2023_open" / "flame2023_open_arkit.npz", allow_pickle=False) as arrays:
        np.savez(tmp_path / "plain.npz", **{k: v for k, v in arrays.items() if not k.startswith("mediapipe_landmark")})
    plugin, output = tmp_path / "blind.py", tmp_path / "tracked"
    plugin.write_text(TRACKER.replace("bust = load_head", "raise AssertionError\n        bust = load_head"))
    flame = str(tmp_path / "plain.npz")
    with pytest.raises(InputError, match=r"has no landmarks, .*: avatarkit assets add flame-landmarks"):
        run(str(film), "-o", str(output), "--head", flame, "--tracker", f"{plugin}:Scripted", "-q")
    assert not output.exists()


def test_a_still_camera_gets_masks(wall_film: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "scripted.py"
    plugin.write_text(TRACKER.replace("300 * marks", "160 * marks").replace("[step, 0]", "[step - 6, 0]"))
    out, summary = tmp_path / "tracked", tmp_path / "summary.json"
    run(
        str(wall_film),
        "-o",
        str(out),
        "--head",
        "bust",
        "--tracker",
        f"{plugin}:Scripted",
        "--json",
        str(summary),
        "-q",
    )
    assert json.loads(summary.read_text())["masks"] is True
    masks = sorted((out / "fg_masks").iterdir())
    assert len(masks) == 12
    with Image.open(masks[5]) as picture:
        mask = np.asarray(picture)
    assert mask[64, 63] > 250 and mask[:, :20].max() < 5 and mask[:, 108:].max() < 5


def test_a_moving_camera_is_tracked_without_masks(tmp_path: Path, avatarkit_home: Path) -> None:
    panning = write_film(tmp_path / "pan.mp4", list(make_scene(wall_texture=25.0, pan=14.0).images))
    plugin = tmp_path / "scripted.py"
    plugin.write_text(TRACKER)
    out, summary = tmp_path / "tracked", tmp_path / "summary.json"
    run(str(panning), "-o", str(out), "--head", "bust", "--tracker", f"{plugin}:Scripted", "--json", str(summary), "-q")
    assert json.loads(summary.read_text())["masks"] is False
    assert (out / "transforms_train.json").is_file() and not (out / "fg_masks").exists()


def test_a_foreign_output_folder_is_refused_before_any_work(film: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("")
    with pytest.raises(InputError, match="choose another folder"):
        run(str(film), "-o", str(tmp_path / "mine"))
