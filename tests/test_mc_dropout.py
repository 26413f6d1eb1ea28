import copy
import math
from itertools import combinations, product

import numpy as np
import pytest
import torch
import torchvision
from kdutils import data, mc_dropout, models
from kdutils.mc_dropout import predict, split
from scipy.stats import entropy
from torch import nn

RECORDED = []  # the lists of `recorded_calls`
SIGMAS = 5  # a standard normal goes beyond in 6 of ten million draws


@pytest.fixture(scope="module")
def unsure(sn1):
    """SN1 with weaker logits, so that every class has some probability."""
    network = copy.deepcopy(sn1)
    with torch.no_grad():
        network.classifier[-1].weight.mul_(0.3)
    return network


@pytest.fixture
def images(mnist):
    return mnist.test_images[:4]


def small_network(*, dropout=None, before=(), after=(), hidden=16):
    generator = torch.Generator().manual_seed(0)
    linears = nn.Linear(1024, hidden), nn.Linear(hidden, 10)
    for linear in linears:
        nn.init.normal_(linear.weight, std=0.4 / math.sqrt(hidden), generator=generator)
        nn.init.zeros_(linear.bias)
    dropout = dropout or nn.Dropout(0.5)
    return nn.Sequential(*before, nn.Flatten(), linears[0], nn.ReLU(), dropout, *after, linears[1]).eval()


class Plain(nn.Module):
    """A network that is no nn.Sequential."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)


class Residual(nn.Sequential):
    """An nn.Sequential that does more than to run its children."""

    def forward(self, x):
        return x + super().forward(x)


class Halving(nn.Module):
    """A block with dropout that may change what it is given."""

    def __init__(self, in_place):
        super().__init__()
        self.in_place = in_place
        self.dropout = nn.Dropout(0.5, inplace=in_place)

    def forward(self, x):
        return self.dropout(x.div_(2) if self.in_place else x / 2)


@pytest.fixture(autouse=True)
def tried(monkeypatch):
    """`predict` first tries a network on two images; afterwards the lists of `recorded_calls` are empty again."""
    RECORDED.clear()
    tried = mc_dropout._tried

    def forgotten(model, batch):
        found = tried(model, batch)
        for calls in RECORDED:
            calls.clear()
        return found

    monkeypatch.setattr(mc_dropout, "_tried", forgotten)


def recorded_calls(module):
    """A list that fills with (training flag, input, output) of every call."""
    calls = []
    RECORDED.append(calls)
    module.register_forward_hook(
        lambda m, inputs, output: calls.append((m.training, inputs[0].clone(), output.clone()))
    )
    return calls


def full_passes(network, images, passes):
    """Probabilities (passes, n, 10) of the whole network with only its dropouts on."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    batch = data.preprocess(images)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(7)
        return torch.stack([network(batch).double().softmax(1) for _ in range(passes)]).numpy()


def all_fields_equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(vars(first).values(), vars(second).values(), strict=True))


@pytest.mark.parametrize("kind", ["SN1", "p = 0.3", "p = 0.5 in place", "two dropouts"])
def test_moments_agree_with_full_passes_of_the_whole_network(unsure, mnist, kind):
    network = {
        "SN1": unsure,
        "p = 0.3": small_network(dropout=nn.Dropout(0.3)),
        "p = 0.5 in place": small_network(dropout=nn.Dropout(0.5, inplace=True)),
        "two dropouts": small_network(dropout=nn.Dropout(0.2), after=[nn.Tanh(), nn.Dropout(0.5)]),
    }[kind]
    images, n_ours, n_full = mnist.test_images[:3], 4_000, 400
    full, ours = full_passes(network, images, n_full), predict(network, images, passes=n_ours)
    spread = full - full.mean(0)
    variance, fourth_moment = (spread**2).mean(0), (spread**4).mean(0)
    assert variance.max() > 1e-3

    both = 1 / n_ours + 1 / n_full
    z_of_mean = (ours.mean - full.mean(0)) / np.sqrt(variance * both)
    z_of_variance = (ours.variance - variance) / np.sqrt((fourth_moment - variance**2) * both)
    for per_pass, found in [(entropy(full, axis=2), ours.expected_entropy), (full.max(2), ours.expected_max)]:
        assert (np.abs(found - per_pass.mean(0)) < SIGMAS * per_pass.std(0) * math.sqrt(both)).all()
    assert np.abs(z_of_mean).max() < SIGMAS
    assert np.abs(z_of_variance).max() < SIGMAS


@pytest.mark.parametrize("passes_at_once", [None, 2, 1])
def test_each_field_is_its_definition_over_the_passes_that_ran(unsure, images, monkeypatch, passes_at_once):
    network = copy.deepcopy(unsure)
    if passes_at_once:
        monkeypatch.setattr(mc_dropout, "CHUNK", passes_at_once * 4 * 1280 + 1)
    calls = recorded_calls(network.classifier[-1])
    found = predict(network, images, passes=5)
    _, *stochastic = [output.double().softmax(1) for _, _, output in calls]
    assert len(stochastic) == (math.ceil(5 / passes_at_once) if passes_at_once else 1)

    passes = torch.cat(stochastic).reshape(5, 4, 10).numpy()
    np.testing.assert_allclose(found.mean, passes.mean(0), rtol=1e-9)
    np.testing.assert_allclose(found.variance, passes.var(0), rtol=1e-9)
    np.testing.assert_allclose(found.expected_entropy, entropy(passes, axis=2).mean(0), rtol=1e-9)
    np.testing.assert_allclose(found.expected_max, passes.max(2).mean(0), rtol=1e-9)
    np.testing.assert_array_equal(found.predicted, passes.mean(0).argmax(1))
    np.testing.assert_allclose(found.confidence, passes.mean(0).max(1))
    np.testing.assert_allclose(found.entropy, entropy(passes.mean(0), axis=1))
    information = entropy(passes.mean(0), axis=1) - entropy(passes, axis=2).mean(0)
    np.testing.assert_allclose(found.mutual_information, information, atol=1e-12)


def test_all_fields_are_arrays_in_double_precision(unsure, images):
    found = predict(unsure, images, passes=2)
    assert {name: (a.shape, a.dtype) for name, a in vars(found).items()} == {
        "mean": ((4, 10), np.float64),
        "variance": ((4, 10), np.float64),
        "expected_entropy": ((4,), np.float64),
        "expected_max": ((4,), np.float64),
        "deterministic": ((4, 10), np.float64),
    }
    np.testing.assert_allclose(found.mean.sum(1), 1, rtol=1e-12)


def test_passes_disagree_never_less_than_nothing(sn1, mnist):
    found = predict(sn1, mnist.test_images[:50], passes=20)
    assert (found.entropy >= found.expected_entropy - 1e-12).all()
    assert (found.expected_max >= found.confidence - 1e-12).all()
    assert found.mutual_information.max() > 0.05


def test_one_pass_has_no_variance(sn1, images):
    found = predict(sn1, images, passes=1)
    assert not found.variance.any()
    np.testing.assert_allclose(found.mutual_information, 0, atol=1e-12)
    np.testing.assert_allclose(found.expected_max, found.confidence)
    assert np.abs(found.mean - found.deterministic).max() > 0.01


def test_deterministic_is_the_softmax_with_dropout_off(sn1, images):
    expected = models.logits(sn1, images).double().softmax(1).numpy()
    np.testing.assert_allclose(predict(sn1, images, passes=2).deterministic, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("passes", [1, 3, 200])
def test_what_comes_before_dropout_runs_once_a_batch(sn1, mnist, passes):
    network = copy.deepcopy(sn1)
    once = [network.features[0], network.features[3], network.classifier[1]]
    calls = [recorded_calls(module) for module in once]
    last = recorded_calls(network.classifier[-1])
    predict(network, mnist.test_images[:7], passes=passes, batch_size=3)
    for of_module in calls:
        assert [len(inputs) for _, inputs, _ in of_module] == [3, 3, 1]
    assert sum(len(inputs) for _, inputs, _ in last) == 7 * (passes + 1)


def test_masks_are_independent_between_images_passes_and_batches(sn1, mnist, monkeypatch):
    """Four times the same image, in two batches, three passes: twelve masks of fair coins, no two alike."""
    network = copy.deepcopy(sn1)
    monkeypatch.setattr(mc_dropout, "CHUNK", 2 * 2 * 1280)
    calls = recorded_calls(network.classifier[-1])
    predict(network, np.repeat(mnist.test_images[:1], 4, axis=0), passes=3, batch_size=2)
    after_dropout = torch.cat([inputs for _, inputs, _ in calls])
    alive = (after_dropout > 0).any(0)
    dropped = (after_dropout[:, alive] == 0).double()
    dropped = dropped[dropped.any(1)]  # without the rows that had dropout off
    assert dropped.shape[0] == 12

    coins = dropped.shape[1]
    bound = SIGMAS * 0.5 / math.sqrt(coins)
    assert coins > 400
    assert (dropped.mean(1) - 0.5).abs().max() < bound
    for one, other in combinations(dropped, 2):
        assert abs((one == other).double().mean() - 0.5) < bound


def test_hooks_of_a_dropout_are_called_in_every_pass(sn1, images):
    network = copy.deepcopy(sn1)
    calls = recorded_calls(network.classifier[3])
    predict(network, images, passes=5)
    assert [(training, len(inputs)) for training, inputs, _ in calls] == [(False, 4), (True, 5 * 4)]


def test_the_same_image_twice_gets_passes_of_its_own(sn1, mnist):
    found = predict(sn1, np.repeat(mnist.test_images[:1], 2, axis=0), passes=3)
    assert np.abs(found.mean[0] - found.mean[1]).max() > 1e-3
    np.testing.assert_allclose(found.deterministic[0], found.deterministic[1], rtol=1e-4)


def test_same_seed_same_numbers_whatever_the_global_seed(sn1, images):
    torch.manual_seed(1)
    first = predict(sn1, images, passes=3, seed=5)
    torch.manual_seed(2)
    assert all_fields_equal(first, predict(sn1, images, passes=3, seed=5))
    assert (predict(sn1, images, passes=3, seed=6).mean != first.mean).any(1).all()


@pytest.mark.parametrize("fails", [False, True])
def test_random_state_and_training_flags_are_put_back(images, fails):
    network = models.build("SN1")
    network.train()
    network.features.eval()
    network.classifier[3].eval()
    flags = [module.training for module in network.modules()]
    if fails:
        network.classifier[-1].register_forward_hook(stop_in_a_stochastic_pass(network.classifier[3]))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError, match="stopped"):
            predict(network, images, passes=3)
    else:
        predict(network, images, passes=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in network.modules()] == flags


def stop_in_a_stochastic_pass(dropout):
    def hook(module, inputs, output):
        if dropout.training:
            raise RuntimeError("stopped")

    return hook


def test_nothing_but_dropout_is_in_training_mode(images):
    norms = nn.BatchNorm2d(1), nn.BatchNorm1d(16)
    network = small_network(before=norms[:1], after=norms[1:])
    calls = [recorded_calls(norm) for norm in norms]
    stored = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    predict(network, images, passes=3)
    assert [training for of_norm in calls for training, _, _ in of_norm] == [False] * (1 + 2)
    assert all(torch.equal(value, stored[key]) for key, value in network.state_dict().items())
    assert network.training


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_the_two_parts_one_after_the_other_are_the_network(name, images):
    network = models.build(name).eval()
    deterministic, stochastic = split(network)
    batch = data.preprocess(images[:1])
    with torch.no_grad():
        assert torch.equal(stochastic(deterministic(batch)), network(batch))
    assert isinstance(stochastic[0], nn.Dropout)
    assert not any(isinstance(module, nn.Dropout) for module in deterministic.modules())
    shared = [*deterministic.parameters(), *stochastic.parameters()]
    assert [id(p) for p in shared] == [id(p) for p in network.parameters()]


def test_a_dropout_of_probability_0_is_not_where_the_network_is_cut():
    network = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0), nn.Linear(4, 4), nn.Dropout(0.2), nn.Linear(4, 2))
    deterministic, stochastic = split(network)
    assert list(deterministic) == list(network[:3])
    assert list(stochastic) == list(network[3:])


def test_nested_sequentials_are_opened():
    inner = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Dropout(0.5)), nn.Tanh())
    network = nn.Sequential(nn.Flatten(), inner, nn.Linear(4, 2))
    deterministic, stochastic = split(network)
    assert list(deterministic) == [network[0], inner[0], inner[1][0]]
    assert list(stochastic) == [inner[1][1], inner[2], network[2]]


def test_a_block_that_is_more_than_its_children_stays_whole():
    block = Residual(nn.Linear(4, 4), nn.Dropout(0.5))
    network = nn.Sequential(nn.Linear(4, 4), block, nn.Linear(4, 2)).eval()
    deterministic, stochastic = split(network)
    assert list(deterministic) == [network[0]]
    assert list(stochastic) == [block, network[2]]


def test_a_network_of_another_kind_is_told():
    network = Plain(small_network())
    with pytest.warns(UserWarning, match="cannot see where dropout begins inside Plain: every pass runs all of it"):
        deterministic, stochastic = split(network)
    assert len(deterministic) == 0
    assert list(stochastic) == [network]


def test_a_network_of_another_kind_is_predicted_all_the_same(images):
    network = Plain(small_network())
    calls = recorded_calls(network)
    with pytest.warns(UserWarning, match="every pass runs all of it"):
        found = predict(network, images, passes=6)
    passes = torch.stack([output.double().softmax(1) for _, _, output in calls[1:]]).numpy()
    assert len(passes) == 6
    np.testing.assert_allclose(found.mean, passes.mean(0), rtol=1e-9)
    np.testing.assert_allclose(found.variance, passes.var(0), rtol=1e-9)
    assert found.variance.max() > 1e-4
    assert (passes[0] != passes[1]).any()


@pytest.mark.parametrize(
    "block", [Halving, lambda in_place: nn.Dropout(0.5, inplace=in_place)], ids=["in a block", "alone"]
)
def test_dropout_that_works_in_place_spoils_no_later_pass(images, block):
    expected = predict(small_network(dropout=block(in_place=False)), images, passes=5)
    assert all_fields_equal(predict(small_network(dropout=block(in_place=True)), images, passes=5), expected)


@pytest.mark.parametrize("first", [nn.ReLU(inplace=True), nn.Dropout(0.5, inplace=True)], ids=["ReLU", "Dropout"])
def test_a_first_module_that_works_in_place_leaves_the_images_alone(images, first):
    batch = data.preprocess(images)
    before = batch.clone()
    predict(small_network(before=[first]), batch, passes=2)
    assert torch.equal(batch, before)


@pytest.mark.parametrize("passes", [10, 1000])
def test_what_runs_at_once_does_not_grow_with_the_passes(sn1, mnist, passes):
    network = copy.deepcopy(sn1)
    calls = recorded_calls(network.classifier[-1])
    predict(network, mnist.test_images[:10], passes=passes)
    sizes = [inputs.numel() for _, inputs, _ in calls]
    assert max(sizes) <= mc_dropout.CHUNK == 1_000_000
    assert sum(sizes) == (passes + 1) * 10 * 1280


def test_a_batch_beyond_the_limit_runs_one_pass_at_a_time(sn1, images, monkeypatch):
    network = copy.deepcopy(sn1)
    calls = recorded_calls(network.classifier[-1])
    monkeypatch.setattr(mc_dropout, "CHUNK", 1)
    predict(network, images, passes=3)
    assert [len(inputs) for _, inputs, _ in calls] == [4] * 4


def test_arrays_tensors_and_preprocessed_images_give_the_same(sn1, images):
    expected = predict(sn1, images, passes=2)
    for same in (torch.from_numpy(images), data.preprocess(images), data.preprocess(images).numpy()):
        assert all_fields_equal(predict(sn1, same, passes=2), expected)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, 3.0, True, "10", None])
@pytest.mark.parametrize("argument", ["passes", "batch_size"])
def test_counts_are_positive_whole_numbers(sn1, images, argument, wrong):
    with pytest.raises(ValueError, match=f"{argument} must be a whole number of at least 1, got {wrong!r}"):
        predict(sn1, images, **{argument: wrong})


def test_no_images_are_refused(sn1, images):
    with pytest.raises(ValueError, match="images must hold at least one image"):
        predict(sn1, images[:0])


@pytest.mark.parametrize(
    "use", [split, lambda network: predict(network, torch.zeros(1, 1, 32, 32))], ids=["split", "predict"]
)
@pytest.mark.parametrize("dropout", [nn.Identity(), nn.Dropout(0)], ids=["none", "of probability 0"])
def test_a_network_without_active_dropout_is_refused_with_the_fix(use, dropout):
    with pytest.raises(ValueError, match=r"no active dropout .*add nn\.Dropout\(0\.5\) after a hidden layer"):
        use(small_network(dropout=dropout))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_outputs_that_are_not_finite_are_refused(images, bad):
    network = small_network()
    with torch.no_grad():
        network[-1].weight[3, 2] = bad
    with pytest.raises(ValueError, match="not all finite"):
        predict(network, images, passes=2)


def test_images_that_are_not_finite_are_refused(sn1, images):
    batch = data.preprocess(images)
    batch[1, 0, 5, 5] = math.nan
    with pytest.raises(ValueError, match="not all finite"):
        predict(sn1, batch, passes=2)


def test_both_parts_run_on_the_gpu_and_refuse_to_mix(fake_gpu, sn1_on_fake_gpu):
    deterministic, stochastic = split(sn1_on_fake_gpu)
    with fake_gpu:
        features = deterministic(torch.zeros(3, 1, 32, 32, device="cuda"))
        assert features.device.type == stochastic(features).device.type == "cuda"
        with pytest.raises(RuntimeError, match="same device"):
            stochastic(features.cpu())


def test_a_half_is_dropped_by_fair_and_independent_bits():
    """All 64 bits of a random word are used, and each number is doubled or zeroed."""
    rows = 4000
    kept = mc_dropout._drop_half(torch.ones(rows, 96))
    assert set(kept.unique().tolist()) == {0, 2}
    bound = SIGMAS / math.sqrt(rows)
    assert (kept.mean(0) - 1).abs().max() < bound
    correlation = torch.corrcoef(kept.T) - torch.eye(96)
    assert correlation.abs().max() < bound


# A Gaussian in the place of passes


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("classes", [3, 10, 200])
def test_the_points_have_the_mean_and_covariance_of_all_masks(classes, rate, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    linear, features = nn.Linear(4, classes), torch.rand(2, 4, generator=generator)
    nn.init.normal_(linear.weight, generator=generator)
    masks = torch.tensor(list(product([0, 1], repeat=4)))  # all 16
    chances = torch.where(masks == 1, 1 - rate, rate).prod(1)
    logits = linear(features.unsqueeze(1) * masks / (1 - rate)).detach().double()  # (n, masks, classes)
    seen, log_softmax = [], mc_dropout._log_softmax
    monkeypatch.setattr(mc_dropout, "_log_softmax", lambda points: seen.append(points) or log_softmax(points))
    with torch.inference_mode():
        mc_dropout._gaussian(nn.Dropout(rate), linear, features)

    for points, of_image in zip(seen[0], logits, strict=True):  # (points, classes)
        expected = np.cov(of_image.T, aweights=chances, bias=True)
        np.testing.assert_allclose(points.mean(0), chances.double() @ of_image, atol=1e-5)
        np.testing.assert_allclose(np.cov(points.T, bias=True), expected, atol=1e-5 * expected.max())
    assert seen[0].shape == (2, 256 if classes < 200 else 400, classes)


def test_its_fields_are_their_definitions_over_the_points(unsure, images, monkeypatch):
    seen, log_softmax = [], mc_dropout._log_softmax
    monkeypatch.setattr(mc_dropout, "_log_softmax", lambda logits: seen.append(logits) or log_softmax(logits))
    found = predict(unsure, images, passes="gaussian")
    certain, points = (logits.double().softmax(-1).numpy() for logits in seen)
    np.testing.assert_allclose(found.deterministic, certain)
    np.testing.assert_allclose(found.mean, points.mean(1), rtol=1e-9)
    np.testing.assert_allclose(found.variance, points.var(1), rtol=1e-9)
    np.testing.assert_allclose(found.expected_entropy, entropy(points, axis=2).mean(1), rtol=1e-9)
    np.testing.assert_allclose(found.expected_max, points.max(2).mean(1), rtol=1e-9)


@pytest.mark.parametrize("kind", ["SN1", "p = 0.3", "p = 0.9, in place"])
def test_the_gaussian_is_nearer_to_many_passes_than_a_hundred_passes_are(unsure, mnist, kind):
    dropout = {"SN1": None, "p = 0.3": nn.Dropout(0.3), "p = 0.9, in place": nn.Dropout(0.9, inplace=True)}[kind]
    network, images = small_network(dropout=dropout, hidden=400) if dropout else unsure, mnist.test_images[:30]
    many, hundred = predict(network, images, passes=4_000), predict(network, images, passes=100, seed=1)
    found = predict(network, images, passes="gaussian")
    assert many.variance.max() > 1e-4
    for field in ("mean", "expected_entropy", "expected_max"):
        errors = [np.square(getattr(made, field) - getattr(many, field)).mean() for made in (found, hundred)]
        assert errors[0] < errors[1] / 3, field
    np.testing.assert_allclose(found.mean, many.mean, atol=0.03)
    np.testing.assert_allclose(np.sqrt(found.variance), np.sqrt(many.variance), atol=0.03)
    assert (found.mutual_information > 0).all()


def test_a_trained_networks_gaussian_is_nearer_too(finished_run, mnist):
    network, images = finished_run.network("SN1"), mnist.test_images[:100]
    many = predict(network, images, passes=2_000)
    gaussian, hundred = (predict(network, images, passes=passes, seed=1) for passes in ("gaussian", 100))
    errors = [((made.confidence - many.confidence) ** 2).mean() for made in (gaussian, hundred)]
    assert errors[0] < errors[1] / 3


def test_the_gaussian_has_no_chance_in_it(unsure, images):
    state = torch.get_rng_state()
    found = predict(unsure, images, passes="gaussian")
    assert torch.equal(torch.get_rng_state(), state)
    assert all_fields_equal(found, predict(unsure, images, passes="gaussian", seed=1))
    one_by_one = predict(unsure, images, passes="gaussian", batch_size=1)
    for key, array in vars(found).items():
        np.testing.assert_allclose(getattr(one_by_one, key), array, rtol=1e-4, atol=1e-7)


def hooked(module):
    module.register_forward_hook(lambda *_: None)
    return module


@pytest.mark.parametrize(
    ("build", "steps"),
    [
        (lambda: models.build("SN2"), r"Dropout\(p=0\.5.*Linear.*ReLU.*Dropout.*Linear"),
        (lambda: models.build("TN"), r"Dropout\(p=0\.5.*Linear.*ReLU.*Dropout.*Linear"),
        (lambda: small_network(after=[nn.Tanh()]), r"Dropout\(p=0\.5.*, Tanh\(\), Linear"),
        (lambda: small_network(dropout=nn.Dropout(1)), r"Dropout\(p=1"),
        (lambda: small_network(dropout=hooked(nn.Dropout(0.5))), "both without hooks"),
        (lambda: small_network(dropout=nn.Dropout1d(0.5)), "Dropout1d"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(1024, 10), nn.Dropout(0.5)), r"\[Dropout\(p=0\.5[^)]*\)\]$"),
    ],
    ids=["SN2", "TN", "a nonlinearity", "a rate of 1", "a hook", "other dropout", "no layer after it"],
)
def test_networks_of_another_form_have_no_gaussian(build, steps, images):
    network = build()
    with pytest.raises(ValueError, match=rf'passes="gaussian" takes a network that ends with one .*{steps}'):
        predict(network, images, passes="gaussian")


@pytest.mark.parametrize("parameter", ["weight", "bias"])
def test_a_gaussian_that_is_not_finite_is_refused(images, parameter):
    network = small_network()
    with torch.no_grad():
        getattr(network[-1], parameter)[3] = math.nan
    with pytest.raises(ValueError, match="not all finite"):
        predict(network, images, passes="gaussian")


@pytest.mark.parametrize(("build", "size"), [(torchvision.models.vgg11_bn, 32), (torchvision.models.alexnet, 64)])
def test_networks_of_torchvision_run_whole_and_say_so(build, size):
    network = build(weights=None, num_classes=10).eval()
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    calls = recorded_calls(network.features[0])
    with pytest.warns(UserWarning, match="every pass runs all of it"):
        found = predict(network, x, passes=3)
    assert len(calls) == 1 + 3
    assert (found.variance.max(1) > 0).all()
    np.testing.assert_allclose(found.deterministic, network(x).softmax(1).detach(), rtol=1e-3, atol=1e-6)


def test_a_network_whose_steps_have_hooks_is_not_taken_apart(images):
    network = small_network()
    called = recorded_calls(network)
    with pytest.warns(UserWarning, match="every pass runs all of it"):
        predict(network, images, passes=5)
    assert len(called) == 6
