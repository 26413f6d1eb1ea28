"""What the tests share: real MNIST, a profile of seconds, and one run that has been trained and predicted."""

import copy
import shutil
from pathlib import Path

import kdutils as kd
import pytest
import torch
from hypothesis import settings
from kdutils.plumbing import fetch
from torch._subclasses.fake_tensor import FakeTensorMode

HERE = Path(__file__).parent
SLOW = ("test_mc_dropout", "test_training", "test_runs", "test_package")  # these wait for training

settings.register_profile("kdutils", deadline=None, derandomize=True)
settings.load_profile("kdutils")


def pytest_collection_modifyitems(items):
    """Fast files first, then the slow ones, then the folders below; tests/benchmarks holds no tests."""

    def rank(item):
        if item.path.parent != HERE:
            return len(SLOW) + 1
        return SLOW.index(item.path.stem) + 1 if item.path.stem in SLOW else 0

    items.sort(key=rank)


@pytest.fixture
def scratch(tmp_path):
    """A folder that is gone afterwards: copies of MNIST and of networks are large."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture
def interrupt(monkeypatch):
    """A function: train a Run's network until the given batch, counted from 0, and interrupt it there."""

    def train(run, name, batch):
        preprocess, batches = kd.data.preprocess, iter(range(100))

        def interrupted(images):
            if torch.is_grad_enabled() and next(batches) == batch:
                raise KeyboardInterrupt
            return preprocess(images)

        with monkeypatch.context() as patch:
            patch.setattr(kd.data, "preprocess", interrupted)
            with pytest.raises(KeyboardInterrupt):
                run.network(name)

    return train


@pytest.fixture
def repository(scratch, monkeypatch):
    """An empty repository as the working directory."""
    (scratch / "notebooks").mkdir()
    (scratch / "pyproject.toml").touch()
    monkeypatch.chdir(scratch)
    monkeypatch.delenv("KDUTILS_PROFILE", raising=False)
    return scratch


@pytest.fixture(scope="session")
def mnist():
    return kd.data.load_mnist()


@pytest.fixture(scope="session")
def fashion_folder(tmp_path_factory):
    """A folder with Fashion-MNIST's four files."""
    folder = tmp_path_factory.mktemp("fashion-mnist")
    try:
        kd.data.load_fashion_mnist(folder)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def sources(monkeypatch):
    """A function: what it is given, {title: a function that fetches}, takes the place of a data set's sources."""

    def replace(chosen, collection="MNIST"):
        monkeypatch.setattr(fetch, collection, getattr(fetch, collection)._replace(sources=chosen))

    return replace


@pytest.fixture(scope="session")
def tiny():
    """Its last batch is smaller than the others."""
    return kd.Profile("tiny", 30, 20, 50, epochs=2, batch_size=12, peak_learning_rate=1e-3, mc_passes=3)


@pytest.fixture(scope="session")
def parts(mnist, tiny):
    return kd.data.split(mnist, tiny)


@pytest.fixture(scope="session")
def sn1():
    """SN1 with random weights; a test that changes it copies it first."""
    return kd.models.build("SN1", seed=0).eval()


@pytest.fixture
def fake_gpu():
    """A mode for `with`: its tensors on "cuda" have a device and a shape, but no numbers, and need no GPU."""
    return FakeTensorMode()


@pytest.fixture
def sn1_on_fake_gpu(sn1, fake_gpu):
    network = copy.deepcopy(sn1)
    with fake_gpu:
        for module in network.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, torch.nn.Parameter(torch.empty(parameter.shape, device="cuda")))
    return network


@pytest.fixture(scope="session")
def finished_run(tiny, tmp_path_factory):
    """A Run with stored predictions of SN1 and of KD-SN1, hence with a trained TN; a test that changes it copies it."""
    root = tmp_path_factory.mktemp("finished")
    run = kd.Run(tiny, 0, root, device="cpu")
    run.predictions("SN1")
    run.predictions("KD-SN1")
    yield run
    shutil.rmtree(root)
