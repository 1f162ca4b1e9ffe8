"""Spherical harmonics: against scipy's, orthonormal over the sphere, and the kernel against the torch body."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

from avatarkit.errors import InputError
from avatarkit.render.sh import MAX_DEGREE, sh_basis, sh_colours
from avatarkit.render.sh_cpu import direction_gradient, fill_basis


def directions(count: int = 50) -> torch.Tensor:
    values = np.random.default_rng(0).normal(size=(count, 3))
    return torch.from_numpy(values / np.linalg.norm(values, axis=1, keepdims=True))


def test_basis_is_the_real_spherical_harmonics() -> None:
    """Y_l^m from the complex ones with the Condon-Shortley phase kept, which gives the signs of 3DGS."""
    x = directions()
    theta, phi = np.arccos(x[:, 2].numpy()), np.arctan2(x[:, 1].numpy(), x[:, 0].numpy())
    expected = []
    for degree in range(MAX_DEGREE + 1):
        for order in range(-degree, degree + 1):
            complex_value = sph_harm_y(degree, abs(order), theta, phi)
            if order == 0:
                expected.append(complex_value.real)
            else:
                expected.append(np.sqrt(2) * (complex_value.imag if order < 0 else complex_value.real))
    np.testing.assert_allclose(sh_basis(x, MAX_DEGREE).numpy(), np.stack(expected, 1), atol=1e-12)


def test_basis_is_orthonormal() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(12)  # exact for the polynomials in z
    angles = np.arange(24) * 2 * np.pi / 24
    z, phi = (a.reshape(-1) for a in np.meshgrid(nodes, angles, indexing="ij"))
    area = np.repeat(weights, 24) * 2 * np.pi / 24
    r = np.sqrt(1 - z**2)
    basis = sh_basis(torch.from_numpy(np.stack([r * np.cos(phi), r * np.sin(phi), z], 1)), MAX_DEGREE).numpy()
    np.testing.assert_allclose((basis * area[:, None]).T @ basis, np.eye(25), atol=1e-12)


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_kernel_equals_torch(degree: int) -> None:
    weights = torch.from_numpy(np.random.default_rng(1).normal(size=(degree + 1) ** 2))
    for direction in directions(20):
        leaf = direction.clone().requires_grad_(True)
        exact = sh_basis(leaf, degree)
        (exact * weights).sum().backward()
        basis = np.zeros(25, np.float32)
        basis[0] = exact[0].item()
        x, y, z = direction.numpy().astype(np.float32)
        fill_basis(x, y, z, degree, basis)
        np.testing.assert_allclose(basis[: len(exact)], exact.detach().numpy(), atol=2e-6)
        gradient = direction_gradient(x, y, z, degree, weights.numpy().astype(np.float32))
        np.testing.assert_allclose(gradient, leaf.grad.numpy(), atol=2e-5)


def test_colours() -> None:
    sh = torch.zeros(3, 4, 3)
    sh[0, 0] = 1.0
    sh[1, 0] = -10.0
    sh[2, 2] = 1.0  # grows along z
    up = torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3)
    colours = sh_colours(sh, up, 1)
    assert colours[0].tolist() == pytest.approx([0.5 + 0.28209479177387814] * 3)
    assert colours[1].tolist() == [0.0, 0.0, 0.0]
    assert colours[2].tolist() == pytest.approx([0.5 + 0.4886025119029199] * 3)
    assert sh_colours(sh, None, 0)[2].tolist() == [0.5, 0.5, 0.5]


def test_what_cannot_be_evaluated_is_said() -> None:
    with pytest.raises(InputError, match="degree 5; expected 0 to 4"):
        sh_basis(directions(), 5)
    with pytest.raises(InputError, match="need view directions"):
        sh_colours(torch.zeros(1, 4, 3), None, 1)
