"""MC dropout of networks of every form: the variance is that of whole passes with all dropout on, or it is refused."""

import copy
import json
import random
import re
import warnings

import networks
import numpy as np
import pytest
import torch
from checkout import ROOT
from kdutils import distillation, models, one_pass
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


@pytest.mark.parametrize("network", ["dropout by NumPy", "Dropout"])
def test_no_global_generator_is_left_elsewhere_and_the_seed_repeats_all(network):
    network, x = made(NETWORKS[network][0]), images_for(network, N)
    before = np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()  # noqa: NPY002
    first = predict(network, x, passes=5, seed=1)
    assert before == (np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist())  # noqa: NPY002
    np.random.rand()  # noqa: NPY002
    np.testing.assert_array_equal(predict(network, x, passes=5, seed=1).mean, first.mean)


@pytest.mark.parametrize("name", [name for name in NETWORKS if "statistics" in name or "moves" in name])
def test_what_a_network_keeps_of_its_training_stays(name):
    network, x = made(NETWORKS[name][0]), images_for(name, N)
    before, kept = network(x), copy.deepcopy([vars(module) for module in network.modules()])
    predict(network, x, passes=5)
    assert torch.equal(network(x), before)
    for old, module in zip(kept, network.modules(), strict=True):
        assert all(torch.equal(v, vars(module)[k]) for k, v in old.items() if torch.is_tensor(v))


MIXING = {
    "batch norm without statistics": lambda: mlp(nn.Dropout(0.4), nn.BatchNorm1d(32, track_running_stats=False)),
    "softmax over the batch": lambda: mlp(nn.Dropout(0.4), nn.Softmax(0)),
}


@pytest.mark.parametrize("name", MIXING)
def test_passes_of_layers_that_mix_a_batch_do_not_run_as_one(name):
    network, x = made(MIXING[name]), images_for(name, 2)
    ratio, chance = networks.beside(predict(network, x, passes=400).variance, whole_passes(network, x, 400))
    assert abs(ratio - 1) < 6 * chance < 0.5


class Caching(nn.Module):
    """Keeps a tensor of its first call, as networks with rotary positions do."""

    def __init__(self):
        super().__init__()
        self.body, self.weight, self.cache = mlp(nn.Dropout(0.3)), nn.Parameter(torch.ones(1)), None

    def forward(self, x):
        if self.cache is None:
            self.cache = torch.linspace(0, 1, 6)
        return self.body(self.weight * self.cache * x)


@pytest.mark.parametrize("use", [lambda *a: predict(*a, passes=3), models.logits, distillation.soft_targets])
@pytest.mark.filterwarnings("ignore:cannot see where dropout begins")
def test_a_network_can_be_trained_with_what_it_cached(use):
    network, x = made(Caching), images_for("cache", N)
    use(network, x)
    network(x).sum().backward()
    assert network.weight.grad is not None


@pytest.mark.filterwarnings("ignore:cannot see where dropout begins")
def test_a_gradient_that_was_begun_before_can_be_ended_after():
    network, x = made(lambda: mlp(nn.BatchNorm1d(32), nn.Dropout(0.3))), images_for("mlp", N)
    loss = network(x).sum()
    predict(network, x, passes=3)
    loss.backward()


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
        (lambda x: x.flatten(1).long(), "torch.int64"),
        (lambda x: x.flatten(1) > 0, "torch.bool"),
        (lambda x: x.flatten(1) + 0j, "torch.complex64"),
        (lambda x: x.flatten(1).numpy(), "ndarray"),
    ],
    ids=["one class", "images", "sequences", "no batch", "a pair", "a dict", "classes", "bits", "complex", "an array"],
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


@pytest.mark.parametrize("passes", [4, "gaussian", None])
def test_a_logit_of_minus_infinity_leaves_everything_finite(passes):
    network = mlp(nn.Dropout(0.3)).eval()
    with torch.no_grad():
        network[-1].bias[2] = -torch.inf
    x = images_for("mlp", N)
    found = predict(network, x, passes=passes) if passes else one_pass.predict(network, x)
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


USES = {
    "predict": lambda *a: predict(*a, passes=3),
    "logits": models.logits,
    "soft_targets": distillation.soft_targets,
}


@pytest.mark.parametrize("use", ["predict", "logits"])
def test_what_is_no_network_is_refused_in_one_line(use):
    with pytest.raises(ValueError, match=r"^model must be a torch.nn.Module, got a function$"):
        {"predict": predict, "logits": models.logits}[use](lambda x: x, images_for("mlp", N))


@pytest.mark.parametrize("kind", ["DataLoader", "Dataset", "generator", "list", "tuple", "dict", "NoneType"])
@pytest.mark.parametrize("use", ["predict", "logits", "soft_targets"])
def test_what_is_no_array_is_refused_in_one_line(kind, use):
    pairs = torch.utils.data.TensorDataset(images_for("mlp", N), torch.zeros(N))
    loader = torch.utils.data.DataLoader(pairs)
    given = {"DataLoader": loader, "Dataset": pairs, "generator": (x for x, _ in pairs), "list": [1.0]}
    given = (given | {"tuple": pairs.tensors, "dict": {"images": pairs.tensors[0]}}).get(kind)
    kind = "TensorDataset" if kind == "Dataset" else kind
    with pytest.raises(ValueError, match=f"images must be a tensor or an array .*, got a {kind};"):
        USES[use](mlp(nn.Dropout(0.3)), given)


@pytest.mark.parametrize(
    "given",
    [
        lambda x: x.astype(">f4"),
        lambda x: x.astype(">f8"),
        lambda x: np.ascontiguousarray(x[::-1])[::-1],
        lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
        lambda x: np.repeat(x, 2, 0)[::2],
        lambda x: np.broadcast_to(x, x.shape),
        lambda x: x.astype(np.longdouble),
        lambda x: np.ma.masked_array(x),
    ],
    ids=[
        "big-endian",
        "big-endian double",
        "upside down",
        "mirrored",
        "every second",
        "read-only",
        "longdouble",
        "mask",
    ],
)
@pytest.mark.parametrize("use", ["predict", "logits", "soft_targets"])
@pytest.mark.filterwarnings("error")
def test_arrays_come_in_any_byte_order_and_layout(given, use):
    network, x = mlp(nn.Dropout(0.3)).eval(), images_for("mlp", N).numpy()
    found, expected = (USES[use](network, images) for images in (given(x), x))
    found, expected = (
        np.asarray(getattr(made, "mean", None) if use == "predict" else made) for made in (found, expected)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_a_read_only_file_is_predicted_and_stays_whatever_the_network_does(tmp_path, dtype):
    np.save(tmp_path / "x.npy", np.ones((2, 1, 32, 32) if dtype == np.uint8 else (2, 42), dtype))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")

    class InPlace(nn.Module):
        def forward(self, images):
            return F.dropout(images.mul_(2).flatten(1)[:, :3].float(), 0.5, self.training)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "cannot see where dropout begins")
        assert predict(InPlace(), x, passes=3).mean.shape == models.logits(InPlace(), x).shape == (2, 3)
    assert (x == 1).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.array(1.0), "hold at least one image, got a single number"),
        (np.array(["a", "b"]), "be numbers, got <U1"),
        (np.array([None]), "be numbers, got object"),
        (np.ma.masked_equal([[0.0, 1.0]], 0), "not be masked, got 1 masked values"),
    ],
    ids=["a number", "words", "objects", "masked"],
)
@pytest.mark.parametrize("use", ["predict", "logits", "soft_targets"])
def test_arrays_of_no_numbers_are_refused_in_one_line(given, said, use):
    with pytest.raises(ValueError, match=f"^images must {said}$"):
        USES[use](mlp(nn.Dropout(0.3)), given)


@pytest.mark.parametrize("use", ["predict", "logits"])
def test_layers_that_have_no_shape_yet_are_refused_in_one_line(use):
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.Dropout(0.5), nn.Linear(8, 3))
    with pytest.raises(ValueError, match=r"^model has lazy layers without a shape yet: call it once"):
        {"predict": predict, "logits": models.logits}[use](network, images_for("mlp", N))


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
