import numpy as np
import pytest
from kdutils.mc_dropout import MCPrediction
from kdutils.plumbing.store import from_npz
from kdutils.predictions import entropy, pack, unpack
from scipy import stats


@pytest.mark.parametrize("given", [[0.2, 0.8, 0.0], [[0, 1, 0], [1, 0, 0]], (0.5, 0.5), np.float32([[0.25, 0.75]])])
def test_entropy_takes_lists_and_whole_numbers(given):
    np.testing.assert_allclose(entropy(given), stats.entropy(given, axis=-1), rtol=1e-6)


@pytest.mark.parametrize("once", [True, False])
def test_what_is_twice_the_same_is_stored_once(once):
    """A one-pass network's mean is its answer with dropout off."""
    chance = np.random.default_rng(0)
    mean, other = (chance.dirichlet(np.ones(3), 20) for _ in range(2))
    made = MCPrediction(mean, mean * (1 - mean), np.zeros(20), mean.max(1), mean if once else other)
    content = pack(made, np.zeros(20, np.uint8))
    assert ("deterministic" in from_npz(content)) is not once
    found = unpack(content)
    np.testing.assert_allclose(found.mc_mean, mean, rtol=0.01)
    np.testing.assert_allclose(found.deterministic, made.deterministic, rtol=0.01)
    assert np.array_equal(found.mc_mean, found.deterministic) is once
