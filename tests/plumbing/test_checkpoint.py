import torch
from kdutils.plumbing import checkpoint


def test_tensors_come_back_from_bytes():
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}
    found = checkpoint.from_safetensors(checkpoint.to_safetensors(tensors))
    assert {key: value.tolist() for key, value in found.items()} == {"a": [[0, 1, 2], [3, 4, 5]], "b": [1, 2]}
