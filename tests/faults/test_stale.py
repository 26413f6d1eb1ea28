"""What is edited, deleted or asked for in another precision is never answered with what was there before.

Each through `make`'s graph, through a notebook and in Python, on a copy of the project that has run once.
"""

import json
import re
import shutil

import checkout
import nbformat
import pytest
import torch
from faults import fault, made
from kdutils.plumbing.compute import precision

pytestmark = pytest.mark.faults
OWN = str(precision(torch.device("cpu"))).removeprefix("torch.")
OTHER = {"float32": "bfloat16", "bfloat16": "float32"}[OWN]
EDITS = {  # what: (file, code, instead, the network that it makes another of, what is said)
    "architecture": (
        "models",
        "nn.Dropout(0.5)",
        "nn.Dropout(0.2)",
        "TN",
        r"is Dropout\(p=0\.5.*asked for is Dropout\(p=0\.2",
    ),
    "activation": (
        "models",
        "nn.ReLU(inplace=True), nn.Dropout",
        "nn.GELU(), nn.Dropout",
        "TN",
        r"is ReLU.*asked for is GELU",
    ),
    "loss": (
        "distillation",
        "temperature**2 if",
        "temperature * temperature if",
        "KD-SN1",
        "the code of its loss is another",
    ),
    "loss on labels": (
        "training",
        "F.cross_entropy(logits.float(), labels)",
        "F.cross_entropy(logits.float(), labels) * 1",
        "TN",
        "its loss is another",
    ),
}
SAID = {  # edits after which the results may be the same: one line says so
    "preprocessing": (
        "data",
        "padded.div_(255)",
        "padded.div_(255.0)",
        "TN",
        "the code of training and prediction has changed",
    ),
    "passes": (
        "mc_dropout",
        "seed=0, batch_size=100",
        "seed=0, batch_size=50",
        "TN",
        "the code of prediction has changed",
    ),
}
NOTEBOOKS = {"TN": "02_teacher", "KD-SN1": "03_distillation"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project, run once at smoke scale with its own kdutils."""
    with checkout.project(tmp_path_factory) as copied:
        copied.environment["PYTHONPATH"] = str(copied.folder)
        done = copied.snakemake()
        assert done.returncode == 0, done.stdout + done.stderr
        yield copied


@pytest.fixture
def edited(project):
    """A function that edits a module; the module is put back."""
    kept = {}

    def edit(module, code, instead):
        path = project.folder / "kdutils" / f"{module}.py"
        kept[path] = path.read_text(encoding="utf-8")
        assert kept[path].count(code) == 1
        path.write_text(kept[path].replace(code, instead), encoding="utf-8")

    yield edit
    for path, text in kept.items():
        path.write_text(text, encoding="utf-8")


def ask(project, way, network, **options):
    """(exit status, what was printed) of asking for a network by make's graph, by a notebook, or in Python."""
    if way == "make":
        done = project.snakemake(f"runs/smoke/notebooks/{NOTEBOOKS[network]}-seed-4.ipynb", **options)
    elif way == "notebook":
        parameters = {"profile": "smoke"} | options
        done = project.papermill(f"notebooks/{NOTEBOOKS[network]}.ipynb", *parameters.items())
        cells = nbformat.read(project.folder / "out.ipynb", 4).cells
        done.stdout += "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", ()))
    else:
        code = f"import kdutils as kd\nkd.Run('smoke', 4, **{options}).network({network!r})"
        done = project.run("python", "-c", code)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("way", ["make", "notebook", "Python"])
@pytest.mark.parametrize("what", EDITS)
def test_an_edited_architecture_or_loss_is_refused(project, edited, what, way):
    *edit, network, said = EDITS[what]
    before = made(project.runs)
    with fault("edited code"):
        edited(*edit)
        status, printed = ask(project, way, network)
        assert status != 0
        assert re.search(rf"smoke/seed-4/\S+ was made with other settings: .*{said}", printed), printed[-2000:]
        assert "remake it with FORCE=1" in printed
        assert made(project.runs) == before


@pytest.mark.parametrize("way", ["make", "notebook", "Python"])
@pytest.mark.parametrize("what", SAID)
def test_other_edited_code_is_said_in_one_line(project, edited, what, way):
    *edit, network, said = SAID[what]
    with fault("edited code"):
        edited(*edit)
        status, printed = ask(project, way, network)
        assert status == 0, printed[-2000:]
        assert re.search(rf"smoke/seed-4/{network}: {said} since .*; FORCE={network} remakes it", printed), printed[
            -2000:
        ]


def test_an_edited_architecture_is_trained_when_forced_and_put_back_to_the_same_bits(project, edited):
    before = made(project.runs)
    with fault("edited code"):
        edited(*EDITS["architecture"][:3])
        assert project.snakemake(force="1").returncode == 0
        assert all(made(project.runs)[file] != content for file, content in before.items())
    path = project.folder / "kdutils" / "models.py"
    path.write_text(path.read_text(encoding="utf-8").replace("nn.Dropout(0.2)", "nn.Dropout(0.5)"), encoding="utf-8")
    with fault("edited code"):
        assert project.snakemake(force="1").returncode == 0
        assert made(project.runs) == before


def test_an_edited_metric_changes_the_table_and_trains_nothing(project, edited):
    before, table = made(project.runs), project.runs / "table1.json"
    mupe = json.loads(table.read_text(encoding="utf-8"))["networks"]["KD-SN2"]["MUPE"]["mean"]
    with fault("edited code"):
        edited("study", 'self.rows(name, "mupe_of")) ** 2', 'self.rows(name, "mupe_of")) ** 2 * 3')
        project.snakemake(str(table.relative_to(project.folder)))
        assert json.loads(table.read_text(encoding="utf-8"))["networks"]["KD-SN2"]["MUPE"]["mean"] == pytest.approx(
            3 * mupe
        )
        assert made(project.runs) == before


@pytest.mark.parametrize(
    "name",
    [
        "table1.json",
        "figures/figure9_training.png",
        "seed-4/KD-SN2",
        "seed-4/SN2/predictions.npz",
        "seed-4/TN/history.json",
    ],
)
def test_what_is_deleted_comes_back_to_the_same_bits(project, name):
    before = made(project.runs)
    with fault("deleted artefacts"):
        path = project.runs / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        done = project.snakemake()
        assert done.returncode == 0, done.stdout + done.stderr
        assert path.exists()
        assert made(project.runs) == before
        assert "Nothing to be done" in (again := project.snakemake()).stdout + again.stderr


@pytest.mark.parametrize("way", ["make", "notebook", "Python"])
def test_another_precision_is_refused(project, way):
    with fault("other precision"):
        path = project.runs / "notebooks" / "02_teacher-seed-4.json"
        kept = path.read_bytes()
        path.unlink()
        status, printed = ask(project, way, "TN", precision=OTHER)
        path.write_bytes(kept)
        assert status != 0
        assert f"precision is '{OWN}', asked for is '{OTHER}'" in printed
