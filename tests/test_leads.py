"""Where a figure comes from, as the book says it."""

import json
from pathlib import Path

import leads
import pytest

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = "profile paper: 50,000 training\nseeds 0, 1, networks and predictions in results\n"
STUDY = "study = kd.notebook.from_parameters()\nrun, R = study[0], len(study)\n"
STUDY += "networks = [name for name in NETWORKS if all(own.has(name) for own in study)]"
CELLS = (  # (source, what it printed, whether it drew)
    ("import kdutils as kd\n" + STUDY, SETTINGS, False),
    ("made = [own.predictions('TN') for own in study]\nfigure = 0", "", False),
    ("paper = kd.notebook.committed('paper_table1.json')", "", False),
    ("figure = plot(made)\nfor own in range(3):\n    print(own)", "one.png one.pdf\n", True),
    ("def two(made=1):\n    figure = made  # its own\n    return figure * paper", "", False),
    ("figure = plot(two())", "two.png two.pdf\n", True),
    ("figure = plot()", "", True),
    ("made = []\nplot(made)", "", True),
    ("plot(run.predictions('TN'))\nprint(networks)", "", True),
    ("plot(kd.Run('quick', 3), np.load(root / 'results/quick/turned.npz'))", "", True),
    ("plot(kd.choices.side_by_side([], kd.choices.with_variants([], pairs), pairs))", "", True),
    ("finish()", "3 s on 2026-11-26T00:41:08+00:00, commit 718f4eca944d9917210b216415876d64e8800062+\n", False),
)


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(leads, "ROOT", tmp_path)
    cells = [{"cell_type": "markdown", "source": ["# A title"]}]
    for count, (source, printed, drew) in enumerate(CELLS, start=1):
        drawn = [{"output_type": "display_data", "data": {"image/png": ""}}] * drew
        said = [{"output_type": "stream", "text": printed.splitlines(keepends=True)}]
        cell = {"cell_type": "code", "execution_count": count, "source": [source], "outputs": said + drawn}
        cells.append(cell)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_a.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return Path("notebooks") / "01_a.ipynb"


def test_a_figure_names_its_cell_what_was_read_for_it_and_the_commit(notebook):
    one, two, three, four, *_ = leads.figures(notebook)
    assert one == leads.Figure(4, "cell 4", ["one.png"], ["results/paper, seeds 0, 1"], "718f4ec+")
    assert (two.cell, two.saved, two.read) == ("cell 6", ["two.png"], ["results/paper_table1.json"])
    assert (three.cell, three.read) == ("cell 7", [])  # a name that it assigns itself is not taken from others
    assert (four.cell, four.read) == ("cell 8", [])
    assert leads.of_file("two.png") == (notebook, two)
    assert leads.sentence(one, "it") == "Drawn by it, from results/paper, seeds 0, 1; commit 718f4ec+."
    assert leads.sentence(three, "it") == "Drawn by it; commit 718f4ec+."


def test_a_figure_names_the_first_seed_alone_and_the_runs_of_other_profiles(notebook):
    *_, first, other, variants = leads.figures(notebook)
    assert first.read == ["results/paper, seed 0"]
    assert other.read[:2] == ["results/quick/turned.npz", "results/quick, seed 3"]
    assert variants.read == ["results/quick", "results/*-*"]
    assert leads.sentence(variants, "it").startswith("Drawn by it, from results/quick and results/*-*;")


def test_a_figure_that_nothing_draws_is_an_error(notebook):
    with pytest.raises(LookupError, match=r"no notebook and no script draws figures/none\.png"):
        leads.of_file("none.png")


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "figures").glob("*.png")))
def test_every_committed_figure_leads_back_to_files_that_exist(name):
    path, figure = leads.of_file(name)
    assert (ROOT / path).is_file()
    assert figure.read or name == "experiment.png"
    for read in figure.read:
        if read != "MNIST":
            assert list(ROOT.glob(read.split(",")[0])), read


def test_the_line_of_one_seed_is_read_too():
    settings = leads.SETTINGS.search("profile paper: 50,000 training\nseed 4, networks and predictions in runs\n")
    assert settings.groups() == ("paper", "4", "runs")
