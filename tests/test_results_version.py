"""RESULTS_VERSION stands for these numbers: whoever changes them raises it and makes the results again."""

import copy

import kdutils as kd
import numpy as np
import pytest
import torch
from kdutils import runs
from kdutils.plumbing.compute import precision

CHANGED = "results change with this code: raise kdutils.runs.RESULTS_VERSION, make the results again, renew the numbers"
LAST_LAYER = {  # of a new network with seed 0: its first three weights
    "TN": [0.210586, -0.10777, -0.15149],
    "SN1": [-0.041289, 0.002787, 0.015412],
    "SN2": [0.005126, 0.012447, -0.076394],
    "SN3": [0.012579, 0.158964, -0.039739],
}
PASSES = [0.218003, 0.231591, 0.028891, 0.023948, 0.0102893, 0.403962]  # of SN1: four means, variance, largest
TRAINED = {  # of the tests' tiny run: last loss, mean confidence, mean variance
    ("SN1", torch.float32): [8.37841, 0.582849, 0.142034],
    ("KD-SN1", torch.float32): [45.0206, 0.562913, 0.110481],
    ("SN1", torch.bfloat16): [8.41306, 0.551514, 0.151536],
    ("KD-SN1", torch.bfloat16): [45.8959, 0.582284, 0.108302],
}
TOLERANCE = {torch.float32: 2e-3, torch.bfloat16: 5e-2}  # rounding differs between processors


def test_the_version_is_that_of_the_numbers_below():
    assert runs.RESULTS_VERSION == 2


@pytest.mark.parametrize("name", LAST_LAYER)
def test_a_new_network(name):
    weights = kd.models.build(name, seed=0).classifier[-1].weight.detach()
    np.testing.assert_allclose(weights[0, :3], LAST_LAYER[name], atol=1e-6, err_msg=CHANGED)


def test_stochastic_passes(sn1, mnist):
    network = copy.deepcopy(sn1)
    with torch.no_grad():
        network.classifier[-1].weight.mul_(0.3)
    made = kd.mc_dropout.predict(network, mnist.test_images[:20], passes=5, seed=0)
    found = [*made.mean[0, :4], made.variance.mean(), made.expected_max.mean()]
    np.testing.assert_allclose(found, PASSES, rtol=1e-3, err_msg=CHANGED)


@pytest.mark.parametrize("name", ["SN1", "KD-SN1"])
def test_training_and_prediction(finished_run, name):
    """Another order of the data or other masks would be far off."""
    made, history, dtype = finished_run.predictions(name), finished_run.history(name), precision(torch.device("cpu"))
    found = [history["epochs"][-1]["loss"], made.confidence.mean(), made.mc_variance.mean()]
    np.testing.assert_allclose(found, TRAINED[name, dtype], rtol=TOLERANCE[dtype], err_msg=CHANGED)
