"""Labels from the head model, against where its parts are known to be."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from avatarkit.cameras import Cameras, intrinsics, look_at
from avatarkit.contracts import View
from avatarkit.head.loading import load_head
from avatarkit.head.parameters import HeadParams
from avatarkit.labels import LABEL_INDEX, LABELS
from avatarkit.segment.head_regions import HeadRegions, vertex_layers

SIDE = 200


def front(mask: torch.Tensor | None) -> View:
    head = load_head("bust")
    params = HeadParams.zeros(1, head.num_shape, head.num_expr)
    viewmat = torch.tensor(look_at(np.array([0.0, 0.0, 1.0]), np.zeros(3)), dtype=torch.float32)
    K = torch.tensor(intrinsics(400.0, 400.0, SIDE / 2, SIDE / 2), dtype=torch.float32)
    cameras = Cameras(viewmat[None], K[None], SIDE, SIDE)
    return View(cameras, 0, head.pose(params), mask, head)


def classes(view: View) -> np.ndarray:
    found = HeadRegions().segment(torch.zeros(1, 3, SIDE, SIDE), [view])
    torch.testing.assert_close(found.sum(1), torch.ones(1, SIDE, SIDE))
    return found[0].argmax(0).numpy()


def centre(found: np.ndarray, label: str) -> np.ndarray:
    rows, columns = np.nonzero(found == LABEL_INDEX[label])
    assert len(rows) > 0, label
    return np.array([columns.mean(), rows.mean()])


def test_parts_of_the_face_are_where_they_belong() -> None:
    found = classes(front(torch.ones(1, SIDE, SIDE)))
    at = {
        name: centre(found, name)
        for name in ("l_eye", "r_eye", "l_brow", "r_brow", "nose", "u_lip", "l_lip", "l_ear", "r_ear")
    }
    for part in ("eye", "brow", "ear"):  # the subject's left is on the right of the picture
        assert at[f"l_{part}"][0] > SIDE / 2 + 5 and at[f"r_{part}"][0] < SIDE / 2 - 5
    order = [at["l_brow"][1], at["l_eye"][1], at["nose"][1], at["u_lip"][1], at["l_lip"][1], centre(found, "neck")[1]]
    assert order == sorted(order)


def test_what_the_mesh_lacks_is_hair_above_and_cloth_below() -> None:
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, 10:, 20:180] = 1.0
    found = classes(front(mask))
    assert (found[11:14, 60:140] == LABEL_INDEX["hair"]).all()  # above the skull
    assert (found[195:, 21:40] == LABEL_INDEX["cloth"]).all()  # beside the neck, below the jaw
    assert (found[:10] == LABEL_INDEX["background"]).all() and (found[:, :20] == LABEL_INDEX["background"]).all()


def test_a_soft_mask_leaves_the_rest_to_the_background() -> None:
    found = HeadRegions().segment(torch.zeros(1, 3, SIDE, SIDE), [front(torch.full((1, SIDE, SIDE), 0.25))])
    torch.testing.assert_close(found[0, LABEL_INDEX["background"]], torch.full((SIDE, SIDE), 0.75))


def test_without_a_mask_the_mesh_is_the_person() -> None:
    found = classes(front(None))
    assert found[0, 0] == LABEL_INDEX["background"] and found[SIDE // 2, SIDE // 2] != LABEL_INDEX["background"]


def test_every_part_of_the_head_has_vertices() -> None:
    names = {LABELS[label] for label, mask in vertex_layers(load_head("bust")) if (mask >= 0.5).any()}
    assert names == {
        "skin", "nose", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip", "hair", "neck",
        "cloth",
    }  # fmt: skip


def test_a_forehead_is_no_hair_though_it_is_part_of_the_skull() -> None:
    """FLAME's regions have a skull, which is scalp, forehead and ears."""
    head = load_head("bust")
    regions = {**head.regions, "skull": torch.maximum(head.regions["scalp"], head.regions["forehead"])}
    labels = np.full(len(head.template), LABEL_INDEX["skin"])
    skulled: Any = SimpleNamespace(template=head.template, regions=regions)
    for label, mask in vertex_layers(skulled):
        labels[mask >= 0.5] = label
    forehead = head.regions["forehead"].numpy() >= 0.5
    assert forehead.sum() > 50 and not (labels[forehead] == LABEL_INDEX["hair"]).any()


def test_the_neck_begins_under_the_chin() -> None:
    view = front(torch.ones(1, SIDE, SIDE))
    found = classes(view)
    middle = found[:, SIDE // 2]
    assert view.head is not None and view.pose is not None
    face = view.head.regions["face"] >= 0.5
    chin = float(view.pose.vertices[0][face, 1].min())
    row = SIDE / 2 - 400.0 * chin / (
        1.0 - float(view.pose.vertices[0][face][:, 2][view.pose.vertices[0][face, 1].argmin()])
    )
    first = int(np.flatnonzero(middle == LABEL_INDEX["neck"])[0])
    assert abs(first - row) <= 5  # pixels of 2.5 mm
    below = middle[first : first + 15]
    assert (below == LABEL_INDEX["neck"]).all()


def test_the_edge_of_a_region_does_not_follow_the_triangles() -> None:
    """Where a region ends across long triangles its edge is a line, not a saw: it turns round at most twice."""
    found = classes(front(torch.ones(1, SIDE, SIDE)))
    for label, last, half in (("neck", -1, 20), ("l_lip", -1, 8), ("u_lip", 0, 8)):
        columns = found[:, SIDE // 2 - half : SIDE // 2 + half].T
        steps = np.diff([np.flatnonzero(column == LABEL_INDEX[label])[last] for column in columns])
        steps = steps[steps != 0]
        assert (np.sign(steps[1:]) != np.sign(steps[:-1])).sum() <= 2, label


def test_a_collar_above_the_jaw_is_cloth_and_hair_beside_the_face_is_hair() -> None:
    view = front(torch.ones(1, SIDE, SIDE))
    assert view.pose is not None
    bowed = view.pose.vertices.clone()
    moved = replace(view, pose=replace(view.pose, vertices=bowed))
    head = view.head
    assert head is not None
    shoulders = head.regions["boundary"] >= 0.5
    bowed[:, shoulders, 1] += 0.17  # raised above the jaw's lowest point
    found = classes(moved)
    chosen = bowed[0, shoulders]
    column = int(SIDE / 2 + 400.0 * float(chosen[:, 0].max()) / (1.0 - float(chosen[chosen[:, 0].argmax(), 2])))
    top = SIDE / 2 - 400.0 * float(chosen[:, 1].max()) / 1.0
    assert found[int(top) + 12, min(column + 3, SIDE - 1)] == LABEL_INDEX["cloth"]
    assert classes(view)[SIDE // 2 - 30, 30] == LABEL_INDEX["hair"]


def test_pictures_together_are_as_pictures_alone() -> None:
    soft = torch.zeros(1, SIDE, SIDE)
    soft[:, 20:, 30:170] = 0.7
    views = [front(torch.ones(1, SIDE, SIDE)), front(None), front(soft)]
    images = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    together = HeadRegions().segment(images, views)
    alone = torch.cat([HeadRegions().segment(images[i : i + 1], [view]) for i, view in enumerate(views)])
    assert torch.equal(together, alone) and not torch.equal(together[0], together[2])
