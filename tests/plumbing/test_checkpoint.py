import pytest
import torch
from kdutils.plumbing import checkpoint


def test_tensors_come_back_from_bytes():
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}
    found = checkpoint.from_safetensors(checkpoint.to_safetensors(tensors))
    assert {key: value.tolist() for key, value in found.items()} == {"a": [[0, 1, 2], [3, 4, 5]], "b": [1, 2]}


@pytest.fixture
def moved(scratch):
    """A function: a linear layer that has made `steps` steps, and its Optimiser."""

    def make(steps):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        adamw = torch.optim.AdamW(model.parameters(), lr=0.1)
        cycle = torch.optim.lr_scheduler.OneCycleLR(adamw, max_lr=0.1, total_steps=10)
        own = checkpoint.Optimiser(adamw, cycle, torch.amp.GradScaler("cpu", enabled=False))
        for _ in range(steps):
            move(model, own)
        return model, own

    return make


def move(model, own):
    own.optimizer.zero_grad()
    model(torch.ones(1, 3)).square().sum().backward()
    own.optimizer.step()
    own.schedule.step()


def test_a_resumed_state_moves_as_if_it_had_not_stopped(moved, scratch):
    straight, optimiser = moved(3)
    checkpoint.save(scratch / "kept", straight, optimiser, history=[1, 2], settings={"seed": 0})
    resumed, again = moved(0)
    notes = checkpoint.resume(scratch / "kept", resumed, again, {"seed": 0})
    assert notes["history"] == [1, 2]
    move(straight, optimiser), move(resumed, again)
    assert torch.equal(straight.weight, resumed.weight)
    assert optimiser.schedule.get_last_lr() == again.schedule.get_last_lr()


@pytest.mark.parametrize("fault", ["is corrupt", "belongs to other settings"])
def test_a_checkpoint_that_is_not_usable_changes_nothing_and_is_named(moved, scratch, capsys, fault):
    path = scratch / "kept"
    checkpoint.save(path, *moved(3), settings={"seed": 0})
    if fault == "is corrupt":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    model, optimiser = moved(0)
    before = model.weight.clone()
    assert checkpoint.resume(path, model, optimiser, {"seed": int(fault != "is corrupt")}) is None
    assert torch.equal(model.weight, before)
    assert f"kept {fault}: training starts from the beginning" in capsys.readouterr().out
    assert checkpoint.resume(scratch / "none", model, optimiser, {"seed": 0}) is None
    assert capsys.readouterr().out == ""
