"""The gsplat plugin: registration, every error path, and its layout against gsplat's own signature; the kernels need a GPU.

Without a GPU, gsplat's ``rasterization`` is played by the float64 reference behind gsplat's signature, so that everything around
the kernels (batch axes, intrinsics, sums, backgrounds, invisible splats, 2D-mean gradients) is held to the same conformance
checks as on a GPU.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import io
import os
import subprocess
import sys
import time
import types
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.errors import EnvironmentProblem, InputError, MissingDependency
from avatarkit.registry import registry
from avatarkit.render.arguments import checked
from avatarkit.render.reference import ReferenceRasterizer
from avatarkit.testing import conformance
from avatarkit.testing.scenes import scene

pytest.importorskip("avatarkit_gsplat", reason="the plugin avatarkit-gsplat is not installed")
from avatarkit_gsplat import compiling, kernels, provider, rasterizer


def fake_rasterization(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor, Ks: Tensor,
    width: int, height: int, near_plane: float = 0.01, eps2d: float = 0.3, packed: bool = True, absgrad: bool = False,
    rasterize_mode: str = "classic", render_mode: str = "RGB", channel_chunk: int = 32,
) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
    """What gsplat 1.5.3 documents for these arguments, with its assertions on shapes, by the reference."""
    batch_dims, count, cameras = means.shape[:-2], means.shape[-2], viewmats.shape[-3]
    assert quats.shape == (*batch_dims, count, 4) and scales.shape == (*batch_dims, count, 3)
    assert opacities.shape == (*batch_dims, count) and Ks.shape == (*batch_dims, cameras, 3, 3)
    assert colors.shape[:-1] in ((*batch_dims, count), (*batch_dims, cameras, count))
    assert viewmats.shape == (*batch_dims, cameras, 4, 4) and len(batch_dims) <= 1
    assert not Ks.requires_grad and not packed and near_plane == 0.01
    assert eps2d == {"classic": 0.3, "antialiased": 0.1}[rasterize_mode]
    assert colors.shape[-1] <= channel_chunk or not absgrad
    total = viewmats.reshape(-1, 4, 4).shape[0]
    if batch_dims:
        assert cameras == 1
        if colors.dim() == 4:
            colors = colors[:, 0]
    made = ReferenceRasterizer().render(
        means, quats, scales, opacities, colors, Cameras(viewmats.reshape(-1, 4, 4), Ks.reshape(-1, 3, 3), width, height),
        antialiased=rasterize_mode == "antialiased", absgrad=absgrad,
    )  # fmt: skip
    image = made.features.movedim(1, -1)
    if render_mode == "RGB+ED":
        image = torch.cat([image, made.depth.movedim(1, -1)], -1)
    gradients = made.mean2d_gradients
    means2d = FakeMeans2d(made.means2d, gradients, absgrad, (*batch_dims, cameras, count, 2))
    radii = made.radii[..., None].expand(total, count, 2).reshape(*batch_dims, cameras, count, 2)
    size = (*batch_dims, cameras, height, width, -1)
    meta = {"means2d": means2d, "radii": radii, "tile_size": 16, "isect_offsets": None}
    meta |= projected(means, quats, scales, opacities, viewmats, Ks, width, height, rasterize_mode == "antialiased")
    return image.reshape(size), made.alpha.movedim(1, -1).reshape(size), meta


def projected(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, viewmats: Tensor, Ks: Tensor, width: int, height: int,
    antialiased: bool,
) -> dict[str, Tensor]:  # fmt: skip
    """conics, opacities and, in place of gsplat's list by tile, the order by depth, by gsplat's own torch code."""
    if importlib.util.find_spec("gsplat") is None:
        return {}
    from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci

    with torch.no_grad():
        covars, _ = _quat_scale_to_covar_preci(torch.nn.functional.normalize(quats, dim=-1), scales, True, False, False)
        radii, _, depths, conics, compensations = _fully_fused_projection(
            means, covars, viewmats, Ks, width, height, calc_compensations=antialiased
        )
        seen = opacities[..., None, :].expand(depths.shape) * (1 if compensations is None else compensations)
        seen = torch.where((radii > 0).all(-1), seen, 0.0)
    return {"conics": conics, "opacities": seen, "flatten_ids": depths.argsort(dim=-1, stable=True)}


def fake_indices(
    range_start: int, range_end: int, transmittances: Tensor, means2d: Tensor, conics: Tensor, opacities: Tensor,
    image_width: int, image_height: int, tile_size: int, isect_offsets: Tensor, flatten_ids: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """``rasterize_to_indices_in_range`` as its kernel does it: every pixel, front to back, cut and stop included."""
    assert range_start == 0 and transmittances.shape == (*means2d.shape[:-2], image_height, image_width)
    count = means2d.shape[-2]
    found = []
    rows, columns = torch.meshgrid(torch.arange(image_height) + 0.5, torch.arange(image_width) + 0.5, indexing="ij")
    for image, order in enumerate(flatten_ids.reshape(-1, count)):
        (x, y), (a, b, c) = means2d.reshape(-1, count, 2)[image, order].T, conics.reshape(-1, count, 3)[image, order].T
        dx, dy = columns.reshape(-1, 1) - x, rows.reshape(-1, 1) - y
        sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = (opacities.reshape(-1, count)[image, order] * torch.exp(-sigma)).clamp(max=0.999)
        alpha = torch.where((alpha < 1 / 255) | (sigma < 0), 0.0, alpha)
        listed = torch.nonzero((alpha > 0) & ((1 - alpha).cumprod(1) > 1e-4))
        found.append((order[listed[:, 1]], listed[:, 0], torch.full_like(listed[:, 0], image)))
    splats, pixels, images = (torch.cat(parts) for parts in zip(*found, strict=True))
    return splats, pixels, images


HAS_INDICES = fake_indices if importlib.util.find_spec("gsplat") is not None else None


class FakeMeans2d:
    """gsplat's ``meta["means2d"]``: a tensor that has ``grad`` and ``absgrad`` after backward."""

    requires_grad = True

    def __init__(self, values: Tensor, gradients: Any, absolute: bool, shape: tuple[int, ...]) -> None:
        self._values, self._gradients, self._absolute, self._shape = values, gradients, absolute, shape

    def retain_grad(self) -> None:
        pass

    def detach(self) -> Tensor:
        return self._values.reshape(self._shape)

    @property
    def grad(self) -> Tensor | None:
        return None if self._absolute else self._gradients().reshape(self._shape)

    @property
    def absgrad(self) -> Tensor | None:
        return self._gradients().reshape(self._shape) if self._absolute else None


@pytest.fixture
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> rasterizer.GsplatRasterizer:
    monkeypatch.setattr(rasterizer, "load_kernels", lambda: kernels.Kernels(fake_rasterization, "1.5.3", HAS_INDICES))
    monkeypatch.setattr(rasterizer.GsplatRasterizer, "device", "cpu")

    def on_cpu(*arguments: Any, device: str) -> Any:
        assert device == "cuda"
        return checked(*arguments)

    monkeypatch.setattr(rasterizer, "checked", on_cpu)
    return rasterizer.GsplatRasterizer()


@pytest.mark.parametrize("check", conformance.checks("rasterizer"), ids=conformance.name)
def test_everything_around_the_kernels_conforms(
    on_the_cpu: rasterizer.GsplatRasterizer, check: conformance.Check
) -> None:
    try:
        check(on_the_cpu)
    except conformance.Skipped as reason:
        pytest.skip(str(reason))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none here")
@pytest.mark.parametrize("check", conformance.checks("rasterizer"), ids=conformance.name)
def test_the_kernels_conform(check: conformance.Check) -> None:
    try:
        check(rasterizer.GsplatRasterizer())
    except conformance.Skipped as reason:
        pytest.skip(str(reason))


def test_the_arguments_are_those_of_the_installed_gsplat() -> None:
    gsplat = pytest.importorskip("gsplat.rendering", reason="gsplat is not installed")
    theirs = inspect.signature(gsplat.rasterization).parameters
    for name, parameter in inspect.signature(fake_rasterization).parameters.items():
        assert name in theirs
        assert parameter.default == theirs[name].default, name
    assert list(theirs)[:9] == list(inspect.signature(fake_rasterization).parameters)[:9]


def test_the_provider_is_light_and_found_by_its_entry_point() -> None:
    code = (
        "import sys; from avatarkit.registry import registry; p = registry().get('rasterizer', 'gsplat'); "
        "print(p.device, p.target, [m for m in ('torch', 'gsplat', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["cuda", "avatarkit_gsplat.rasterizer:GsplatRasterizer", "[]"], done.stderr


def test_it_is_the_default_only_where_cuda_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatarkit.registry.missing", lambda provider: [])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert registry().default("rasterizer") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert registry().default("rasterizer") == "gsplat"


# --- every way in which it can fail: one line that says what to do -----------------------------------------------------


@pytest.fixture
def with_cuda(monkeypatch: pytest.MonkeyPatch) -> Any:
    """torch says that CUDA works; gsplat's modules are set by the test."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    kernels.load_kernels.cache_clear()
    versions = {"gsplat": "1.5.3"}

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    def install(found: str | None, backend: Any = None, rendering: Any = None) -> None:
        versions.pop("gsplat") if found is None else versions.update(gsplat=found)

        def importing(name: str) -> Any:
            made = {"gsplat.cuda._backend": backend, "gsplat.rendering": rendering}.get(name, types.SimpleNamespace())
            if isinstance(made, Exception):
                print("gsplat: No CUDA toolkit found. gsplat will be disabled.")
                raise made
            return made

        monkeypatch.setattr(kernels.importlib, "import_module", importing)

    monkeypatch.setattr(kernels.importlib.metadata, "version", version)
    yield install
    kernels.load_kernels.cache_clear()


def failure() -> EnvironmentProblem:
    with pytest.raises(EnvironmentProblem) as caught:
        rasterizer.GsplatRasterizer()
    assert "\n" not in str(caught.value) and "NoneType" not in str(caught.value) and caught.value.exit_code == 3
    return caught.value


@pytest.mark.parametrize(
    ("device", "build", "words"),
    [
        (False, None, "no NVIDIA device; everything runs on the CPU; use --rasterizer cpu"),
        (True, None, "torch is the CPU build; install torch's CUDA build"),
        (True, "12.8", "that torch (CUDA 12.8) cannot use; update the NVIDIA driver"),
    ],
)
def test_no_usable_gpu(device: bool, build: str | None, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.load_kernels.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("avatarkit.machine.nvidia_device", lambda: device)
    monkeypatch.setattr(torch.version, "cuda", build)
    assert words in str(failure())
    with pytest.raises(EnvironmentProblem, match="rasterizer 'gsplat' needs"):
        registry().create("rasterizer", "gsplat")


def test_gsplat_is_not_installed(with_cuda: Any) -> None:
    with_cuda(None)
    assert isinstance(failure(), MissingDependency)


def test_gsplat_is_too_old(with_cuda: Any) -> None:
    with_cuda("1.4.0")
    assert "gsplat 1.4.0 is too old; run: pip install -U" in str(failure())


def test_no_nvcc(with_cuda: Any) -> None:
    with_cuda("1.5.3", types.SimpleNamespace(_C=None), types.SimpleNamespace(rasterization=None))
    assert "found no nvcc" in str(failure()) and "CUDA_HOME" in str(failure())


def test_the_kernels_do_not_compile(with_cuda: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with_cuda("1.5.3", RuntimeError("Error building extension 'gsplat_cuda':\nnvcc fatal: unsupported architecture\n"))
    assert "did not compile its kernels: Error building extension 'gsplat_cuda':" in str(failure())
    assert capsys.readouterr().out == ""


def test_gsplat_is_built_for_another_torch(with_cuda: Any) -> None:
    with_cuda("1.5.3", ImportError("undefined symbol: _ZN3c10"))
    assert "undefined symbol" in str(failure()) and "reinstall it" in str(failure())


def test_a_working_gsplat_is_taken(with_cuda: Any) -> None:
    with_cuda(
        "1.6.0+pt28cu128", types.SimpleNamespace(_C=object()), types.SimpleNamespace(rasterization=fake_rasterization)
    )
    assert kernels.load_kernels().version == "1.6.0+pt28cu128"
    assert rasterizer.GsplatRasterizer().name == "gsplat"


def test_tensors_on_the_wrong_device_and_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasterizer, "load_kernels", lambda: kernels.Kernels(fake_rasterization, "1.5.3"))
    part = rasterizer.GsplatRasterizer()
    with pytest.raises(InputError, match="on cpu; this rasterizer needs tensors on 'cuda'"):
        part.render(**scene(1).arguments())
    with pytest.raises(InputError, match="does not know the top contributor"):
        part.render(**scene(1).arguments(), top=True)
    assert "top" not in part.capabilities


def test_the_top_of_each_run() -> None:
    """By hand: T falls 1, 0.5 in the first place; equal weights go to the first; a place without pairs has nobody."""
    place, splats = torch.tensor([0, 0, 2, 2, 3]), torch.tensor([7, 4, 5, 9, 1])
    alpha = torch.tensor([0.5, 0.9, 0.5, 1.0 - 1e-9, 0.2])
    assert rasterizer.top_of_runs(place, splats, alpha.clamp(max=0.999), 4).tolist() == [7, -1, 5, 1]
    assert rasterizer.top_of_runs(place, splats, torch.tensor([0.3, 0.9, 0.1, 0.9, 0.2]), 4).tolist() == [4, -1, 9, 1]
    nothing = torch.zeros(0, dtype=torch.int64)
    assert rasterizer.top_of_runs(nothing, nothing, torch.zeros(0), 2).tolist() == [-1, -1]


def test_the_list_of_pairs_has_the_installed_gsplats_arguments() -> None:
    theirs = pytest.importorskip("gsplat", reason="gsplat is not installed").rasterize_to_indices_in_range
    assert list(inspect.signature(theirs).parameters) == list(inspect.signature(fake_indices).parameters)


# --- the compilation, said once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terminal", [False, True])
def test_a_compilation_is_said_with_progress(terminal: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "build_folder", lambda: tmp_path)
    monkeypatch.setattr(compiling, "count_sources", lambda: 3)
    monkeypatch.setattr(compiling, "has_compiler", lambda: True)
    monkeypatch.setattr(compiling, "EVERY", 0.0)
    monkeypatch.delenv("MAX_JOBS", raising=False)
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=200)
    with compiling.announced("1.5.3", console):
        assert os.environ["MAX_JOBS"] == str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        )
        (tmp_path / "one.o").touch()
        (tmp_path / "two.cuda.o").touch()
        deadline = time.monotonic() + 20
        while not terminal and "2 of 3" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
        (tmp_path / "gsplat_cuda.so").touch()
    said = stream.getvalue()
    assert (
        "gsplat 1.5.3 compiles its kernels, once" in said and ("2/3" if terminal else "2 of 3 files compiled") in said
    )
    assert "MAX_JOBS" not in os.environ
    stream.truncate(0)
    with compiling.announced("1.5.3", console):
        pass
    assert "compiles" not in stream.getvalue(), "the kernels are there"


def test_without_a_compiler_nothing_is_announced(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "build_folder", lambda: tmp_path)
    monkeypatch.setattr(compiling, "has_compiler", lambda: False)
    stream = io.StringIO()
    with compiling.announced("1.5.3", Console(file=stream)):
        pass
    assert stream.getvalue() == ""


def test_the_sources_of_the_installed_gsplat_are_counted() -> None:
    pytest.importorskip("gsplat", reason="gsplat is not installed")
    assert compiling.count_sources() > 20


def test_too_many_channels(on_the_cpu: rasterizer.GsplatRasterizer) -> None:
    with pytest.raises(InputError, match="600 channels; gsplat has at most 512"):
        on_the_cpu.render(**scene(1, count=1, channels=600).arguments())


def test_doctor_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatarkit.machine.nvidia_device", lambda: False)
    assert provider.gsplat_kernels().ok
    monkeypatch.setattr("avatarkit.machine.nvidia_device", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    kernels.load_kernels.cache_clear()
    row = provider.gsplat_kernels()
    assert not row.ok and row.mend


def test_gradients_by_intrinsics_do_not_change_the_view(on_the_cpu: rasterizer.GsplatRasterizer) -> None:
    """The change of frame that carries ∂/∂K is the identity in value, to the bit."""
    given, leaves = scene(3, views=2).leaves()
    assert torch.equal(rasterizer.viewmats_with_intrinsics(given.cameras), leaves["viewmats"])
