"""The loss of a batch is the formula; cameras of any shape; true coordinates cost nothing in any stage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scene_fixture import write_room

from relpose_ros.geometry.cameras import Camera
from relpose_training.recipes.scene_coordinates.models import NETWORKS
from relpose_training.recipes.scene_coordinates.scoring import FAILED_M, summarise
from relpose_training.recipes.scene_coordinates.targets import point_targets, ray_targets

PORTRAIT = Camera("plumb_bob", 90.0, 120.0, 50.0, 75.0, 96, 144, (-0.15, 0.05, 0.001, -0.001))


class Oracle(torch.nn.Module):
    """Says what it is told."""

    def __init__(self, said):
        super().__init__()
        self.said = torch.nn.Parameter(said)

    def forward(self, image):
        return (self.said,)


def told(recipe, said):
    module = recipe.module()
    module.network = Oracle(said)
    return module


@pytest.fixture(scope="module")
def portrait_set(tmp_path_factory):
    """A room seen by a camera on its side, with fx != fy and a lens."""
    return write_room(tmp_path_factory.mktemp("portrait"), train=4, val=2, camera=PORTRAIT)


STAGES = (
    {"loss": "dsacstar"},
    {"loss": "dsacstar", "supervision": "rgb"},
    {"loss": "dsacstar", "supervision": "depth"},
    {"loss": "transpose"},
    {"loss": "crossloc"},
    {"loss": "kfnet"},
    {"stage": "end_to_end", "start_from": "a.safetensors", "hypotheses": 4},
    {"stage": "end_to_end", "start_from": "a.safetensors", "supervision": "depth", "threshold": 0.05},
)


@pytest.mark.parametrize("settings", STAGES, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("turned", [False, True], ids=["upright", "turned"])
def test_true_coordinates_cost_nothing_whatever_the_camera(recipe, batch, portrait_set, settings, turned):
    canvas = {"canvas": (96, 48), "height": 48, "data": str(portrait_set), "batch_size": 2}
    augment = {"augment_scale": 1.3, "augment_angle_deg": 20.0} if turned else {}
    chosen = recipe(**(canvas | augment | settings))
    seen = batch(chosen)
    known = seen["known"] & seen["inside"]
    assert known.float().mean() > 0.3 and (~seen["inside"]).any()
    seen["inside"] = known  # what is not known cannot be right
    off = torch.tensor([0.3, -0.2, 0.25])[:, None, None]
    with torch.no_grad():
        right = float(told(chosen, seen["coordinates"])(seen, 0)["loss"])
        wrong = float(told(chosen, seen["coordinates"] + off)(seen, 0)["loss"])
    assert right < 0.35  # depth is stored in millimetres, and in single precision
    assert wrong > max(3 * right, 0.1)


def test_the_losses_are_the_formulas(recipe, batch):
    chosen = recipe()
    seen = batch(chosen)
    known = seen["known"] & seen["inside"]
    noise = 0.5 * torch.randn(seen["coordinates"].shape, generator=torch.Generator().manual_seed(0))
    said, distance = seen["coordinates"] + noise, noise.norm(dim=1)
    cells = known.float().mean(dim=(1, 2))  # every cell is inside here
    assert seen["inside"].all()

    def value(**settings):
        return float(told(recipe(**settings), said.clone())(seen, 0)["loss"].detach())

    mean = torch.where(known, distance, 0).sum((1, 2)) / known.sum((1, 2))
    assert value(supervision="depth") == pytest.approx(float(mean.mean()), rel=1e-4)
    squared = distance.square()[known].mean()
    assert value(loss="kfnet") == pytest.approx(float(squared), rel=1e-4)
    # A tolerance that nothing keeps: every known cell is drawn to its label, the others count nothing.
    assert value(tolerance=1e-6) == pytest.approx(float((mean * cells).mean()), rel=1e-4)
    # A reprojection error that never counts leaves CrossLoc its distance to the label.
    assert value(loss="crossloc", hard_clamp=1e-6) == pytest.approx(float((mean * cells).mean()), rel=1e-4)
    local = torch.einsum("bji,bjhw->bihw", seen["pose"][:, :3, :3], said - seen["pose"][:, :3, 3, None, None])
    projected = torch.einsum("bij,bjhw->bihw", seen["matrix"], local)
    error = (projected[:, :2] / projected[:, 2:] - seen["pixels"]).norm(dim=1)
    assert (local[:, 2] > 0.1).all() and error.max() < 100
    assert value(tolerance=10.0) == pytest.approx(float(error.mean()), rel=1e-3)
    assert value(supervision="rgb") == pytest.approx(float(error.mean()), rel=1e-3)


def test_what_is_said_of_errors_is_part_of_the_loss(recipe, batch):
    seen = batch(recipe())
    known = seen["known"] & seen["inside"]
    said = seen["coordinates"] + 0.1
    scale = torch.full_like(said[:, :1], 0.2)
    factor = torch.cat([scale, 0 * scale, scale, 0 * scale, 0 * scale, scale], dim=1)
    expected = 3 * np.log(0.2) + 0.03 / (2 * 0.04)
    for uncertainty, deviation in (("isotropic", scale), ("anisotropic", factor)):
        chosen = recipe(loss="kfnet", uncertainty=uncertainty)
        value = told(chosen, torch.cat([said, deviation], dim=1))(seen, 0)["loss"].detach()
        assert float(value) == pytest.approx(expected, rel=1e-3)
        chosen = recipe(loss="crossloc", uncertainty=uncertainty, hard_clamp=1e-6)
        value = told(chosen, torch.cat([said, deviation], dim=1))(seen, 0)["loss"].detach()
        assert float(value) == pytest.approx(expected * float(known.float().mean()), rel=1e-3)


def test_padding_has_no_part_in_anything(recipe, batch, portrait_set):
    """Whatever stands there, and whatever its pixels are, nothing changes, and nothing is learned of it."""
    chosen = recipe(data=str(portrait_set), canvas=(96, 96), batch_size=2)
    seen = batch(chosen)
    outside = ~seen["inside"]
    assert 0.2 < float(outside.float().mean()) < 0.8
    for settings in STAGES[:-1]:
        chosen = recipe(data=str(portrait_set), canvas=(96, 96), batch_size=2, **settings)
        values = []
        for junk, pixel in ((0.0, 0.0), (50.0, float("nan"))):
            said = torch.where(outside[:, None], junk, seen["coordinates"] + 0.2)
            pixels = torch.where(outside[:, None], pixel, seen["pixels"])
            module = told(chosen, said)
            loss = module(seen | {"pixels": pixels}, 0)["loss"]
            loss.backward()
            gradient = module.network.said.grad
            assert torch.isfinite(gradient).all() and gradient.movedim(1, -1)[outside].abs().max() == 0
            values.append(float(loss.detach()))
        assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_targets_are_what_the_cells_see(recipe, batch, portrait_set):
    seen = batch(recipe(data=str(portrait_set), canvas=(96, 48), batch_size=2), "val")
    for rays, points, depth in zip(ray_targets(seen), point_targets(seen), seen["depth"], strict=True):
        known = depth.flatten().numpy() > 0
        np.testing.assert_allclose(points.points[known, :2] / points.points[known, 2:], rays.rays[known])
        assert np.isnan(points.points[~known]).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_learns_in_all_of_its_parameters(recipe, batch, network):
    said = NETWORKS[network].uncertainties[-1]  # or several GPUs would wait for ever
    chosen = recipe(network=network, uncertainty=said, loss="kfnet", batch_size=1, mean_samples=1)
    module = chosen.module().train()
    chosen.start(module)
    values = module(batch(chosen), 0)
    values["loss"].backward()
    assert torch.isfinite(values["loss"])
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters() if p.requires_grad)
    assert sum(bool(p.grad.any()) for p in module.parameters()) > 0.9 * len(list(module.parameters()))


def test_mixed_precision_computes_the_loss_in_single(recipe, batch, learned):
    chosen = recipe(start_from=learned / "last.safetensors")
    module, seen = chosen.module().eval(), batch(chosen)
    chosen.start(module)
    with torch.no_grad():
        exact = module(seen, 0)["loss"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = module(seen, 0)["loss"]
    assert rough.dtype == torch.float32 and float(rough) == pytest.approx(float(exact), rel=0.1)


def test_scores_of_true_coordinates(recipe, batch, portrait_set):
    chosen = recipe(data=str(portrait_set), canvas=(96, 48), batch_size=2, threshold=2.0)
    seen = batch(chosen, "val")
    good = told(chosen, seen["coordinates"].clone()).score(seen)
    assert good["translation_m"].max() < 0.03 and good["rotation_deg"].max() < 1
    assert good["within_10px"].min() > 0.9 and good["coordinate_m"].max() < 1e-4
    with torch.autocast("cpu", dtype=torch.bfloat16):  # as validation runs: metres and pixels stay exact
        mixed = told(chosen, seen["coordinates"].clone()).score(seen)
    assert all(torch.equal(good[name], mixed[name]) for name in ("translation_m", "within_10px"))
    bad = told(chosen, 20 * torch.randn(2, 3, 12, 6, generator=torch.Generator().manual_seed(0))).score(seen)
    assert bad["translation_m"].min() > FAILED_M
    worse = {name: np.asarray(torch.cat([good[name], bad[name], bad[name]])) for name in good}
    metrics = summarise(worse)
    assert metrics["median_translation_m"] > FAILED_M and metrics["failures"] == pytest.approx(2 / 3)
    assert "nll" not in metrics
