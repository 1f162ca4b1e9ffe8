"""Masks are scored as geometry says, damage is of its kind, and the mapping net mends what comes with an edge and ignores what is an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import max_pool2d

from avatarkit.bench.edit import mapping
from avatarkit.bench.edit.running import Ledger
from avatarkit.bench.edit.subjects import Sitter
from avatarkit.edit.mapping_net import _move, train_mapping, trusted
from avatarkit.edit.region import region_mask
from avatarkit.events import Run
from avatarkit.labels import LABEL_INDEX


def square(top: int, left: int, side: int = 20, size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_iou_of_squares() -> None:
    assert mapping.iou([(square(5, 5), square(5, 5))]) == 1.0
    assert mapping.iou([(square(5, 5), square(5, 15))]) == pytest.approx(200 / 600)
    # all pictures together, not the mean of each
    assert mapping.iou([(square(5, 5), square(5, 5)), (square(0, 0, 2), square(40, 40, 2))]) == pytest.approx(400 / 408)


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (2, 1.0), (10, None)])
def test_an_edge_may_be_two_pixels_off(shift: int, expected: float | None) -> None:
    found = mapping.boundary([(square(20, 20), square(20, 20 + shift))])
    if expected is None:
        # horizontal edges overlap by half and a little more, vertical ones only where they cross the other square's edges
        assert 0.25 < found < 0.75
    else:
        assert found == expected
    assert mapping.boundary([(square(0, 0, 4), square(40, 40, 4))]) == 0.0


def maps() -> dict[mapping.Cell, np.ndarray]:
    classes = np.zeros((60, 60), np.int64)
    for k in range(1, len(LABEL_INDEX)):
        classes[3 * k : 3 * k + 2, 10:50] = k
    return {(t, c): classes for t in range(10) for c in range(5)}


@pytest.mark.parametrize(("damage", "axis", "expected"), [(mapping.DAMAGES[2], 0, 2), (mapping.DAMAGES[3], 1, 1)])
def test_damage_comes_with_a_time_or_a_direction(damage: str, axis: int, expected: int) -> None:
    found = mapping.with_damage(maps(), damage, np.random.default_rng(0))
    clean = maps()
    for label in range(1, len(LABEL_INDEX)):
        where = clean[0, 0] == label
        hit = {cell for cell in clean if (found[cell][where] != label).any()}
        assert {cell for cell in hit if (found[cell][where] == label).any()} == set()
        values = sorted({cell[axis] for cell in hit})
        assert len(values) in (0, expected)  # 0: by chance it became itself
        assert values == list(range(values[0], values[0] + len(values))) if values else True
        assert len(hit) == len(values) * (5 if axis == 0 else 10)


def test_random_damage_is_a_fifth_and_other_in_each_map_and_true_maps_stay() -> None:
    found = mapping.with_damage(maps(), mapping.DAMAGES[1], np.random.default_rng(0))
    clean = maps()
    hit = np.array([[(found[cell][clean[cell] == label] != label).any() for label in range(1, 19)] for cell in clean])
    assert 0.15 < hit.mean() < 0.25 and (hit != hit[0]).any()
    assert mapping.with_damage(clean, mapping.DAMAGES[0], np.random.default_rng(0)) is clean


def test_keyframes_are_a_grid_and_masks_between_them_are_blended(tiny_sitter: Sitter) -> None:
    cells = [(t, c) for t in range(6) for c in range(3)]
    keys = mapping.grid(cells)
    assert {cell[1] for cell in keys} == {0, 1, 2} and len(keys) == 15
    masks = {cell: np.full((4, 4), cell[1] == 2) for cell in keys}
    scene = tiny_sitter.scene
    for cell in ((0, 0), (0, 1), (0, 2)):
        assert mapping.nearest(scene, scene.place(*cell), keys) == cell
        assert np.allclose(mapping.bilinear(scene, scene.place(*cell), masks), float(cell[1] == 2))


def test_a_mask_that_stands_alone_is_no_lesson() -> None:
    good = torch.from_numpy(square(20, 20)).float()[None]
    near = torch.from_numpy(square(21, 20)).float()[None]
    missing, wrong = torch.zeros_like(good), torch.from_numpy(square(40, 40)).float()[None]
    kept = trusted(
        [(near, good), (good, good), (missing, good), (near, good), (wrong, good), (good, good), (near, good)]
    )
    assert kept == [True, True, False, True, False, True, True]
    assert trusted([(missing, good)] * 4) == [True] * 4  # all are alike: nothing says which is wrong


@pytest.fixture(scope="module")
def hair(tiny_sitter: Sitter) -> torch.Tensor:
    return torch.softmax(tiny_sitter.avatar.gaussians.label_logits, 1)[:, LABEL_INDEX["hair"]]


def test_the_net_learns_an_edge_that_labels_blur_and_is_used_then(tiny_sitter: Sitter, hair: torch.Tensor) -> None:
    scene = tiny_sitter.scene
    places = [scene.place(t, c) for t in range(4) for c in range(3)]

    def wide(place: object) -> torch.Tensor:
        return max_pool2d((region_mask(scene, hair, place) > 0.5).float(), 5, 1, 2)  # type: ignore[arg-type]

    masks = [(place, wide(place)) for place in places]
    made = train_mapping(scene, hair, masks, Run(), seconds=600.0)
    assert made.useful and made.scores["net"] > made.scores["labels"] + 0.03
    for camera in (0, 2):  # what camera 1 says of so small a face has little to do with its labels and was left out
        unseen = scene.place(5, camera)
        pairs = [
            (found[0].numpy() > 0.5, wide(unseen)[0].numpy() > 0.5)
            for found in (made.mask(scene, unseen), region_mask(scene, hair, unseen))
        ]
        assert mapping.iou(pairs[:1]) > mapping.iou(pairs[1:]) + 0.1


def test_moments_that_judge_the_net_have_no_features_of_their_own(tiny_sitter: Sitter, hair: torch.Tensor) -> None:
    """Of one camera each moment is seen once: features of held-out ones would never be learnt, and be read as nothing."""
    scene = tiny_sitter.scene
    places = [scene.place(t, 0) for t in range(6)]
    masks = [(place, (region_mask(scene, hair, place) > 0.5).float()) for place in places]
    net = train_mapping(scene, hair, masks, Run(), seconds=600.0).net
    assert isinstance(net.timesteps, torch.Tensor) and net.timesteps.tolist() == [1, 2, 3, 4]  # 0 and 5 judge
    for timestep in range(6):
        assert (
            float(net.features(net.moment(_move(scene, scene.place(timestep, 0))), 0.0, 0.0).detach().abs().max())
            > 1e-3
        )
    assert bool((net.by_azimuth.abs().amax((0, 1, 3)) > 1e-3).all())


def test_the_table_is_resumed_and_printed(tmp_path: Path, tiny_sitter: Sitter, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def shown_with(*arguments: object) -> object:
        called.append(arguments[3])
        return object()

    def scored(*arguments: object) -> list[dict[str, object]]:
        return [
            {"maps": arguments[1], "target": arguments[2], "method": method, "iou": 0.5, "boundary": 0.25, "judge": {}}
            for method in mapping.METHODS
        ]

    monkeypatch.setattr(mapping, "sitter", lambda *a, **k: tiny_sitter)
    monkeypatch.setattr(mapping, "read_known", lambda *a: (None, None))
    monkeypatch.setattr(mapping, "shown_with", shown_with)
    monkeypatch.setattr(mapping, "scored", scored)
    first, second = (mapping.run(tmp_path, Ledger(tmp_path / "rows")) for _ in range(2))
    assert called == list(mapping.DAMAGES) and first == second
    assert mapping.means(first["rows"])["true maps"]["mapping net"] == (0.5, 0.25)
    shown = mapping.table(first)
    assert shown.row_count == len(mapping.METHODS) and len(shown.columns) == 5
