import math

import numpy as np
import pytest
import torch
from kdutils import data, models
from torch import nn

COUNTS = {"TN": 14_913_226, "SN1": 4_265_066, "SN2": 4_721_610, "SN3": 14_913_226}
WEIGHT_LAYERS = {"TN": 16, "SN1": 4, "SN2": 7, "SN3": 16}
DROPOUTS = {"TN": 2, "SN1": 1, "SN2": 2, "SN3": 2}


@pytest.fixture(scope="module", params=models.ARCHITECTURES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def network(name):
    return models.build(name, seed=3).eval()


def layers(network):
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def test_parameter_count_is_the_papers(name, network):
    assert models.parameter_count(network) == COUNTS[name]
    assert sum(p.numel() for p in network.parameters()) == COUNTS[name]


def test_parameter_count_leaves_out_what_does_not_train():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    network[0].bias.requires_grad_(False)
    assert models.parameter_count(network) == 6 + 4


def test_number_of_weight_layers(name, network):
    assert len(layers(network)) == WEIGHT_LAYERS[name]


def test_an_image_becomes_ten_logits(network, mnist):
    with torch.no_grad():
        output = network(data.preprocess(mnist.test_images[:2]))
    assert output.shape == (2, 10)
    assert output.dtype == torch.float32
    assert output.isfinite().all()
    assert (output.sum(1) != 1).all()


def test_dropout_of_a_half_follows_every_hidden_relu_of_the_classifier_and_nothing_else(name, network):
    kinds = [type(module) for module in network.classifier]
    hidden = [nn.Linear, nn.ReLU, nn.Dropout]
    assert kinds == [nn.Flatten, *hidden * DROPOUTS[name], nn.Linear]
    dropouts = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    assert [module.p for module in dropouts] == [0.5] * DROPOUTS[name]


def test_weights_are_he_initialised_and_biases_0(network):
    for layer in layers(network):
        weight = layer.weight.detach().double()
        he = math.sqrt(2 / weight[0].numel())
        assert weight.std().item() == pytest.approx(he, rel=4 / math.sqrt(2 * weight.numel()))
        assert abs(weight.mean().item()) < 4 * he / math.sqrt(weight.numel())
        assert (weight.abs() > 2 * he).double().mean().item() == pytest.approx(0.0455, abs=0.04)
        assert not layer.bias.any()


def test_same_seed_same_weights_and_another_seed_others():
    first, again, other = (models.build("SN1", seed).state_dict() for seed in (5, 5, 6))
    for key in first:
        assert torch.equal(first[key], again[key])
        assert torch.equal(first[key], other[key]) == key.endswith("bias")


def test_tn_and_sn3_of_one_seed_differ_in_every_weight():
    teacher, student = models.build("TN", 0).state_dict(), models.build("SN3", 0).state_dict()
    assert {key: v.shape for key, v in teacher.items()} == {key: v.shape for key, v in student.items()}
    for key in teacher:
        assert key.endswith("bias") or (teacher[key] == student[key]).double().mean() < 0.001


def test_building_leaves_the_global_random_state_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    models.build("SN1")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_global_random_state_has_no_say_in_the_weights(sn1):
    torch.manual_seed(99)
    for key, weights in models.build("SN1", seed=0).state_dict().items():
        assert torch.equal(weights, sn1.state_dict()[key])


@pytest.mark.parametrize("unknown", ["SN4", "KD-SN1", "sn1", "", None])
def test_an_unknown_name_lists_the_known_ones(unknown):
    with pytest.raises(ValueError, match="TN, SN1, SN2, SN3"):
        models.build(unknown)


@pytest.mark.parametrize("seed", [-1, 1.5, "0", True])
def test_a_wrong_seed_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        models.build("SN1", seed)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_logits_do_not_depend_on_the_batch(sn1, mnist, batch_size):
    images = mnist.test_images[:7]
    with torch.no_grad():
        one_by_one = torch.cat([sn1(data.preprocess(image[None])) for image in images])
    found = models.logits(sn1, images, batch_size=batch_size)
    torch.testing.assert_close(found, one_by_one, rtol=1e-4, atol=1e-4)
    assert found.std() > 0.1


def test_logits_are_in_evaluation_mode_and_put_the_flags_back(mnist):
    network = models.build("SN1")
    network.train()
    network.features.eval()
    flags = [module.training for module in network.modules()]
    images = mnist.test_images[:3]
    first, again = models.logits(network, images), models.logits(network, images)
    assert torch.equal(first, again)
    assert not first.requires_grad
    assert [module.training for module in network.modules()] == flags


def test_flags_are_put_back_when_logits_fail(mnist):
    network = models.build("SN1").train()
    with pytest.raises(ValueError, match="images must be uint8"):
        models.logits(network, mnist.test_images[:2].astype(np.int32))
    assert all(module.training for module in network.modules())


def test_logits_of_arrays_tensors_and_preprocessed_images_agree(sn1, mnist):
    images = mnist.test_images[:3]
    expected = models.logits(sn1, images)
    assert torch.equal(models.logits(sn1, torch.from_numpy(images)), expected)
    assert torch.equal(models.logits(sn1, data.preprocess(images)), expected)
    assert torch.equal(models.logits(sn1, data.preprocess(images).numpy()), expected)


def test_logits_in_16_bit_come_back_as_32_bit(sn1, mnist):
    images = mnist.test_images[:3]
    exact, rough = models.logits(sn1, images), models.logits(sn1, images, dtype=torch.bfloat16)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.05 * exact.abs().max().item())


@pytest.mark.parametrize("images_on", ["cpu", "cuda"])
def test_logits_are_computed_where_the_network_is(fake_gpu, sn1_on_fake_gpu, images_on):
    with fake_gpu:
        images = torch.zeros(3, 1, 28, 28, dtype=torch.uint8, device=images_on)
        found = models.logits(sn1_on_fake_gpu, images)
    assert (found.device.type, found.shape) == ("cuda", (3, 10))


def test_a_network_on_a_gpu_refuses_a_batch_elsewhere(fake_gpu, sn1_on_fake_gpu):
    with fake_gpu:
        assert sn1_on_fake_gpu(torch.zeros(3, 1, 32, 32, device="cuda")).device.type == "cuda"
        with pytest.raises(RuntimeError, match="same device"):
            sn1_on_fake_gpu(torch.zeros(3, 1, 32, 32))


def test_a_design_takes_the_place_of_the_papers(name):
    small = models.build(name, seed=3, design=("5x5:4 M 8 M", (6,)))
    assert models.parameter_count(small) == (25 * 4 + 4) + (9 * 4 * 8 + 8) + (7 * 7 * 8 * 6 + 6) + (6 * 10 + 10)
    assert len(models.description(name, design=("5x5:4 M 8 M", (6,)))) == len([*small.features, *small.classifier])


def test_a_design_that_pools_an_image_away_is_refused():
    with pytest.raises(ValueError, match="SN1: '8 M M M M M M' leaves nothing of an image of 32 × 32 pixels"):
        models.build("SN1", design=("8 M M M M M M", (6,)))
