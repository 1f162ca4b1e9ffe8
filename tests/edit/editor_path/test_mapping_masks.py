"""Where a mapping net comes from, when it is used, and what is said when there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from avatarkit.contracts import View
from avatarkit.edit.mapping_masks import MappingMasks, learnable, read_mapping, reshaped, write_mapping
from avatarkit.edit.mapping_net import Mapping
from avatarkit.edit.plan import Region
from avatarkit.edit.region import Located, region_mask
from avatarkit.edit.scene import Scene
from avatarkit.errors import FileFormatError, InputError
from avatarkit.events import Notice, Run
from avatarkit.labels import NUM_LABELS

from .fakes import operation

HAIR = operation("recolour", "hair", colour="#1a33e6")
SECONDS = 8.0


class TrueMaps:
    """A segmenter that knows the tiny capture's true classes by the pictures."""

    def __init__(self, capture: Path) -> None:
        self.asked = 0
        self.classes = {}
        for file in sorted((capture / "labels").glob("*.png")):
            with Image.open(file) as labels, Image.open(next((capture / "images").glob(f"{file.stem}.*"))) as picture:
                self.classes[np.asarray(picture.convert("RGB")).tobytes()] = np.asarray(labels).astype(np.int64)

    def segment(self, images: torch.Tensor, views: list[View]) -> torch.Tensor:
        self.asked += len(views)
        pictures = (images * 255.0).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        found = np.stack([self.classes[picture.tobytes()] for picture in pictures])
        return torch.nn.functional.one_hot(torch.from_numpy(found), NUM_LABELS).permute(0, 3, 1, 2).float()


def never() -> TrueMaps:
    raise AssertionError("nobody had to ask the segmenter")


def notices(run: Run) -> list[str]:
    told: list[str] = []
    run.add_sink(lambda event: told.append(event.text) if isinstance(event, Notice) else None)
    return told


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AVATARKIT_HOME of this module's tests, in which the net of the hair is kept."""
    monkeypatch.setenv("AVATARKIT_HOME", str(folder))
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path, scene: Scene, hair: Located, tiny_capture: Path) -> tuple[Mapping, int, Path]:
    """The net, how many views the segmenter was asked for, and the file that it is kept in."""
    segmenter = TrueMaps(tiny_capture)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVATARKIT_HOME", str(folder))
        masks = MappingMasks(lambda: segmenter, "true", SECONDS, 0, Run())
        mapping = masks.mapping(scene, learnable(HAIR), hair.weights)
    assert mapping is not None
    (file,) = (folder / "mapping").iterdir()
    return mapping, segmenter.asked, file


def test_it_learns_from_the_training_frames_and_is_kept(
    home: Path, trained: tuple[Mapping, int, Path], scene: Scene, hair: Located
) -> None:
    mapping, asked, file = trained
    assert 6 <= asked <= len(scene.avatar.indices("train"))
    again = MappingMasks(never, "true", SECONDS, 0, Run()).mapping(scene, learnable(HAIR), hair.weights)
    assert again is not None and again.scores == {name: mapping.scores[name] for name in ("net", "labels")}
    place = scene.places()[3]
    assert torch.equal(again.mask(scene, place), mapping.mask(scene, place))
    assert torch.equal(read_mapping(file, hair.weights).base, mapping.base)


@pytest.mark.parametrize(("net", "used"), [(0.91, True), (0.9, True), (0.89, False)])
def test_it_is_used_only_where_it_is_at_least_as_good_as_rendered_labels(
    home: Path, trained: tuple[Mapping, int, Path], scene: Scene, hair: Located, net: float, used: bool
) -> None:
    mapping, _, file = trained
    kept = file.read_bytes()
    try:
        write_mapping(file, replace(mapping, scores={"net": net, "labels": 0.9}))
        refine = MappingMasks(never, "true", SECONDS, 0, Run())(scene, (), HAIR, hair.weights)
    finally:
        file.write_bytes(kept)
    assert (refine is not None) == used
    if refine is not None:
        place = scene.places()[2]
        mask = region_mask(scene, hair.weights, place)
        assert torch.equal(refine(place, mask), mapping.mask(scene, place, mask))


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"{}" + data[2:]])
def test_a_damaged_kept_net_is_said_and_trained_again(
    home: Path, trained: tuple[Mapping, int, Path], scene: Scene, hair: Located, damage: Callable[[bytes], bytes]
) -> None:
    _, _, file = trained
    kept, run, asked = file.read_bytes(), Run(), []

    def segmenter() -> TrueMaps:
        asked.append(1)
        raise InputError("stop here")

    told = notices(run)
    try:
        file.write_bytes(damage(kept))
        assert MappingMasks(segmenter, "true", SECONDS, 0, run).mapping(scene, learnable(HAIR), hair.weights) is None  # type: ignore[arg-type]
    finally:
        file.write_bytes(kept)
    assert asked and str(file) in told[0] and told[0].endswith("; the mapping net is trained again")


def test_a_net_of_another_avatar_does_not_fit(trained: tuple[Mapping, int, Path], hair: Located) -> None:
    with pytest.raises(FileFormatError, match="does not fit this avatar"):
        read_mapping(trained[2], hair.weights[:-1])


def test_without_the_capture_it_is_said_once(home: Path, scene: Scene, hair: Located, tmp_path: Path) -> None:
    gone = scene.with_avatar(replace(scene.avatar, source=str(tmp_path / "gone")))
    run = Run()
    told = notices(run)
    masks = MappingMasks(lambda: None, "true", SECONDS, 0, run)  # type: ignore[arg-type,return-value]
    assert masks(gone, (), HAIR, hair.weights) is None
    assert masks(gone, (), operation("delete", "hair"), hair.weights) is None
    assert len(told) == 1 and "no mapping net is trained, masks are rendered labels: the capture" in told[0]


def test_what_the_segmenter_never_shows_is_said(
    home: Path, trained: tuple[Mapping, int, Path], scene: Scene, hair: Located, tiny_capture: Path
) -> None:
    run = Run()
    told = notices(run)
    masks = MappingMasks(lambda: TrueMaps(tiny_capture), "true", SECONDS, 0, run)
    assert masks(scene, (), operation("recolour", "necklace"), torch.zeros_like(hair.weights)) is None
    assert told == ["the segmenter 'true' does not know necklace: their masks are rendered labels"]


def test_a_net_that_cannot_be_kept_is_used_all_the_same(
    scene: Scene, hair: Located, tiny_capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATARKIT_HOME", str(tmp_path))
    (tmp_path / "mapping").write_text("a file where the folder should be")
    run = Run()
    told = notices(run)
    masks = MappingMasks(lambda: TrueMaps(tiny_capture), "true", 2.0, 0, run)
    assert masks.mapping(scene, learnable(HAIR), hair.weights) is not None
    assert len(told) == 1 and told[0].startswith("the mapping net cannot be kept: ")


def test_colours_find_the_same_net_and_another_shape_does_not(scene: Scene) -> None:
    masks = MappingMasks(never, "true", SECONDS, 0, Run())
    own = scene.avatar.gaussians

    def path(masks: MappingMasks = masks, **changed: torch.Tensor) -> Path:
        return masks._path(scene.with_avatar(replace(scene.avatar, gaussians=replace(own, **changed))), ("hair",))

    assert path() == path(sh=own.sh + 0.1)
    assert path() != path(means=own.means + 0.1) and path() != path(label_logits=-own.label_logits)
    assert path() != path(MappingMasks(never, "another", SECONDS, 0, Run()))


def test_only_what_label_maps_know_is_learnt() -> None:
    assert learnable(HAIR) == ("hair",) and learnable(operation("delete", "brows")) == ("l_brow", "r_brow")
    assert "nose" in learnable(operation("restyle", "skin")) and learnable(operation("delete", "skin")) == ("skin",)
    for unknown in ("teeth", "chin", "beard", "earring 2"):
        assert learnable(operation("recolour", unknown)) == ()
    assert learnable(operation("move", "nose")) == () and learnable(operation("add", "hat")) == ()
    assert learnable(operation("recolour", "hair", Region("hair", "left_of"))) == ()


@pytest.mark.parametrize(
    ("kind", "target", "accepted", "other"),
    [("recolour", "hair", True, False), ("add", "tattoo", True, False), ("add", "hat", True, True),
     ("shape", "nose", True, True), ("shape", "nose", False, False), ("delete", "hair", True, True)],
)  # fmt: skip
def test_an_avatar_that_was_reshaped_is_not_the_captures(
    scene: Scene, hair: Located, kind: str, target: str, accepted: bool, other: bool
) -> None:
    row = {"accepted": accepted, "operation": {"kind": kind, "target": target}}
    edited = scene.with_avatar(replace(scene.avatar, history=[{"prompt": "x", "operations": [row]}], undo=[{}]))
    assert reshaped(edited, ()) is other and reshaped(scene, (kind,)) is (kind != "recolour")
    if other:
        assert MappingMasks(never, "true", SECONDS, 0, Run())(edited, (), HAIR, hair.weights) is None
