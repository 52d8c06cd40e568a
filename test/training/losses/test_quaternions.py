"""Quaternions as tensors against scipy's rotations, and their gradients where formulas divide by zero."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial.transform import Rotation

from relpose_training.losses.quaternions import (
    conjugate,
    multiply,
    quaternion_of_rotation_vector,
    rotation_vector_of_quaternion,
)

VECTORS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_exp_and_product_agree_with_scipy():
    quaternions = quaternion_of_rotation_vector(VECTORS)
    expected = torch.from_numpy(Rotation.from_rotvec(VECTORS.numpy()).as_quat())
    torch.testing.assert_close(quaternions, expected)
    product = Rotation.from_rotvec(VECTORS[:20].numpy()) * Rotation.from_rotvec(VECTORS[20:].numpy())
    ours = rotation_vector_of_quaternion(multiply(quaternions[:20], quaternions[20:]))
    torch.testing.assert_close(ours, torch.from_numpy(product.as_rotvec()))


def test_the_conjugate_undoes_and_the_sign_does_not_matter():
    quaternions = quaternion_of_rotation_vector(VECTORS)
    one = torch.tensor([0.0, 0, 0, 1], dtype=torch.float64).expand(40, 4)
    torch.testing.assert_close(multiply(conjugate(quaternions), quaternions), one)
    torch.testing.assert_close(
        rotation_vector_of_quaternion(-quaternions), rotation_vector_of_quaternion(quaternions)
    )


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-6, 1e-3, 1.0, 3.1])
def test_both_ways_with_finite_gradients(size):
    vector = (size * torch.tensor([0.6, 0.0, -0.8], dtype=torch.float64)).requires_grad_()
    back = rotation_vector_of_quaternion(quaternion_of_rotation_vector(vector))
    torch.testing.assert_close(back, vector, rtol=1e-7, atol=1e-15)
    back.sum().backward()
    torch.testing.assert_close(vector.grad, torch.ones(3, dtype=torch.float64), rtol=1e-6, atol=1e-6)
