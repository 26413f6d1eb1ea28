"""MC dropout of networks of every form: the variance is that of whole passes with all dropout on, or it is refused."""

import copy
import types
import warnings

import numpy as np
import pytest
import torch
import torchvision
from kdutils import distillation, models
from kdutils.mc_dropout import predict
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

N, CLASSES, PASSES = 24, 5, 200


class Recurrent(nn.Module):
    def __init__(self, kind=nn.LSTM, batch_first=True):
        super().__init__()
        self.recurrent = kind(6, 16, num_layers=2, dropout=0.5, batch_first=batch_first)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):  # (n, 7, 6)
        if self.recurrent.batch_first:
            return self.head(self.recurrent(x)[0][:, -1])
        return self.head(self.recurrent(x.transpose(0, 1))[0][-1])


class Transformer(nn.Module):
    def __init__(self, tokens=False):
        super().__init__()
        self.embedding = nn.Embedding(20, 16) if tokens else nn.Linear(6, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.3, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.head(self.encoder(self.embedding(x)).mean(1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, dropout=0.4, batch_first=True)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


class Scaled(nn.Module):
    """Attention by torch's function, with dropout as its argument."""

    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x, dropout_p=0.4 if self.training else 0.0)


class Functional(nn.Module):
    """Dropout in no module; with batch norm, whose training mode must stay off."""

    def __init__(self, rate=0.5, beside=0.0):
        super().__init__()
        self.hidden, self.norm, self.head = nn.Linear(42, 32), nn.BatchNorm1d(32), nn.Linear(32, CLASSES)
        self.beside, self.rate = nn.Dropout(beside), rate

    def forward(self, x):
        x = F.dropout(torch.relu(self.norm(self.hidden(x.flatten(1)))), self.rate, training=self.training)
        return self.head(self.beside(x))


class Drops(nn.Module):
    def __init__(self, rate=0.5, always=False):
        super().__init__()
        self.rate, self.always = rate, always

    def forward(self, x):
        return F.dropout(x, self.rate, training=self.training or self.always)


class OneMask(nn.Module):
    """One mask for all rows of a batch."""

    def forward(self, x):
        return x * F.dropout(torch.ones_like(x[:1]), 0.5, training=self.training)


class Norm(nn.Module):
    """Somebody's own batch norm."""

    def __init__(self, features, rate=0.0):
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("var", torch.ones(features))
        self.rate = rate

    def forward(self, x):
        x = F.batch_norm(x, self.mean, self.var, training=self.training)
        return F.dropout(x, self.rate, training=self.training) if self.rate else x


class Auxiliary(nn.Module):
    """Gives two outputs in training mode, as GoogLeNet does."""

    def __init__(self):
        super().__init__()
        self.body = mlp(nn.Dropout(0.5))

    def forward(self, x):
        y = self.body(x)
        return (y, y) if self.training else y


def spectral():
    network = mlp(nn.Dropout(0.4))
    nn.utils.spectral_norm(network[1])
    return network


class Last(nn.Module):
    def forward(self, x):
        return x[0][:, -1]


def mlp(*dropout, before=()):
    return nn.Sequential(nn.Flatten(), *before, nn.Linear(42, 32), nn.ReLU(), *dropout, nn.Linear(32, CLASSES))


def convolutions(dropout):
    return nn.Sequential(
        nn.Unflatten(1, (1, 7)), nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), dropout, nn.Flatten(),
        nn.Linear(160, CLASSES),
    )  # fmt: skip


def resnet():
    network = torchvision.models.resnet18(num_classes=CLASSES)
    network.layer2 = nn.Sequential(network.layer2, nn.Dropout2d(0.3))
    network.fc = nn.Sequential(nn.Dropout(0.5), network.fc)
    return network


def vit():
    network = torchvision.models.VisionTransformer(16, 8, 2, 2, 24, 48, 0.2, 0.2, num_classes=CLASSES)
    nn.init.normal_(network.heads.head.weight)  # by default 0
    return network


def patched_hook():
    network = mlp(nn.Dropout(0.2))
    network[1].register_forward_hook(lambda module, _, x: F.dropout(x, 0.5, module.training))
    return network


def patched_forward():
    network = mlp(nn.Dropout(0.2))
    network[1].forward = types.MethodType(
        lambda self, x: F.dropout(F.linear(x, self.weight), 0.5, self.training), network[1]
    )
    return network


WHOLE, SPLIT = "full passes", "split"
NETWORKS = {  # name: (network, way that its passes are taken)
    "Dropout": (lambda: mlp(nn.Dropout(0.3)), SPLIT),
    "AlphaDropout": (lambda: mlp(nn.SELU(), nn.AlphaDropout(0.3)), SPLIT),
    "FeatureAlphaDropout": (lambda: convolutions(nn.FeatureAlphaDropout(0.3)), SPLIT),
    "Dropout2d": (lambda: convolutions(nn.Dropout2d(0.3)), SPLIT),
    "LSTM": (Recurrent, WHOLE),
    "GRU, time first": (lambda: Recurrent(nn.GRU, batch_first=False), WHOLE),
    "LSTM in a Sequential": (
        lambda: nn.Sequential(nn.LSTM(6, 16, 2, dropout=0.5, batch_first=True), Last(), nn.Linear(16, CLASSES)), SPLIT),
    "LSTM of one layer": (
        lambda: nn.Sequential(nn.LSTM(6, 9, batch_first=True), Last(), nn.Dropout(0.4), nn.Linear(9, CLASSES)), SPLIT),
    "TransformerEncoder": (Transformer, WHOLE),
    "TransformerEncoder of token ids": (lambda: Transformer(tokens=True), WHOLE),
    "TransformerEncoder after a layer": (
        lambda: nn.Sequential(nn.Linear(6, 16), Transformer().encoder, nn.Flatten(), nn.Linear(112, CLASSES)), SPLIT),
    "MultiheadAttention": (Attention, WHOLE),
    "attention by a function": (
        lambda: nn.Sequential(nn.Linear(6, 8), Scaled(), nn.Flatten(), nn.Linear(56, CLASSES)), SPLIT),
    "functional": (Functional, WHOLE),
    "functional beside a module": (lambda: Functional(0.5, 0.05), WHOLE),
    "functional before a module": (lambda: mlp(nn.Dropout(0.05), before=[Drops()]), SPLIT),
    "functional of a small rate": (lambda: mlp(nn.Dropout(0.02), before=[Drops(0.03)]), SPLIT),
    "one mask a batch": (lambda: mlp(OneMask()), SPLIT),
    "in a hook": (patched_hook, SPLIT),
    "in a patched forward": (patched_forward, SPLIT),
    "batch norm of somebody's own": (lambda: mlp(Norm(32), nn.Dropout(0.4)), SPLIT),
    "two outputs in training mode": (Auxiliary, WHOLE),
    "spectral norm": (spectral, SPLIT),
    "TorchScript": (lambda: torch.jit.script(mlp(nn.BatchNorm1d(32), nn.Dropout(0.4))), WHOLE),
    "ResNet of torchvision": (resnet, WHOLE),
    "ViT of torchvision": (vit, WHOLE),
}  # fmt: skip


def images_for(name, n=N):
    generator = torch.Generator().manual_seed(1)
    if "token" in name:
        return torch.randint(0, 20, (n, 7), generator=generator)
    shapes = {"ResNet": (3, 32, 32), "ViT": (3, 16, 16)}
    return torch.randn(n, *shapes.get(name.split()[0], (7, 6)), generator=generator)


def made(name, build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build()
    return network.eval()


def whole_passes(network, x, passes):
    """Probabilities (passes, n, classes) of the network in training mode, batch norms and `Auxiliary` aside."""
    network = copy.deepcopy(network).train()
    for module in network.modules():
        kinds = type(module).__name__, getattr(module, "original_name", "")
        if isinstance(module, _NormBase | Norm | Auxiliary) or module._forward_pre_hooks or "BatchNorm1d" in kinds:
            module.training = False
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        return torch.stack([network(x).double().softmax(1) for _ in range(passes)]).numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_variance_is_that_of_whole_passes_with_all_dropout_on(name):
    build, way = NETWORKS[name]
    network = made(name, build)
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
    ratio = found.variance.mean() / full.var(0).mean()
    spread = ((full - full.mean(0)) ** 2).mean((1, 2)) / full.var(0).mean()  # of a pass: its mean over passes is 1
    assert abs(ratio - 1) < 6 * spread.std() * np.sqrt(2 / passes), (ratio, spread.std())
    z = (found.mean - full.mean(0)) / np.sqrt((found.variance + full.var(0)) / passes).clip(1e-12)
    assert np.abs(z).max() < 6


ALWAYS = {
    "functional": (lambda: mlp(nn.Dropout(0.1), before=[Drops(0.3, always=True)]), r"1 \(Drops\)"),
    "of a small rate": (lambda: mlp(nn.Dropout(0.1), before=[Drops(0.02, always=True)]), r"1 \(Drops\)"),
    "without another": (lambda: mlp(Drops(0.3, always=True)), r"3 \(Drops\)"),
    "patched": (lambda: always_on(mlp(nn.Dropout(0.3))), r"3 \(Dropout\)"),
    "noise": (lambda: mlp(Noise(), nn.Dropout(0.3)), r"3 \(Noise\)"),
    "noise of NumPy": (lambda: mlp(Noise(np.random.default_rng(0)), nn.Dropout(0.3)), r"3 \(Noise\)"),
}


class Noise(nn.Module):
    def __init__(self, rng=None):
        super().__init__()
        self.rng = rng

    def forward(self, x):
        noise = torch.randn_like(x) if self.rng is None else torch.as_tensor(self.rng.normal(size=x.shape)).float()
        return x + 0.1 * noise


def always_on(network):
    network[3].forward = lambda x: F.dropout(x, 0.3, training=True)
    return network


@pytest.mark.parametrize("name", ALWAYS)
def test_what_cannot_be_switched_off_is_refused_by_its_name(name):
    build, place = ALWAYS[name]
    network = made(name, build).train()
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match=f"^{place} is random in evaluation mode, too"):
        predict(network, images_for(name), passes=5)
    assert all(module.training for module in network.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_what_cannot_be_switched_on_alone_is_refused_by_its_name():
    network = mlp(Norm(32, rate=0.5), nn.Dropout(0.3)).train()
    before = network[3].mean.clone()
    with pytest.raises(ValueError, match="the dropout of Norm cannot be switched on alone"):
        predict(network, images_for("Norm"), passes=5)
    assert torch.equal(network[3].mean, before)


class Idle(nn.Module):
    """Draws random numbers that decide nothing, as layers do that may be left out in training."""

    def forward(self, x):
        return x + 0 * torch.rand(())


def test_random_numbers_that_decide_nothing_are_let_pass():
    assert predict(mlp(Idle(), nn.Dropout(0.3)), images_for("Idle"), passes=5).variance.max() > 0


@pytest.mark.parametrize(
    ("build", "kinds"),
    [
        (lambda: torchvision.models.resnet18(num_classes=CLASSES), "BasicBlock, ResNet"),
        (lambda: zeroed(mlp(nn.Dropout(0.5))), "Dropout"),
    ],
    ids=["no dropout", "dropout before weights of 0"],
)
@pytest.mark.filterwarnings("ignore:cannot see where dropout begins")
def test_passes_that_do_not_differ_are_refused(build, kinds):
    x = images_for("ResNet" if "ResNet" in kinds else "mlp", 3)
    with pytest.raises(ValueError, match=f"the passes do not differ, with {kinds} in training mode: .*add nn.Dropout"):
        predict(made("", build), x, passes=3)


def zeroed(network):
    nn.init.zeros_(network[-1].weight)
    return network


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
        predict(network, images_for("mlp"), passes=3) if use == "predict" else distillation.soft_targets(
            network, images_for("mlp")
        )


@pytest.mark.parametrize("passes", [4, "gaussian"])
def test_a_logit_of_minus_infinity_leaves_everything_finite(passes):
    network = mlp(nn.Dropout(0.3)).eval()
    with torch.no_grad():
        network[-1].bias[2] = -torch.inf
    found = predict(network, images_for("mlp"), passes=passes)
    for array in (*vars(found).values(), found.entropy, found.mutual_information):
        assert np.isfinite(array).all()
    assert (found.mean[:, 2] == 0).all()


@pytest.mark.parametrize("kind", ["float64", "float16", "array"])
def test_inputs_come_in_the_networks_precision(kind):
    network, x = mlp(nn.Dropout(0.3)).eval(), images_for("mlp")
    given = {"float64": x.double(), "float16": x.half(), "array": x.double().numpy()}[kind]
    expected = predict(network, x.half().float() if kind == "float16" else x, passes=3)
    assert np.array_equal(predict(network, given, passes=3).mean, expected.mean)
    assert predict(copy.deepcopy(network).double(), given, passes=3).mean == pytest.approx(expected.mean, abs=1e-5)


@pytest.mark.parametrize("kind", ["DataLoader", "Dataset", "generator", "list"])
@pytest.mark.parametrize("use", ["predict", "logits"])
def test_what_is_no_array_is_refused_in_one_line(kind, use):
    pairs = torch.utils.data.TensorDataset(images_for("mlp"), torch.zeros(N))
    loader = torch.utils.data.DataLoader(pairs)
    given = {"DataLoader": loader, "Dataset": pairs, "generator": (x for x, _ in pairs), "list": [1.0]}[kind]
    kind = "TensorDataset" if kind == "Dataset" else kind
    with pytest.raises(ValueError, match=f"images must be a tensor or an array .*, got a {kind};"):
        {"predict": predict, "logits": models.logits}[use](mlp(nn.Dropout(0.3)), given)


def test_a_network_without_parameters_is_predicted():
    found = predict(nn.Sequential(nn.Flatten(), nn.Dropout(0.5)).eval(), images_for("mlp"), passes=3)
    assert found.mean.shape == (N, 42)
