import pytest
import torch
from kdutils.plumbing.compute import precision, seeded

CPU = torch.device("cpu")


def test_seeded_starts_from_the_seed_and_puts_back_even_after_an_error():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with seeded(11, CPU):
        drawn = torch.rand(3)
    with seeded(11, CPU):
        assert torch.equal(torch.rand(3), drawn)
    with pytest.raises(RuntimeError, match="shape"), seeded(11, CPU):
        torch.rand(3).reshape(2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((9, 0), torch.bfloat16), ((8, 0), torch.bfloat16), ((7, 5), torch.float16), ((6, 1), torch.float32)],
)
def test_precision_is_what_the_gpu_computes_natively(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert precision(torch.device("cuda")) == expected


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        ({"_is_avx512_bf16_supported": True, "_is_amx_tile_supported": False}, torch.bfloat16),
        ({"_is_avx512_bf16_supported": False, "_is_amx_tile_supported": True}, torch.bfloat16),
        ({"_is_avx512_bf16_supported": False, "_is_amx_tile_supported": False}, torch.float32),
    ],
)
def test_precision_is_what_the_processor_computes_natively(monkeypatch, native, expected):
    for name, answer in native.items():
        monkeypatch.setattr(torch.cpu, name, lambda answer=answer: answer, raising=False)
    assert precision(CPU) == expected


def test_precision_is_32_bit_elsewhere():
    assert precision(torch.device("mps")) == torch.float32
