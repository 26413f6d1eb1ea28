"""An exported network gives the same numbers, with the lines around it that docs/deploy.md prints."""

import re
from pathlib import Path

import kdutils as kd
import numpy as np
import pytest
import torch

PAGE = (Path(__file__).parents[1] / "docs" / "deploy.md").read_text(encoding="utf-8")
_, BEFORE, AFTER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
WHY = "needs the extra onnx: pip install -e .[onnx]"

for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package, reason=WHY)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """SN1 with random weights, and an onnxruntime session of its file."""
    import onnxruntime

    network, path = kd.models.build("SN1", seed=0).eval(), tmp_path_factory.mktemp("onnx") / "SN1.onnx"
    example = (torch.zeros(2, 1, 32, 32),)
    names = {"input_names": ["images"], "output_names": ["logits"]}
    sizes = {"dynamic_shapes": ({0: "batch"},), "external_data": False}
    torch.onnx.export(network, example, path, **names, **sizes, verbose=False)
    assert [file.name for file in path.parent.iterdir()] == ["SN1.onnx"]
    return network, onnxruntime.InferenceSession(path)


@pytest.mark.parametrize("n", [1, 2, 50])
def test_an_exported_network_gives_the_same_logits(exported, mnist, n):
    network, session = exported
    images = kd.data.preprocess(mnist.test_images[:n])
    expected = kd.models.logits(network, images).numpy()
    for _ in range(2):  # no dropout in it
        (logits,) = session.run(None, {"images": images.numpy()})
        np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert np.abs(expected).max() > 1


def test_what_goes_around_it_is_what_kdutils_does(exported, mnist):
    network, session = exported
    images = mnist.test_images[:20]
    names = {"images": images}
    exec(BEFORE, names)
    np.testing.assert_allclose(names["pixels"], kd.data.preprocess(images), atol=1e-6)
    (names["logits"],) = session.run(None, {"images": names["pixels"].astype(np.float32)})
    exec(AFTER, names)
    made = kd.one_pass.predict(network, images)
    np.testing.assert_allclose(names["p"], made.mean, atol=1e-4)
    np.testing.assert_allclose(names["information"], made.entropy - made.expected_entropy, atol=1e-4)
