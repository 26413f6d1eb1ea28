import hashlib
import shutil

import kdutils as kd
import numpy as np
import pytest
import torch
from kdutils import data
from kdutils.plumbing import fetch

CHANGED = b"\x00" * 10_008


def visible(folder):
    """What a folder holds, but for the lock that was held while it was filled."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.fixture
def copies(mnist):
    """A source: the real files, copied to where a source puts them."""

    def fetch(folder):
        for name in data.FILES:
            shutil.copy(data.default_root() / name, folder / name)
        return folder

    return fetch


@pytest.fixture
def stored(scratch, copies):
    return copies(scratch)


def test_mnist_is_what_its_publishers_say(mnist):
    assert mnist.train_images.shape == (60_000, 1, 28, 28)
    assert mnist.test_images.shape == (10_000, 1, 28, 28)
    assert {array.dtype for array in vars(mnist).values()} == {np.dtype(np.uint8)}
    assert mnist.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(mnist.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert mnist.train_images.mean() / 255 == pytest.approx(data.MEAN, abs=5e-5)
    assert mnist.train_images.std() / 255 == pytest.approx(data.STANDARD_DEVIATION, abs=5e-5)


@pytest.mark.parametrize("name", kd.PROFILES)
def test_the_parts_have_their_sizes_and_equally_frequent_classes(mnist, name):
    profile = kd.PROFILES[name]
    for part, whole in {"train": 50_000, "validation": 10_000, "test": 10_000}.items():
        n = getattr(profile, f"{part}_images")
        found = data.split(mnist, profile)[part]
        assert len(found) == len(found.images) == n
        counts = np.bincount(found.labels, minlength=10)
        assert n == whole or (counts == n // 10).all()
        assert (counts > 0).all()


def test_the_whole_split_is_the_publishers_order(mnist):
    parts = data.split(mnist, kd.PROFILES["paper"])
    np.testing.assert_array_equal(parts["train"].images, mnist.train_images[:50_000])
    np.testing.assert_array_equal(parts["validation"].images, mnist.train_images[50_000:])
    np.testing.assert_array_equal(parts["validation"].labels, mnist.train_labels[50_000:])
    np.testing.assert_array_equal(parts["test"].labels, mnist.test_labels)


@pytest.mark.parametrize("name", kd.PROFILES)
def test_no_image_is_in_two_parts(mnist, name):
    parts = data.split(mnist, kd.PROFILES[name]).values()
    contents = [{image.tobytes() for image in part.images} for part in parts]
    assert len(set.union(*contents)) == sum(map(len, parts))


def test_a_smaller_part_has_the_first_images_of_each_class(mnist, tiny):
    train = data.split(mnist, tiny)["train"]
    for digit in range(10):
        first = np.flatnonzero(mnist.train_labels == digit)[:3]
        np.testing.assert_array_equal(train.images[train.labels == digit], mnist.train_images[first])


def test_images_keep_their_labels_in_a_smaller_part(mnist, tiny):
    label_of = {i.tobytes(): y for i, y in zip(mnist.test_images, mnist.test_labels, strict=True)}
    test = data.split(mnist, tiny)["test"]
    assert [label_of[image.tobytes()] for image in test.images] == test.labels.tolist()


@pytest.mark.parametrize(
    ("part", "wrong"), [("train", 55), ("train", 49_990), ("train", 60_000), ("validation", 20_000), ("test", 12)]
)
def test_a_size_that_classes_cannot_share_is_refused(mnist, part, wrong):
    sizes = {"train_images": 60, "validation_images": 50, "test_images": 50} | {f"{part}_images": wrong}
    profile = kd.Profile("wrong", **sizes, epochs=1, batch_size=10, peak_learning_rate=1e-3, mc_passes=1)
    with pytest.raises(ValueError, match=f"{part}_images must be .* multiple of 10 up to .* got {wrong}"):
        data.split(mnist, profile)


def test_preprocess_by_hand(mnist):
    image = mnist.test_images[:1]
    found = data.preprocess(image).numpy()
    expected = np.full((1, 1, 32, 32), -0.1307 / 0.3081)
    expected[:, :, 2:30, 2:30] = (image / 255 - 0.1307) / 0.3081
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_preprocess_takes_arrays_and_tensors_and_leaves_them_alone(mnist):
    images = mnist.test_images[:3].copy()
    tensor = torch.from_numpy(images.copy())
    assert torch.equal(data.preprocess(images), data.preprocess(tensor))
    np.testing.assert_array_equal(images, mnist.test_images[:3])
    np.testing.assert_array_equal(tensor.numpy(), images)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 1, 28, 28), np.float32),
        np.zeros((2, 1, 28, 28), np.int64),
        np.zeros((2, 28, 28), np.uint8),
        np.zeros((2, 1, 33, 28), np.uint8),
        np.zeros((1, 28, 28), np.uint8),
    ],
)
def test_preprocess_refuses_other_types_and_shapes(wrong):
    with pytest.raises(
        ValueError, match=r"images must be uint8 \(n, channels, height, width\) with sides of at most 32, got"
    ):
        data.preprocess(wrong)


@pytest.mark.parametrize(("height", "width", "top", "left"), [(32, 32, 0, 0), (8, 8, 12, 12), (27, 31, 2, 0)])
def test_images_of_any_size_and_colour_are_padded_to_32(height, width, top, left):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, height, width), np.uint8)
    found = data.preprocess(images).numpy()
    expected = np.full((2, 3, 32, 32), -0.1307 / 0.3081)
    expected[:, :, top : top + height, left : left + width] = (images / 255 - 0.1307) / 0.3081
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_data_lie_where_the_environment_says(monkeypatch, sources, scratch, stored):
    monkeypatch.setenv("KDUTILS_DATA", str(stored))
    sources({})
    monkeypatch.chdir(scratch)
    assert data.default_root() == stored
    assert len(data.load_mnist().test_labels) == 10_000


def test_data_lie_in_the_repository_unless_told_otherwise(monkeypatch, scratch):
    monkeypatch.delenv("KDUTILS_DATA", raising=False)
    (scratch / "notebooks").mkdir()
    (scratch / "pyproject.toml").touch()
    monkeypatch.chdir(scratch / "notebooks")
    assert data.default_root() == scratch / "data"


@pytest.mark.parametrize("name", data.FILES)
def test_a_damaged_file_is_named(sources, stored, name):
    content = bytearray((stored / name).read_bytes())
    content[-1] ^= 1
    (stored / name).write_bytes(content)
    sources({})
    with pytest.raises(ValueError, match=f"{name} is corrupt") as error:
        data.load_mnist(stored)
    assert all(other not in str(error.value) for other in data.FILES if other != name)


def test_missing_files_are_fetched_and_the_others_kept(sources, stored, copies):
    root = stored
    missing, kept = "train-labels-idx1-ubyte", root / "t10k-labels-idx1-ubyte"
    (root / missing).unlink()
    before = kept.stat().st_mtime_ns, kept.stat().st_ino
    sources({"a copy": copies})
    assert data.load_mnist(root).train_labels[:3].tolist() == [5, 0, 4]
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == before
    assert hashlib.md5((root / missing).read_bytes()).hexdigest() == data.FILES[missing]


def test_a_new_folder_gets_the_four_files_and_nothing_else(sources, scratch, copies):
    sources({"a copy": copies})
    root = scratch / "not" / "there"
    data.load_mnist(root)
    assert visible(root) == sorted(data.FILES)


def test_the_next_source_is_asked_when_one_fails(sources, scratch, copies):
    def fails(folder):
        (folder / "half a file").write_bytes(b"half")
        raise OSError("no route to host")

    sources({"a mirror": fails, "a copy": copies})
    assert len(data.load_mnist(scratch).train_labels) == 60_000
    assert visible(scratch) == sorted(data.FILES)


def test_if_every_source_fails_one_error_says_all(sources, scratch):
    def unreachable(folder):
        (folder / "half a file").write_bytes(b"half")
        raise OSError("no route to host\nand more lines")

    def broken(folder):
        raise RuntimeError

    sources({"a mirror": unreachable, "a package": broken})
    with pytest.raises(FileNotFoundError) as error:
        data.load_mnist(scratch)
    message = str(error.value)
    assert "a mirror: no route to host;" in message
    assert "a package: RuntimeError" in message
    assert str(scratch) in message
    assert all(name in message for name in data.FILES)
    assert "\n" not in message
    assert visible(scratch) == []


def test_a_damaged_download_is_not_put_in_place(sources, scratch, copies):
    def damaged(folder):
        copies(folder)
        (folder / "t10k-labels-idx1-ubyte").write_bytes(CHANGED)
        return folder

    sources({"a mirror": damaged})
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte is corrupt"):
        data.load_mnist(scratch)
    assert not (scratch / "t10k-labels-idx1-ubyte").exists()
    for name in visible(scratch):
        assert hashlib.md5((scratch / name).read_bytes()).hexdigest() == data.FILES[name]


def test_images_on_a_gpu_are_preprocessed_there(fake_gpu):
    with fake_gpu:
        found = data.preprocess(torch.zeros(3, 1, 28, 28, dtype=torch.uint8, device="cuda"))
    assert (found.device.type, found.dtype, found.shape) == ("cuda", torch.float32, (3, 1, 32, 32))


# Fashion-MNIST, which bears MNIST's names


@pytest.fixture
def good(mnist):
    """A source: the folder of the real files, wherever the data are thought to lie later."""
    folder = data.default_root().resolve()
    return lambda aside: folder


def contents(folder):
    """{name: (bytes, inode)} of the files in a folder."""
    return {path.name: (path.read_bytes(), path.stat().st_ino) for path in folder.iterdir() if path.is_file()}


def test_fashion_mnist_is_what_its_publishers_say(fashion_folder):
    fashion = data.load_fashion_mnist(fashion_folder)
    assert fashion.train_images.shape == (60_000, 1, 28, 28)
    assert fashion.test_images.shape == (10_000, 1, 28, 28)
    assert {array.dtype for array in vars(fashion).values()} == {np.dtype(np.uint8)}
    assert fashion.train_labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert fashion.test_labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert np.bincount(fashion.train_labels).tolist() == [6000] * 10
    assert np.bincount(fashion.test_labels).tolist() == [1000] * 10
    assert fashion.train_images.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert fashion.train_images.std() / 255 == pytest.approx(0.3530, abs=5e-5)


def test_fashion_mnist_is_unpacked_from_the_debian_package(sources, scratch):
    if not fetch.DEBIAN_FOLDER.is_dir():
        pytest.skip(f"the Debian package {fetch.DEBIAN_PACKAGE} is not installed")
    sources({"the package": fetch._from_debian}, "FASHION_MNIST")
    assert len(data.load_fashion_mnist(scratch).test_labels) == 10_000
    assert visible(scratch) == sorted(fetch.FASHION_MNIST.files)


def test_a_missing_or_broken_debian_package_is_said(monkeypatch, sources, scratch):
    sources({"the package": fetch._from_debian}, "FASHION_MNIST")
    monkeypatch.setattr(fetch, "DEBIAN_FOLDER", scratch / "share")
    root = scratch / "fashion-mnist"
    with pytest.raises(FileNotFoundError, match=r"^Fashion-MNIST is not in .*the package: .*No such file") as error:
        data.load_fashion_mnist(root)
    assert all(name in str(error.value) for name in fetch.FASHION_MNIST.files)
    (scratch / "share").mkdir()
    for name in fetch.FASHION_MNIST.files:
        (scratch / "share" / f"{name}.gz").write_bytes(b"not gzip")
    with pytest.raises(FileNotFoundError, match="the package: Not a gzipped file"):
        data.load_fashion_mnist(root)
    assert visible(root) == []


def test_fashion_mnist_has_a_folder_of_its_own(monkeypatch, sources, scratch, fashion_folder):
    monkeypatch.setenv("KDUTILS_DATA", str(scratch))
    sources({"a copy": lambda folder: fashion_folder}, "FASHION_MNIST")
    data.load_fashion_mnist()
    assert visible(scratch) == ["fashion-mnist"]
    assert visible(scratch / "fashion-mnist") == sorted(fetch.FASHION_MNIST.files)


@pytest.mark.parametrize("name", fetch.FASHION_MNIST.files)
def test_a_damaged_file_of_fashion_mnist_is_named(sources, scratch, fashion_folder, name):
    shutil.copytree(fashion_folder, scratch, dirs_exist_ok=True)
    (scratch / name).write_bytes(CHANGED)
    sources({"a copy": lambda folder: fashion_folder}, "FASHION_MNIST")
    with pytest.raises(ValueError, match=f"{name} is corrupt"):
        data.load_fashion_mnist(scratch)
    assert (scratch / name).read_bytes() == CHANGED


@pytest.mark.parametrize("where", ["outside a repository", "in a user's repository", "in this repository"])
def test_fashion_mnist_in_mnists_place_is_said_and_left_alone(
    monkeypatch, sources, scratch, fashion_folder, good, where
):
    """Nothing is fetched, whether a source answers or not."""
    shutil.copytree(fashion_folder, scratch / "data")
    if where != "outside a repository":
        (scratch / "notebooks").mkdir()
        (scratch / "pyproject.toml").write_text(
            f'name = "{"kdutils" if "this" in where else "mine"}"', encoding="utf-8"
        )
    monkeypatch.delenv("KDUTILS_DATA", raising=False)
    monkeypatch.chdir(scratch)
    monkeypatch.setattr(data, "project_root", lambda: scratch)
    before = contents(scratch / "data")
    for chosen in ({}, {"a folder": good}):
        sources(chosen)
        with pytest.raises(ValueError, match="data/train-images-idx3-ubyte is a file of Fashion-MNIST, not of MNIST"):
            data.load_mnist()
        assert contents(scratch / "data") == before


def test_mnist_in_fashion_mnists_place_is_said(sources, stored):
    sources({}, "FASHION_MNIST")
    with pytest.raises(ValueError, match="train-images-idx3-ubyte is a file of MNIST, not of Fashion-MNIST"):
        data.load_fashion_mnist(stored)


@pytest.mark.parametrize("project", [None, 'name = "mine"'])
def test_a_corrupt_file_in_a_users_data_folder_is_named_and_left_alone(
    monkeypatch, sources, scratch, copies, project, good
):
    (scratch / "data").mkdir()
    copies(scratch / "data")
    wrong = scratch / "data" / "t10k-labels-idx1-ubyte"
    wrong.write_bytes(CHANGED)
    if project:
        (scratch / "notebooks").mkdir()
        (scratch / "pyproject.toml").write_text(project, encoding="utf-8")
    monkeypatch.delenv("KDUTILS_DATA", raising=False)
    monkeypatch.setattr(data, "project_root", lambda: scratch)
    sources({"a folder": good})
    before = contents(scratch / "data")
    with pytest.raises(ValueError, match="data/t10k-labels-idx1-ubyte is corrupt"):
        data.load_mnist()
    assert contents(scratch / "data") == before


def test_a_corrupt_file_of_ours_stays_until_a_good_one_is_fetched(monkeypatch, sources, scratch, copies, capsys, good):
    (scratch / "data").mkdir()
    copies(scratch / "data")
    wrong = scratch / "data" / "t10k-labels-idx1-ubyte"
    wrong.write_bytes(CHANGED)
    (scratch / "pyproject.toml").write_text('name = "kdutils"', encoding="utf-8")
    monkeypatch.delenv("KDUTILS_DATA", raising=False)
    monkeypatch.setattr(data, "project_root", lambda: scratch)
    sources({})
    with pytest.raises(FileNotFoundError, match="could not be fetched"):
        data.load_mnist()
    assert wrong.read_bytes() == CHANGED
    sources({"a folder": good})
    assert len(data.load_mnist().test_labels) == 10_000
    assert capsys.readouterr().out == "data/t10k-labels-idx1-ubyte is corrupt: fetching it again\n" * 2


def test_a_folder_that_data_only_links_to_is_a_users(monkeypatch, sources, scratch, stored, good):
    repository = scratch / "repository"
    repository.mkdir()
    (repository / "data").symlink_to(stored)
    (repository / "pyproject.toml").write_text('name = "kdutils"', encoding="utf-8")
    (stored / "t10k-labels-idx1-ubyte").write_bytes(CHANGED)
    monkeypatch.delenv("KDUTILS_DATA", raising=False)
    monkeypatch.setattr(data, "project_root", lambda: repository)
    sources({"a folder": good})
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte is corrupt"):
        data.load_mnist()


def test_a_link_to_a_disk_that_is_away_is_not_replaced(sources, stored, good):
    path = stored / "t10k-labels-idx1-ubyte"
    path.unlink()
    path.symlink_to(stored / "away")
    sources({"a folder": good})
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte"):
        data.load_mnist(stored)
    assert path.is_symlink()


SIZES = {"train": 20, "validation": 10, "test": 10}


@pytest.fixture
def own(tmp_path):
    """A function that writes an NPZ file of 8 x 8 images in three colours, some arrays changed, and gives its path."""

    def write(**changes):
        arrays = {}
        for name, size in SIZES.items():
            arrays[f"{name}_images"] = np.full((size, 3, 8, 8), size, np.uint8)
            arrays[f"{name}_labels"] = np.arange(size) % 10
        arrays = {key: value for key, value in (arrays | changes).items() if value is not None}
        np.savez(tmp_path / "own.npz", **arrays)
        return str(tmp_path / "own.npz")

    return write


def small(path):
    sizes = {f"{name}_images": size for name, size in SIZES.items()}
    return kd.Profile("own", **sizes, epochs=1, batch_size=5, peak_learning_rate=1e-3, mc_passes=2, data=path)


def test_a_file_holds_other_images(own, tmp_path):
    run = kd.Run(small(own()), 0, tmp_path)
    assert {name: part.images.shape for name, part in run.parts.items()} == {
        name: (size, 3, 8, 8) for name, size in SIZES.items()
    }
    assert run.sizes == {"channels": 3, "classes": 10}
    assert run.predictions("SN1").mc_mean.shape == (10, 10)
    again = kd.Run(small(own(train_images=np.zeros((20, 3, 8, 8), np.uint8))), 0, tmp_path)  # under the same name
    assert again.parts
    with pytest.raises(ValueError, match=r"made from other data \(train\)"):
        again.predictions("SN1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"test_labels": None}, "test_labels"),
        ({"train_images": np.zeros((20, 3, 8, 8))}, r"images of train must be uint8 .* got float64 \(20, 3, 8, 8\)"),
        ({"test_images": np.zeros((10, 1, 33, 8), np.uint8)}, "images of test must be uint8 .* sides of at most 32"),
        ({"test_labels": np.arange(10) + 1}, "the train part must have two classes or more, and all of the others'"),
        ({"test_labels": np.zeros(9)}, "as many images as the"),
        ({"train_images": np.zeros((30, 1, 8, 8), np.uint8), "train_labels": np.zeros(30)}, "as many images as the"),
    ],
)
def test_a_file_of_other_arrays_is_refused(own, changes, said):
    path = own(**changes)
    with pytest.raises(ValueError, match=said):
        data.load_parts(path, small(path))


def test_a_file_that_is_missing_or_no_archive_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^data nowhere\.npz: No such file"):
        data.load_parts("nowhere.npz", small("nowhere.npz"))
    (tmp_path / "text.npz").write_text("no archive", encoding="utf-8")
    with pytest.raises(ValueError, match=r"^data .*text\.npz: "):
        data.load_parts(str(tmp_path / "text.npz"), small("text.npz"))
