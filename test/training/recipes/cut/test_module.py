"""Who gets a gradient of what, what is learnt, and what is scored."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.networks.translation.generator import CutGenerator
from relpose_training.data.stream import batches
from relpose_training.engine.device import Place
from relpose_training.losses.adversarial import discriminator_loss
from relpose_training.recipes.cut.module import CutModule
from relpose_training.recipes.cut.statistics import looks_distance, outline_agreement, patch_directions


@pytest.fixture
def module(recipe):
    """Small, with a batch of four images of each domain: `module(nce_weight=0.5)`."""

    def make(**values):
        chosen = recipe(**values)
        torch.manual_seed(2)
        made = CutModule(CutGenerator(channels=8, blocks=2), chosen.config)
        return made, next(iter(batches(chosen.training_data(Place()), 4, seed=0)))

    return make


def gradients(module, prefix):
    return {n: p.grad.clone() for n, p in module.named_parameters() if n.startswith(prefix)}


def same(a, b):
    return a.keys() == b.keys() and all(torch.allclose(a[n], b[n], rtol=1e-4, atol=1e-7) for n in a)


def test_every_parameter_gets_a_gradient(module):
    made, batch = module()
    made(batch, 0)["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())


def test_the_discriminator_learns_of_its_own_loss_alone(module):
    made, batch = module()
    made(batch, 0)["loss"].backward()
    together = gradients(made, "discriminator.")
    made.zero_grad()
    with torch.no_grad():
        fakes = made.network(batch["source"])[0]
    discriminator_loss(made.discriminator(batch["target"]), made.discriminator(fakes)).backward()
    assert same(together, gradients(made, "discriminator."))


def test_the_generator_learns_nothing_of_the_discriminators_loss(module):
    made, batch = module()
    torch.manual_seed(0)
    values = made(batch, 0)
    (values["loss"] - values["discriminator"]).backward()
    alone = gradients(made, "network.")
    assert not any(g.any() for g in gradients(made, "discriminator.").values())
    made.zero_grad()
    torch.manual_seed(0)
    made(batch, 0)["loss"].backward()
    assert same(alone, gradients(made, "network."))


def test_the_generator_is_drawn_to_what_is_called_real(module):
    """The adversarial term reaches it through the discriminator's constants."""
    made, batch = module(nce_weight=1e-12)
    made(batch, 0)["gan"].backward()
    assert sum(p.grad.abs().sum() for p in made.network.parameters() if p.grad is not None) > 0


def test_without_identity_the_target_is_not_translated(module):
    made, batch = module(identity=False, nce_weight=2.0, gan_weight=0.5)
    values = {name: value.item() for name, value in made(batch, 0).items()}
    assert values["nce_identity"] == 0
    expected = 2 * values["nce"] + 0.5 * values["gan"] + values["discriminator"]
    assert values["loss"] == pytest.approx(expected, rel=1e-5)


def test_colours_go_over_and_outlines_stay(module):
    made, batch = module(patches=64)
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-3, betas=(0.5, 0.999))
    with torch.no_grad():
        before = {name: value.mean().item() for name, value in made.score(batch).items()}
    for step in range(36):
        optimizer.zero_grad()
        made(batch, step)["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        after = {name: value.mean().item() for name, value in made.score(batch).items()}
        red, _, blue = made.network(batch["source"])[0].mean(dim=(0, 2, 3)).tolist()
    source, target = (batch[name].mean(dim=(0, 2, 3)) for name in ("source", "target"))
    assert source[0] - source[2] > 0.4 and target[0] - target[2] < -0.4
    assert red - blue < 0, "the colours of the target"
    assert after["looks"] < 0.75 * after["looks_before"]
    assert after["nce"] < 0.7 * before["nce"]
    assert after["outlines"] > before["outlines"] + 0.1


def test_scores_of_an_image_do_not_depend_on_its_neighbours(module):
    made, batch = module()
    made.eval()
    with torch.no_grad():
        together = made.score(batch)
        alone = made.score({name: value[2:3] for name, value in batch.items()})
    assert all(torch.allclose(together[name][2:3], alone[name], atol=1e-5) for name in together)


def test_looks_are_colour_and_texture_and_not_what_is_where():
    directions = patch_directions()
    noise = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0)) * 0.2
    shuffled = torch.roll(noise, (13, 7), (2, 3))
    assert (looks_distance(noise, shuffled, directions) < 0.02).all()
    assert (looks_distance(noise, noise + 0.3, directions) > 0.1).all()  # colour
    smooth = torch.nn.functional.avg_pool2d(noise, 3, 1, 1)
    assert (looks_distance(noise, smooth, directions) > 0.05).all()  # texture


def test_outlines_agree_whatever_the_colours():
    image = torch.zeros(1, 3, 20, 20)
    image[:, :, 5:12, 6:15] = 1.0
    assert outline_agreement(image, 0.5 - 0.3 * image).item() == pytest.approx(1.0, abs=1e-3)
    assert outline_agreement(image, torch.roll(image, 4, 3)).item() < 0.7
