"""A loss that is not finite, a network that does not learn, a memory that is too small."""

import dataclasses
import re

import kdutils as kd
import numpy as np
import pytest
import torch
from faults import fault, finish, start
from kdutils.plumbing import compute

PROFILE = kd.Profile("tiny", 60, 20, 50, epochs=2, batch_size=20, peak_learning_rate=1e-3, mc_passes=3)


@pytest.mark.parametrize("rate", [1e9, 1e30])
def test_a_loss_that_is_not_finite_stops_the_training(rate, tmp_path):
    with fault("training that fails"):
        run = kd.Run(dataclasses.replace(PROFILE, peak_learning_rate=rate), 0, tmp_path, device="cpu")
        with pytest.raises(FloatingPointError, match=f"SN1: the loss is .* in epoch .*{re.escape(str(rate))}.*smaller"):
            run.network("SN1")
        assert not list(tmp_path.rglob("weights.safetensors"))


def test_a_network_that_does_not_learn_is_told_and_not_kept(tmp_path):
    with fault("training that fails"):
        profile = dataclasses.replace(
            PROFILE, train_images=400, validation_images=500, batch_size=2, peak_learning_rate=0
        )
        run = kd.Run(profile, 0, tmp_path, device="cpu")
        with pytest.raises(
            RuntimeError, match=r"does not learn: .* after 200 steps, in epoch 1 .*rate of 0: try another"
        ):
            run.network("SN1")
        assert not list(tmp_path.rglob("*.safetensors"))


def test_before_200_steps_it_may_still_learn(tmp_path):
    profile = dataclasses.replace(PROFILE, train_images=100, batch_size=1, epochs=1, peak_learning_rate=0)
    kd.Run(profile, 0, tmp_path, device="cpu").network("SN1")


# the C library hands freed blocks back, else it keeps them, and the limit counts them as used
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "1000000"}
SMALL_MEMORY = """
import resource, sys
import torch
import kdutils as kd
torch.set_num_threads(1)
images = torch.as_tensor(kd.data.load_mnist().test_images[:2000])
model = kd.models.build("SN1").eval()
kd.models.logits(model, images[:4])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 150_000_000,) * 2)
"""


def test_evaluation_goes_on_with_smaller_batches():
    code = """
first = kd.models.logits(model, images, batch_size=2000)
print("agree", torch.allclose(first, kd.models.logits(model, images, batch_size=50), atol=1e-4))
"""
    with fault("memory too small"):
        status, said = finish(start(SMALL_MEMORY + code, env=GIVE_BACK))
        assert status == 0, said
        assert "not enough memory: retrying with batches of 1000 images" in said
        assert "agree True" in said


def test_prediction_goes_on_with_smaller_batches():
    code = """
made = kd.mc_dropout.predict(model, images, passes=2, batch_size=2000)
print("whole", made.mean.shape == (2000, 10))
"""
    with fault("memory too small"):
        status, said = finish(start(SMALL_MEMORY + code, env=GIVE_BACK))
        assert status == 0, said
        assert "not enough memory: retrying with batches of 1000 images" in said
        assert "whole True" in said


def test_training_says_which_setting_to_lower():
    code = """
part = kd.data.Part(images.numpy(), kd.data.load_mnist().test_labels[:2000])
profile = kd.Profile("tiny", 2000, 100, 100, epochs=1, batch_size=2000, peak_learning_rate=1e-3, mc_passes=3)
kd.training.train(model, part, part, profile, seed=0, name="SN1")
"""
    with fault("memory too small"):
        status, said = finish(start(SMALL_MEMORY + code, env=GIVE_BACK))
        assert status != 0
        assert said.strip().splitlines()[-1] == (
            "MemoryError: SN1: not enough memory for batches of 2000 images: lower the profile's batch_size"
        )


SHORT = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), MemoryError()]
SHORT += [
    RuntimeError(f"could not {verb} a {noun}") for verb in ("create", "execute") for noun in ("memory", "primitive")
]


@pytest.mark.parametrize("error", SHORT)
def test_a_batch_is_halved_until_it_fits(error):
    """What CUDA and oneDNN raise, raised by hand: there is no GPU here, and oneDNN's words change with the shortage."""
    tried = []

    def halved(size):
        tried.append(size)
        if size > 3:
            raise error
        return np.arange(size)

    with fault("memory too small"):
        assert len(compute.with_less_memory(halved, 25)) == 3
        assert tried == [25, 12, 6, 3]


OTHERS = [
    "shapes do not match",
    "could not create a primitive descriptor for a convolution forward propagation primitive",
]


@pytest.mark.parametrize(
    ("message", "sizes"), [*((other, [8]) for other in OTHERS), ("CUDA out of memory", [8, 4, 2, 1])]
)
def test_other_errors_and_a_single_image_that_does_not_fit_are_not_hidden(message, sizes):
    tried = []

    def fail(size):
        tried.append(size)
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match=message):
        compute.with_less_memory(fail, 8)
    assert tried == sizes
