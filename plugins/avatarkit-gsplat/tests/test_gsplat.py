"""The gsplat plugin: registration, every error path, and its layout against gsplat's own signature; the kernels need a GPU.

Without a GPU, gsplat's ``rasterization`` is played by the float64 reference behind gsplat's signature, so that everything around
the kernels (batch axes, intrinsics, sums, backgrounds, invisible splats, 2D-mean gradients) is held to the same conformance
checks as on a GPU.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import subprocess
import sys
import types
from typing import Any

import pytest
import torch
from torch import Tensor

from avatarkit.cameras import Cameras
from avatarkit.errors import EnvironmentProblem, InputError, MissingDependency
from avatarkit.registry import registry
from avatarkit.render.arguments import checked
from avatarkit.render.reference import ReferenceRasterizer
from avatarkit.testing import conformance
from avatarkit.testing.scenes import scene

pytest.importorskip("avatarkit_gsplat", reason="the plugin avatarkit-gsplat is not installed")
from avatarkit_gsplat import kernels, provider, rasterizer


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
    assert not Ks.requires_grad and not packed and (near_plane, eps2d) == (0.01, 0.3)
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
    return image.reshape(size), made.alpha.movedim(1, -1).reshape(size), {"means2d": means2d, "radii": radii}


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
    monkeypatch.setattr(rasterizer, "load_kernels", lambda: kernels.Kernels(fake_rasterization, "1.5.3"))

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
            made = {"gsplat.cuda._backend": backend, "gsplat.rendering": rendering}[name]
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
