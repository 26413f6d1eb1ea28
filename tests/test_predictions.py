import numpy as np
import pytest
from kdutils.predictions import entropy
from scipy import stats


@pytest.mark.parametrize("given", [[0.2, 0.8, 0.0], [[0, 1, 0], [1, 0, 0]], (0.5, 0.5), np.float32([[0.25, 0.75]])])
def test_entropy_takes_lists_and_whole_numbers(given):
    np.testing.assert_allclose(entropy(given), stats.entropy(given, axis=-1), rtol=1e-6)
