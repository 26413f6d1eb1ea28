"""MC dropout of networks of every form beside whole passes with all dropout on, written to results/networks.json.

python workflow/networks.py    some minutes
"""

import types
import warnings

import numpy as np
import torch
import torchvision
from kdutils.mc_dropout import predict
from kdutils.plumbing.machine import provenance
from kdutils.plumbing.store import to_json, write_atomically
from report import ROOT
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

CLASSES = 5
WHOLE, SPLIT = "full passes", "split"


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


class AlwaysBefore(nn.Module):
    """What the dropout module gets is random already: it is not to be blamed."""

    def __init__(self):
        super().__init__()
        self.body = mlp(nn.Dropout(0.3))

    def forward(self, x):
        return self.body(F.dropout(x, 0.2))


class ByAFlag(nn.Module):
    """Functional dropout that hangs on the flag of a child, which is no dropout."""

    def __init__(self, child):
        super().__init__()
        self.hidden, self.norm, self.head = nn.Linear(42, 32), nn.BatchNorm1d(32), nn.Linear(32, CLASSES)
        self.beside, self.child = nn.Dropout(0.05), child

    def forward(self, x):
        x = torch.relu(self.norm(self.hidden(x.flatten(1))))
        return self.head(self.beside(F.dropout(x, 0.5, training=getattr(self, self.child).training)))


class DropWeight(nn.Module):
    """A parametrization that drops weights (DropConnect)."""

    def forward(self, weight):
        return F.dropout(weight, 0.3, training=self.training)


class OneMask(nn.Module):
    """One mask for all rows of a batch."""

    def forward(self, x):
        return x * F.dropout(torch.ones_like(x[:1]), 0.5, training=self.training)


class Noise(nn.Module):
    def __init__(self, rng=None):
        super().__init__()
        self.rng = rng

    def forward(self, x):
        noise = torch.randn_like(x) if self.rng is None else torch.as_tensor(self.rng.normal(size=x.shape)).float()
        return x + 0.1 * noise


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


def drop_connect():
    network = mlp(nn.Dropout(0.05))
    nn.utils.parametrize.register_parametrization(network[1], "weight", DropWeight())
    return network


def hook_by_the_networks_flag():
    network = mlp(nn.Dropout(0.05))
    network[1].register_forward_hook(lambda module, _, x: F.dropout(x, 0.5, network.training))
    return network


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


def always_on(network):
    network[3].forward = lambda x: F.dropout(x, 0.3, training=True)
    return network


def zeroed(network):
    nn.init.zeros_(network[-1].weight)
    return network


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
    "functional dropout": (Functional, WHOLE),
    "functional dropout beside a module": (lambda: Functional(0.5, 0.05), WHOLE),
    "functional dropout before a module": (lambda: mlp(nn.Dropout(0.05), before=[Drops()]), SPLIT),
    "functional dropout of a small rate": (lambda: mlp(nn.Dropout(0.02), before=[Drops(0.03)]), SPLIT),
    "functional dropout by a child's flag": (lambda: ByAFlag("hidden"), WHOLE),
    "one mask a batch": (lambda: mlp(OneMask()), SPLIT),
    "dropout in a hook": (patched_hook, SPLIT),
    "dropout in a hook, by the network's flag": (hook_by_the_networks_flag, WHOLE),
    "dropout in a patched forward": (patched_forward, SPLIT),
    "batch norm of somebody's own": (lambda: mlp(Norm(32), nn.Dropout(0.4)), SPLIT),
    "two outputs in training mode": (Auxiliary, WHOLE),
    "dropout of weights (DropConnect)": (drop_connect, SPLIT),
    "spectral norm": (spectral, SPLIT),
    "TorchScript": (lambda: torch.jit.script(mlp(nn.BatchNorm1d(32), nn.Dropout(0.4))), WHOLE),
    "ResNet of torchvision": (resnet, WHOLE),
    "ViT of torchvision": (vit, WHOLE),
}  # fmt: skip
REFUSED = {  # name: (network, where the error says that it lies)
    "functional dropout, always on": (lambda: mlp(nn.Dropout(0.1), before=[Drops(0.3, always=True)]), "1 (Drops)"),
    "always-on dropout of a small rate": (lambda: mlp(nn.Dropout(0.1), before=[Drops(0.02, always=True)]), "1 (Drops)"),
    "always-on dropout without another": (lambda: mlp(Drops(0.3, always=True)), "3 (Drops)"),
    "dropout patched to be always on": (lambda: always_on(mlp(nn.Dropout(0.3))), "3 (Dropout)"),
    "always-on dropout before a module": (AlwaysBefore, "AlwaysBefore"),
    "noise": (lambda: mlp(Noise(), nn.Dropout(0.3)), "3 (Noise)"),
    "noise of NumPy": (lambda: mlp(Noise(np.random.default_rng(0)), nn.Dropout(0.3)), "3 (Noise)"),
    "dropout in somebody's own batch norm": (lambda: mlp(Norm(32, rate=0.5), nn.Dropout(0.3)), "the dropout of Norm"),
    "dropout by a batch norm's flag": (lambda: ByAFlag("norm"), "the dropout of BatchNorm1d"),
    "no dropout": (lambda: torchvision.models.resnet18(num_classes=CLASSES), "the passes do not differ"),
    "dropout before weights of 0": (lambda: zeroed(mlp(nn.Dropout(0.5))), "the passes do not differ"),
}


def images_for(name, n):
    """Inputs of n images, or sequences, as the network of that name takes them."""
    generator = torch.Generator().manual_seed(1)
    if "token" in name:
        return torch.randint(0, 20, (n, 7), generator=generator)
    shapes = {"ResNet": (3, 32, 32), "ViT": (3, 16, 16)}
    return torch.randn(n, *shapes.get(name.split()[0], (7, 6)), generator=generator)


def made(build):
    """A network with random weights, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build()
    return network.eval()


def whole_passes(network, x, passes):
    """Probabilities (passes, n, classes) of the network in training mode, batch norms and `Auxiliary` aside."""
    flags = {module: module.training for module in network.modules()}
    network.train()
    for module in flags:
        kinds = type(module).__name__, getattr(module, "original_name", "")
        if isinstance(module, _NormBase | Norm | Auxiliary) or module._forward_pre_hooks or "BatchNorm1d" in kinds:
            module.training = False
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        found = torch.stack([network(x).double().softmax(1) for _ in range(passes)]).numpy()
    for module, flag in flags.items():
        module.training = flag
    return found


def beside(variance, full):
    """(ratio, its standard deviation by chance) of a mean variance to that of whole passes (passes, n, classes).

    Both from as many passes.
    """
    of_passes = ((full - full.mean(0)) ** 2).mean((1, 2)) / full.var(0).mean()  # its mean over the passes is 1
    return variance.mean() / full.var(0).mean(), of_passes.std() * np.sqrt(2 / len(full))


def row(name):
    """What `predict` makes of a network of `NETWORKS`, beside whole passes of it."""
    network = made(NETWORKS[name][0])
    n, passes = (4, 100) if "torchvision" in name else (24, 1_000)
    x = images_for(name, n)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        variance = predict(network, x, passes=passes, seed=1).variance
    whole = any("every pass runs all of it" in str(warning.message) for warning in caught)
    full = whole_passes(network, x, passes)
    ratio, chance = beside(variance, full)
    numbers = {"variance": variance.mean(), "whole": full.var(0).mean(), "ratio": ratio, "chance": chance}
    found = {key: float(f"{value:.4g}") for key, value in numbers.items()}
    return {"network": name, "way": WHOLE if whole else SPLIT, "images": n, "passes": passes} | found


def refusal(name):
    """What `predict` says of a network of `REFUSED`."""
    try:
        with warnings.catch_warnings(action="ignore"):
            predict(made(REFUSED[name][0]), images_for("ResNet" if name == "no dropout" else name, 3), passes=3)
    except ValueError as error:
        return {"network": name, "way": "refused", "says": str(error)}
    raise AssertionError(f"{name} is not refused")


def main():
    rows = [*map(row, NETWORKS), *map(refusal, REFUSED)]
    write_atomically(ROOT / "results" / "networks.json", to_json(provenance() | {"rows": rows}))


if __name__ == "__main__":
    main()
