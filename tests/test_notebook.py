"""What a notebook's first and last cell call."""

import json
import platform
import subprocess
import sys

import kdutils as kd
import pytest
from kdutils import notebook
from kdutils.notebook import from_parameters
from kdutils.plumbing import machine

PARAMETERS = {"profile": "smoke", "seed": 0, "device": "cpu", "precision": "auto", "runs": "", "data": ""}


def test_parameters_give_a_run_for_each_seed(repository, capsys):
    opened = from_parameters(**PARAMETERS, seeds="1-2", source="runs")
    assert [run.seed for run in opened] == [1, 2]
    assert [run.folder for run in opened] == [repository / "runs" / "smoke" / f"seed-{k}" for k in (1, 2)]
    assert {run.output for run in opened} == {repository / "runs" / "smoke"}
    assert not any(run.read_only for run in opened)
    printed = capsys.readouterr().out
    assert "profile smoke: 1,000 training, 500 validation, 500 test images, 1 epoch, 5 passes" in printed
    assert "\nseeds 1, 2, networks" in printed
    assert str(repository) not in printed


def test_without_seeds_there_is_one_run(repository):
    assert [run.seed for run in from_parameters(**PARAMETERS | {"seed": 4})] == [4]
    assert [run.seed for run in from_parameters(**PARAMETERS | {"seed": 4}, seeds="", source="runs")] == [4]


def test_too_few_seeds_are_refused(repository, capsys):
    few = PARAMETERS | {"seeds": "0-1", "source": "runs"}
    with pytest.raises(notebook.SettingsError, match=r"^seeds must be at least 3 here, such as 0-2, got '0-1'$"):
        from_parameters(**few, at_least=3)
    assert capsys.readouterr().out == ""
    assert len(from_parameters(**few, at_least=2)) == 2
    with pytest.raises(notebook.SettingsError, match=r"^seeds must be at least 3 here, such as 0-2, got ''$"):
        from_parameters(**few | {"seeds": ""}, at_least=3)


def test_too_few_committed_seeds_are_counted(repository):
    (repository / "results" / "smoke" / "seed-1").mkdir(parents=True)
    some = PARAMETERS | {"seeds": "", "source": "results", "having": ("SN1", "TN")}
    with pytest.raises(
        notebook.SettingsError, match=r"^results/smoke holds 0 seeds with SN1, TN: at least 3 are needed"
    ):
        from_parameters(**some, at_least=3)


def test_all_committed_records_are_found_by_profile():
    found = notebook.all_committed("transfer.json")
    assert {"paper", "quick"} <= set(found)
    assert all(record["profile"] == profile for profile, record in found.items())


def test_results_are_only_read_and_figures_go_elsewhere(repository):
    (run,) = from_parameters(**PARAMETERS, seeds="", source="results")
    assert run.read_only
    assert run.folder == repository / "results" / "smoke" / "seed-0"
    assert run.output == repository / "runs" / "reference" / "smoke"


def test_a_notebook_without_seeds_reads_its_one_seed_of_the_results(repository):
    """Those of `paper`, unless another profile is asked for, whatever seeds are committed."""
    for seed in (0, 3):
        (repository / "results" / "paper" / f"seed-{seed}").mkdir(parents=True)
    (run,) = from_parameters(**PARAMETERS | {"profile": "auto", "seed": 3}, source="results")
    assert run.folder == repository / "results" / "paper" / "seed-3"
    several = from_parameters(**PARAMETERS | {"profile": "auto"}, source="results", seeds="", having=())
    assert [run.seed for run in several] == [0, 3]


AUTO = PARAMETERS | {"profile": "auto", "seeds": ""}


def test_auto_is_paper_among_the_committed_results(repository):
    assert from_parameters(**AUTO | {"seeds": "0"}, source="results")[0].profile.name == "paper"


@pytest.mark.parametrize(("there", "taken"), [([], "quick"), (["smoke"], "smoke"), (["paper"], "paper")])
def test_auto_is_the_one_profile_that_is_there(repository, there, taken):
    for name in there:
        (repository / "runs" / name / "seed-3" / "TN").mkdir(parents=True)
        (repository / "runs" / name / "seed-3" / "TN" / "manifest.json").touch()
    (repository / "runs" / "reference" / "smoke").mkdir(parents=True)  # what committed results were drawn into
    assert from_parameters(**AUTO, source="runs")[0].profile.name == taken
    one = PARAMETERS | {"profile": "auto"}  # without seeds, as 1 to 4: what suits a CPU
    assert from_parameters(**one)[0].profile.name == from_parameters(**one, source="runs")[0].profile.name == "quick"


def test_auto_does_not_choose_among_several_that_are_there(repository):
    for name in ("smoke", "quick"):
        (repository / "runs" / name / "seed-0" / "TN").mkdir(parents=True)
        (repository / "runs" / name / "seed-0" / "TN" / "manifest.json").touch()
    with pytest.raises(notebook.SettingsError, match=r"^profile must be given, as runs has several: quick, smoke$"):
        from_parameters(**AUTO, source="runs")
    assert from_parameters(**AUTO | {"profile": "quick"}, source="runs")[0].profile.name == "quick"


def test_a_profile_of_ones_own_is_told_with_what_it_changes(repository, capsys):
    (repository / "my-t3.toml").write_text('base = "smoke"\ntemperature = 3.0\n', encoding="utf-8")
    (run,) = from_parameters(**PARAMETERS | {"profile": "my-t3.toml"})
    assert run.folder == repository / "runs" / "my-t3" / "seed-0"
    assert "profile my-t3 (smoke, temperature 3.0): 1,000 training" in capsys.readouterr().out


def test_runs_lie_in_the_asked_for_folder(repository, tmp_path):
    (run,) = from_parameters(**PARAMETERS | {"runs": str(tmp_path / "mine")})
    assert run.folder == tmp_path / "mine" / "smoke" / "seed-0"
    assert run.output == tmp_path / "mine" / "smoke"


def test_the_environment_overrides_the_profile(repository, monkeypatch):
    monkeypatch.setenv("KDUTILS_PROFILE", "quick")
    assert from_parameters(**PARAMETERS)[0].profile is kd.PROFILES["quick"]
    monkeypatch.setenv("KDUTILS_PROFILE", "huge")
    with pytest.raises(ValueError, match="unknown profile 'huge'"):
        from_parameters(**PARAMETERS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"source": "paper"}, "unknown source 'paper': known are results, runs"),
        ({"profile": "huge"}, "unknown profile 'huge'"),
        ({"profile": 1}, "unknown profile 1"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"precision": "float16"}, "unknown precision 'float16': known are auto, float32, bfloat16"),
        ({"seed": "x"}, "seed must be a whole number of at least 0, got 'x'"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seeds": "x-y"}, "seeds must be"),
        ({"runs": None}, "runs must be a folder's path or an empty string, got None"),
        ({"runs": 3}, "runs must be"),
        ({"data": False}, "data must be"),
    ],
)
def test_a_wrong_parameter_is_refused(repository, wrong, message):
    with pytest.raises(ValueError, match=message):
        from_parameters(**PARAMETERS | {"seeds": "", "source": "runs"} | wrong)
    assert not (repository / "runs").exists()


@pytest.mark.parametrize("injected", ["profile = 'smoke'\\nseed = 1", "seed = 1\\nepochs = 3"])
def test_an_injected_parameter_that_no_notebook_has_is_refused(repository, injected):
    code = f"""
from IPython.core.interactiveshell import InteractiveShell
from kdutils.notebook import from_parameters
shell = InteractiveShell.instance()
shell.run_cell("# Parameters\\n{injected}\\n", store_history=True)
try:
    from_parameters(profile="smoke", seed=1, device="cpu", precision="auto", runs="", data="")
except ValueError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository, encoding="utf-8"
    )
    if "epochs" in injected:
        known = "unknown parameter epochs: known are profile, seed, device, precision, runs, data"
        assert done.stdout.strip() == f"{known}; {notebook.OWN}"
    else:
        assert "\nseed 1, networks" in done.stdout


@pytest.mark.parametrize(
    ("profile", "root", "read_only", "says"),
    [("paper", "results", True, "found"), ("quick", "results", True, "else"), ("paper", "runs", False, "else")],
)
def test_a_finding_is_told_of_the_committed_results_of_paper_alone(repository, profile, root, read_only, says):
    run = kd.Run(profile, 0, repository / root, read_only=read_only)
    assert notebook.finding(run, "found", "else") == says


def test_finish_leaves_the_proof_that_a_notebook_ran_to_its_end(tiny, scratch, capsys):
    run = kd.Run(tiny, 0, scratch)
    notebook.finish("02_teacher", run)
    (proof,) = scratch.rglob("*.json")
    assert proof.name == "02_teacher.json"
    record = json.loads(proof.read_text(encoding="utf-8"))
    assert record["notebook"] == "02_teacher"
    assert record["seconds"] >= 0
    assert record["versions"] == machine.provenance()["versions"]
    assert str(scratch) not in proof.read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert record["made"] in printed
    assert platform.python_version() in printed
