"""The conformance kit: built-ins and the shipped templates pass, and each kind of fault is found."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch

from avatarkit.contracts import Render
from avatarkit.hookspecs import HOOKS, Provider, Role
from avatarkit.render.reference import ReferenceRasterizer
from avatarkit.testing import conformance

ROLES = get_args(Role)


def template(role: Role) -> Any:
    return importlib.import_module(f"avatarkit.testing.templates.{role}").Mine()


def failures(results: list[conformance.Result]) -> dict[str, str]:
    return {result.check: result.detail for result in results if not result.ok}


def test_every_role_has_checks_and_a_template() -> None:
    assert set(ROLES) == set(HOOKS) == set(conformance.MODULES)
    for role in ROLES:
        assert conformance.checks(role)
        assert all(callable(check) and "_" in check.__name__ for check in conformance.checks(role))


@pytest.mark.parametrize("role", ROLES)
def test_the_template_of_a_role_passes(role: Role) -> None:
    results = conformance.check(template(role), role)
    assert failures(results) == {}
    assert not all(result.skipped for result in results)


@pytest.mark.parametrize(("role", "name"), [("rasterizer", "cpu"), ("head_model", "bust")])
def test_the_builtins_pass(role: Role, name: str) -> None:
    assert failures(conformance.check_provider(role, name)) == {}


def test_a_provider_that_needs_what_is_not_here_is_skipped() -> None:
    results = conformance.check(Provider("x", "m:C", "", requires=("no_such_package",)), "editor")
    assert [(r.ok, r.skipped) for r in results] == [(True, True)] and "no_such_package" in results[0].detail
    results = conformance.check(Provider("x", "no_such_module:C", ""), "editor")
    assert [(r.ok, r.skipped) for r in results] == [(False, False)]


def test_a_provider_that_uses_the_network_is_looked_at_and_not_called() -> None:
    target = "avatarkit.testing.templates.editor:Mine"
    results = conformance.check(Provider("x", target, "", network=True), "editor")
    assert [r.check for r in results if not r.skipped] == ["can be made", "its method fits"]


class Changed(ReferenceRasterizer):
    """The reference with one fault."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    def render(self, *arguments: Any, **keywords: Any) -> Render:
        made = super().render(*arguments, **keywords)
        return replace(made, **{name: change(getattr(made, name)) for name, change in self._changes.items()})


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"features": lambda image: image + 0.01}, "images match the reference"),
        ({"features": lambda image: image.flip(-1)}, "images match the reference"),
        ({"features": lambda image: image.detach() + 0.9 * (image - image.detach())}, "gradients match the reference"),
        ({"depth": lambda depth: 1.01 * depth}, "images match the reference"),
        ({"sums": lambda sums: None}, "sums match the reference"),
        ({"top": lambda top: None if top is None else top * 0}, "top contributors match the reference"),
        ({"radii": lambda radii: radii.long()}, "the records shapes hold"),
        ({"alpha": lambda alpha: alpha + 1e-3}, "nothing is a picture of the background"),
    ],
)
def test_a_faulty_rasterizer_is_found(change: dict[str, Any], check: str) -> None:
    faulty = Changed(**change)
    kept = [one for one in conformance.checks("rasterizer") if conformance.name(one) == check]
    assert len(kept) == 1
    with pytest.raises((conformance.Broken, RuntimeError)):
        kept[0](faulty)


def test_a_rasterizer_that_ignores_a_camera_axis_is_found() -> None:
    class Deaf(ReferenceRasterizer):
        def render(self, means: Any, *arguments: Any, **keywords: Any) -> Render:
            return super().render(means[0] if means.dim() == 3 else means, *arguments, **keywords)

    found = failures(conformance.check(Deaf(), "rasterizer"))
    assert list(found) == ["each camera may have its own gaussians"]


class FaultyHead:
    """The bust with one attribute or method replaced."""

    def __init__(self, **changes: Any) -> None:
        from avatarkit.head.bust import BustModel

        self._bust, self._changes = BustModel(), changes

    def __getattr__(self, name: str) -> Any:
        return self._changes[name] if name in self._changes else getattr(self._bust, name)


def test_a_faulty_head_model_is_found() -> None:
    whole = FaultyHead()
    bad_faces = whole.faces.clone()
    bad_faces[0, 0] = len(whole.template)
    assert "the topology is whole" in failures(conformance.check(FaultyHead(faces=bad_faces), "head_model"))
    inwards = FaultyHead(faces=whole.faces.flip(1))
    assert "triangles look outwards" in failures(conformance.check(inwards, "head_model"))
    off = whole.template + 0.001
    assert "at rest it is the template" in failures(conformance.check(FaultyHead(template=off), "head_model"))

    def frozen(params: Any) -> Any:
        return whole.pose(replace(params, jaw_pose=params.jaw_pose.detach()))

    found = failures(conformance.check(FaultyHead(pose=frozen), "head_model"))
    assert list(found) == ["gradients are right"]


class TwoArguments:
    suffix = "ply"

    def segment(self, images: torch.Tensor) -> None: ...

    def refine(self, request: Any) -> None: ...

    def edit(self, views: torch.Tensor, masks: torch.Tensor, step: Any) -> None: ...

    def track(self, capture: Any, head: Any) -> None: ...

    def export(self, avatar: Any) -> None: ...

    def score(self, edit: Any) -> None: ...


@pytest.mark.parametrize("role", ["segmenter", "refiner", "editor", "tracker", "exporter", "metric"])
def test_a_method_without_the_contracts_arguments_is_found(role: Role) -> None:
    found = failures(conformance.check(TwoArguments(), role))
    assert "cannot be called" in found["its method fits"]
    assert role != "exporter" or "its suffix is one" in found


def test_faulty_parts_of_the_edit_loop_are_found() -> None:
    class Discriminator(type(template("discriminator"))):  # type: ignore[misc]
        def d_loss(self, real: Any, fake: Any, condition: Any) -> Any:
            return (
                torch.relu(1 - self.logits(real, condition)).mean()
                + torch.relu(1 + self.logits(fake, condition)).mean()
            )

    assert list(failures(conformance.check(Discriminator(), "discriminator"))) == [
        "the fake is detached for d and not for g"
    ]

    class Editor(type(template("editor"))):  # type: ignore[misc]
        def edit(self, views: Any, *arguments: Any, **keywords: Any) -> Any:
            return views.mul_(2.0)

    assert "edit changed its input" in str(failures(conformance.check(Editor(), "editor")))

    class Segmenter(type(template("segmenter"))):  # type: ignore[misc]
        def segment(self, images: Any, views: Any) -> Any:
            return super().segment(images, views) * 2

    assert "sum to 1" in str(failures(conformance.check(Segmenter(), "segmenter")))


def test_faulty_metrics_are_found() -> None:
    def said(change: Any) -> str:
        class Metric(type(template("metric"))):  # type: ignore[misc]
            def score(self, edit: Any, run: Any) -> Any:
                return change(edit, super().score(edit, run))

        return str(failures(conformance.check(Metric(), "metric")))

    assert said(lambda edit, found: found) == "{}"
    assert "'mine' has 2 values for 1 views" in said(lambda edit, found: (replace(found[0], views=found[0].views * 2),))
    nan = "'mine' has a value that is not finite"
    assert nan in said(
        lambda edit, found: (replace(found[0], views=tuple(0.0 / v if v else float("nan") for v in found[0].views)),)
    )
    assert "names must be unique" in said(lambda edit, found: found * 2)
    assert "not avatarkit.contracts.Measured" in said(lambda edit, found: (0.5,))
    assert "names of two edits differ" in said(lambda edit, found: (replace(found[0], name=f"of {len(edit.before)}"),))
    assert "no figure for an edit that changed nothing" in said(
        lambda edit, found: found if any(found[0].views) else ()
    )
    assert "score changed its input" in said(lambda edit, found: (edit.after.mul_(0.5), found)[1])
    numbers = iter(range(99))
    assert "then" in said(lambda edit, found: (replace(found[0], views=(float(next(numbers)),) * len(edit.before)),))
