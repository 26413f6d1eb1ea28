"""MC dropout of networks of every form: the variance is that of whole passes with all dropout on, or it is refused."""

import copy
import json
import re
import warnings

import networks
import numpy as np
import pytest
import torch
from checkout import ROOT
from kdutils import distillation, models
from kdutils.mc_dropout import predict
from networks import NETWORKS, REFUSED, WHOLE, images_for, made, mlp, whole_passes
from torch import nn
from torch.nn import functional as F

N, PASSES = 24, 200
RECORD = json.loads((ROOT / "results" / "networks.json").read_text(encoding="utf-8"))["rows"]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_variance_is_that_of_whole_passes_with_all_dropout_on(name):
    build, way = NETWORKS[name]
    network = made(build)
    n, passes = (4, 40) if "torchvision" in name else (N, PASSES)
    x, network = images_for(name, n), network.train()
    flags, buffers = [m.training for m in network.modules()], copy.deepcopy([*network.buffers()])
    state = torch.get_rng_state()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = predict(network, x, passes=passes, seed=1)
    assert [m.training for m in network.modules()] == flags
    assert all(map(torch.equal, buffers, network.buffers()))
    assert torch.equal(torch.get_rng_state(), state)
    assert [way == WHOLE] == [any("every pass runs all of it" in str(w.message) for w in caught)]

    full = whole_passes(network, x, passes)
    np.testing.assert_allclose(
        found.deterministic, network.eval()(x).double().softmax(1).detach(), rtol=1e-3, atol=1e-6
    )
    ratio, chance = networks.beside(found.variance, full)
    assert abs(ratio - 1) < 6 * chance
    z = (found.mean - full.mean(0)) / np.sqrt((found.variance + full.var(0)) / passes).clip(1e-12)
    assert np.abs(z).max() < 6


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:cannot see where dropout begins")
def test_what_cannot_be_trusted_is_refused_by_its_name(name):
    build, place = REFUSED[name]
    network = made(build).train()
    state, buffers = torch.get_rng_state(), copy.deepcopy([*network.buffers()])
    with pytest.raises(ValueError, match=f"^{re.escape(place)}"):
        predict(network, images_for("ResNet" if name == "no dropout" else name, 3), passes=3)
    assert all(module.training for module in network.modules())
    assert all(map(torch.equal, buffers, network.buffers()))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_record_is_of_these_networks_and_within_chance():
    """results/networks.json, which docs/mc_dropout.md shows."""
    ways = {name: way for name, (_, way) in NETWORKS.items()} | dict.fromkeys(REFUSED, "refused")
    assert {row["network"]: row["way"] for row in RECORD} == ways
    for row in RECORD:
        if row["way"] == "refused":
            assert row["says"].startswith(REFUSED[row["network"]][1])
        else:
            assert row["ratio"] == pytest.approx(row["variance"] / row["whole"], rel=0.01)
            assert abs(row["ratio"] - 1) < 4 * row["chance"]
            assert row["chance"] < 0.2


class Idle(nn.Module):
    """Draws random numbers that decide nothing, as layers do that may be left out in training."""

    def forward(self, x):
        return x + 0 * torch.rand(())


def test_random_numbers_that_decide_nothing_are_let_pass():
    assert predict(mlp(Idle(), nn.Dropout(0.3)), images_for("Idle", N), passes=5).variance.max() > 0


@pytest.mark.parametrize("name", ["no dropout", "dropout before weights of 0"])
@pytest.mark.filterwarnings("ignore:cannot see where dropout begins")
def test_passes_that_do_not_differ_are_refused_with_what_was_on(name):
    kinds = "BasicBlock, ResNet" if name == "no dropout" else "Dropout"
    with pytest.raises(ValueError, match=f"the passes do not differ, with {kinds} in training mode: .*add nn.Dropout"):
        predict(made(REFUSED[name][0]), images_for("ResNet" if name == "no dropout" else name, 3), passes=3)


# Outputs that are no class scores


@pytest.mark.parametrize(
    ("outputs", "shape"),
    [
        (lambda x: x.flatten(1)[:, :1], r"\(2, 1\)"),
        (lambda x: x[..., None].expand(-1, -1, -1, 8), r"\(2, 7, 6, 8\)"),
        (lambda x: x, r"\(2, 7, 6\)"),
        (lambda x: x[0], r"\(7, 6\)"),
        (lambda x: (x.flatten(1), x), "tuple"),
        (lambda x: {"logits": x.flatten(1)}, "dict"),
    ],
    ids=["one class", "images", "sequences", "no batch", "a pair", "a dict"],
)
@pytest.mark.parametrize("use", ["predict", "logits", "soft_targets"])
def test_outputs_that_are_no_class_scores_are_refused(use, outputs, shape):
    class Net(nn.Module):
        def forward(self, x):
            return outputs(F.dropout(x, 0.5, self.training))

    function = {"predict": predict, "logits": models.logits, "soft_targets": distillation.soft_targets}[use]
    with pytest.raises(ValueError, match=rf"must be logits \(2, classes\) of at least two classes, got {shape}"):
        function(Net(), torch.randn(2, 7, 6))


@pytest.mark.parametrize("use", ["predict", "soft_targets"])
def test_probabilities_are_warned_about(use):
    network = nn.Sequential(*mlp(nn.Dropout(0.3)), nn.Softmax(1)).eval()
    with pytest.warns(UserWarning, match="are probabilities, not logits: leave out its last softmax"):
        predict(network, images_for("mlp", N), passes=3) if use == "predict" else distillation.soft_targets(
            network, images_for("mlp", N)
        )


@pytest.mark.parametrize("passes", [4, "gaussian"])
def test_a_logit_of_minus_infinity_leaves_everything_finite(passes):
    network = mlp(nn.Dropout(0.3)).eval()
    with torch.no_grad():
        network[-1].bias[2] = -torch.inf
    found = predict(network, images_for("mlp", N), passes=passes)
    for array in (*vars(found).values(), found.entropy, found.mutual_information):
        assert np.isfinite(array).all()
    assert (found.mean[:, 2] == 0).all()


@pytest.mark.parametrize("kind", ["float64", "float16", "array"])
def test_inputs_come_in_the_networks_precision(kind):
    network, x = mlp(nn.Dropout(0.3)).eval(), images_for("mlp", N)
    given = {"float64": x.double(), "float16": x.half(), "array": x.double().numpy()}[kind]
    expected = predict(network, x.half().float() if kind == "float16" else x, passes=3)
    assert np.array_equal(predict(network, given, passes=3).mean, expected.mean)
    assert predict(copy.deepcopy(network).double(), given, passes=3).mean == pytest.approx(expected.mean, abs=1e-5)


@pytest.mark.parametrize("use", ["predict", "logits"])
def test_what_is_no_network_is_refused_in_one_line(use):
    with pytest.raises(ValueError, match=r"^model must be a torch.nn.Module, got a function$"):
        {"predict": predict, "logits": models.logits}[use](lambda x: x, images_for("mlp", N))


@pytest.mark.parametrize("kind", ["DataLoader", "Dataset", "generator", "list"])
@pytest.mark.parametrize("use", ["predict", "logits"])
def test_what_is_no_array_is_refused_in_one_line(kind, use):
    pairs = torch.utils.data.TensorDataset(images_for("mlp", N), torch.zeros(N))
    loader = torch.utils.data.DataLoader(pairs)
    given = {"DataLoader": loader, "Dataset": pairs, "generator": (x for x, _ in pairs), "list": [1.0]}[kind]
    kind = "TensorDataset" if kind == "Dataset" else kind
    with pytest.raises(ValueError, match=f"images must be a tensor or an array .*, got a {kind};"):
        {"predict": predict, "logits": models.logits}[use](mlp(nn.Dropout(0.3)), given)


def test_a_network_without_parameters_is_predicted():
    found = predict(nn.Sequential(nn.Flatten(), nn.Dropout(0.5)).eval(), images_for("mlp", N), passes=3)
    assert found.mean.shape == (N, 42)


# What docs/mc_dropout.md says is known not to work


class Sampling(nn.Module):
    """Dropout by a switch of one's own, and noise in training mode, beside a dropout of a small rate."""

    def __init__(self, sampling=False, noise=0.0):
        super().__init__()
        self.sampling, self.noise, self.body = sampling, noise, mlp(nn.Dropout(0.05))

    def forward(self, x):
        x = F.dropout(x, 0.5, training=self.sampling)
        return self.body(x + self.noise * torch.randn_like(x) if self.training and self.noise else x)


@pytest.mark.filterwarnings("ignore:cannot see where dropout begins")
def test_a_switch_of_ones_own_is_left_as_it_is():
    x = images_for("mlp", N)
    off = predict(made(Sampling), x, passes=PASSES).variance.mean()
    assert off == pytest.approx(predict(made(Sampling).body, x, passes=PASSES).variance.mean(), rel=0.3)
    with pytest.raises(ValueError, match=r"^Sampling is random in evaluation mode, too"):
        predict(made(lambda: Sampling(sampling=True)), x)


@pytest.mark.filterwarnings("ignore:cannot see where dropout begins")
def test_noise_of_training_mode_counts_as_dropout():
    x = images_for("mlp", N)
    without, with_noise = (predict(made(lambda n=n: Sampling(noise=n)), x, passes=PASSES) for n in (0.0, 0.5))
    assert with_noise.variance.mean() > 3 * without.variance.mean()


COMPILED = {
    "traced": (lambda network, x: torch.jit.trace(network, x), ValueError, "the passes do not differ"),
    "frozen": (lambda network, x: torch.jit.freeze(torch.jit.script(network)), AttributeError, "training"),
    "exported": (lambda network, x: torch.export.export(network, (x,)).module(), NotImplementedError, "eval"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:cannot see where dropout begins")
@pytest.mark.parametrize("way", COMPILED)
def test_dropout_that_was_compiled_away_is_refused(way):
    compiled, error, message = COMPILED[way]
    network, x = made(lambda: mlp(nn.Dropout(0.3))), images_for("mlp", N)
    with pytest.raises(error, match=message):
        predict(compiled(network, x), x, passes=3)
