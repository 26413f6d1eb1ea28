"""Folders, shells and machines of other people: names, repositories, variables that a run inherits."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import types

import kdutils as kd
import nbformat
import pytest
from checkout import ROOT, copy, listed
from kdutils.plumbing import machine, store


def git(folder, *words):
    options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *options, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("converts", ["true", "input", "false"])
def test_a_clone_that_converts_line_endings_has_the_same_bytes(tmp_path, converts):
    shown = subprocess.run(["git", "ls-files", "results", "*.ipynb"], cwd=ROOT, capture_output=True, check=True).stdout
    names = [name for name in shown.decode().splitlines() if name.endswith((".json", ".ipynb"))]
    names = [".gitattributes", *names[:3], *names[-3:]]
    (tmp_path / "origin").mkdir()
    git(tmp_path / "origin", "init", "-q")
    for name in names:
        (tmp_path / "origin" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "origin" / name).write_bytes((ROOT / name).read_bytes())
    git(tmp_path / "origin", "add", "-A")
    git(tmp_path / "origin", "commit", "-qm", "all")
    git(tmp_path, "clone", "-q", "-c", f"core.autocrlf={converts}", "origin", "clone")
    for name in names[1:]:
        assert (tmp_path / "clone" / name).read_bytes() == (ROOT / name).read_bytes(), name


def test_home_is_expanded_where_the_data_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KDUTILS_DATA", "~/mnist")
    assert kd.data.default_root() == tmp_path / "mnist"


def test_home_is_expanded_in_a_folder_that_is_handed_over(monkeypatch, scratch, sources):
    monkeypatch.chdir(scratch)
    monkeypatch.setenv("HOME", str(scratch / "home"))
    sources({})
    with pytest.raises(FileNotFoundError, match=re.escape(str(scratch / "home" / "mnist"))):
        kd.data.load_mnist("~/mnist")
    assert not (scratch / "~").exists()


@pytest.mark.parametrize("use", ["data", "environment", "runs", "profile"])
def test_a_home_that_nobody_has_is_refused_in_one_line(monkeypatch, scratch, use):
    monkeypatch.chdir(scratch)
    monkeypatch.setenv("KDUTILS_DATA", "~nobody-here/x")
    with pytest.raises(ValueError, match=r"^~nobody-here/x.*: there is no home folder for the ~"):
        {
            "data": lambda: kd.data.load_mnist("~nobody-here/x"),
            "environment": kd.data.load_mnist,
            "runs": lambda: kd.Run("smoke", 0, "~nobody-here/x"),
            "profile": lambda: kd.profiles.resolve("~nobody-here/x.toml"),
        }[use]()
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("folder", ["a file", "/proc/none"])
def test_data_that_cannot_be_stored_there_are_said_in_one_line(folder, tmp_path):
    (tmp_path / "a file").touch()
    with pytest.raises(OSError, match=r"^\[Errno \d+\] cannot write .*(File exists|No such file).*same command"):
        kd.data.load_mnist(tmp_path / folder)


def test_temporary_names_differ_between_machines_of_one_process_id(monkeypatch, tmp_path):
    names = []
    monkeypatch.setattr(os, "replace", lambda old, new: names.append(old.name))
    for _ in range(2):
        store.write_atomically(tmp_path / "file", b"x")
    assert names[0] != names[1]
    assert all(name.endswith(".tmp") for name in names)


# Which commit


@pytest.fixture
def inner(tmp_path, monkeypatch):
    """A project's folder inside another repository that has a commit."""
    folder = tmp_path / "inner"
    (folder / "notebooks").mkdir(parents=True)
    (folder / "kdutils").mkdir()
    (folder / "pyproject.toml").touch()
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "another project")
    monkeypatch.chdir(folder)
    return folder


def test_the_commit_of_a_repository_around_is_not_ours(inner):
    assert machine.commit() == (None, "outside a repository")
    git(inner, "init", "-q")
    git(inner, "add", "-A")
    git(inner, "commit", "-qm", "ours")
    found, why = machine.commit()
    assert re.fullmatch(r"[0-9a-f]{40}", found)
    assert why is None
    (inner / "kdutils" / "new.py").touch()
    assert machine.commit()[0] == found + "+"


def test_a_hook_of_another_repository_does_not_lend_its_commit(inner, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(inner.parent / ".git"))
    assert machine.commit() == (None, "outside a repository")
    monkeypatch.setenv("GIT_WORK_TREE", str(inner))
    assert machine.commit() == (None, "outside a repository")


def test_what_git_refuses_is_said(inner, monkeypatch, capsys):
    git(inner, "init", "-q")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert machine.commit()[0] is None
    assert machine.commit()[1].startswith("git says: fatal: detected dubious ownership")
    monkeypatch.setenv("PATH", "")
    assert machine.commit() == (None, "git is not installed")
    assert machine.provenance()["commit"] is None


# Headless


@pytest.mark.parametrize(
    ("asked", "page"), [("5f1c_4711_12", False), ("8e7d7c4a-11f0-4c8e-9d3e-1d2c3b4a5f60", True), ("", True)]
)
def test_a_headless_run_is_no_page_whatever_it_inherits(monkeypatch, asked, page):
    shell = types.SimpleNamespace(get_parent=lambda: {"header": {"msg_id": asked}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setenv("JPY_SESSION_NAME", "a.ipynb")
    assert machine.in_a_notebook_page() == page
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert not machine.in_a_notebook_page()


def test_an_executed_notebook_has_its_figures_and_no_widget(tmp_path):
    cells = [
        "import matplotlib.pyplot as plt\nfrom kdutils import notebook, plots\nnotebook._show_figures()",
        "plots.explore(lambda x=1: plt.show(plt.plot([x, 2])) , x=(0, 2, 1))",
    ]
    path = tmp_path / "a.ipynb"
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    page.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(page, path)
    environment = os.environ | {"MPLBACKEND": "Agg", "JPY_SESSION_NAME": "b.ipynb", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "papermill", path, path, "--no-progress-bar", "--log-level", "ERROR"]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    outputs = nbformat.read(path, 4).cells[1].outputs
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any("widget" in key for output in outputs for key in output.get("data", {}))


# Folders in the Snakefile and the Makefile


@pytest.mark.parametrize("runs", ["my runs", "it's ours", "Läufe; touch x"])
def test_no_name_of_a_folder_is_taken_apart(tmp_path, runs):
    command = ["snakemake", "--cores", "1", "--nolock", "--dry-run", "--printshellcmds", "--config", "profile=smoke"]
    command += [f"runs={tmp_path / runs}", "device=cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip().startswith("{ papermill")]
    assert lines
    for line in lines:
        command, _, errors = line.partition(" 2> ")
        assert 'grep -v "over TCP without encryption"' in errors  # ipykernel says it of every notebook
        words = shlex.split(command)[1:]
        assert words[2].startswith(f"{tmp_path / runs}/smoke/notebooks/")
        assert words[words.index("runs") + 1] == str(tmp_path / runs)


def test_a_variants_folders_are_one_word_each(tmp_path):
    command = ["snakemake", "sensitivity", "--cores", "1", "--nolock", "--dry-run", "--printshellcmds", "--config"]
    command += ["profile=smoke", f"runs={tmp_path}/it's ours", "device=cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    line = next(line for line in (done.stderr + done.stdout).splitlines() if "workflow/variant.py" in line)
    assert shlex.split(line.split(" 2>&1 ")[0])[-4:] == ["--runs", f"{tmp_path}/it's ours", "--data", ""]


@pytest.mark.parametrize("runs", ["007", "2026_11_25", "1e3"])
def test_digits_alone_are_a_folder_or_refused(runs):
    command = ["snakemake", "--cores", "1", "--nolock", "--dry-run", "--config", "profile=smoke", f"runs={runs}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 2
    assert "kdutils: runs must be text, got " in done.stderr
    shown = subprocess.run(
        ["make", "-n", "--old-file=.venv/ready", "paper", f"RUNS={runs}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert f" runs=@'{runs}' " in shown.stdout


@pytest.mark.parametrize("runs", ["a{b}", "~nobody-here/x"])
def test_a_folder_that_papermill_or_the_shell_would_take_apart_is_refused(runs):
    command = ["snakemake", "--cores", "1", "--nolock", "--dry-run", "--config", "profile=smoke", f"runs=@{runs}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert re.match("kdutils: (runs must have no braces|.*no home folder)", done.stderr)


@pytest.mark.parametrize(
    ("runs", "folder"),
    [("~/my runs", "/home/me/my runs"), ("~", "/home/me"), ("~/a ~b", "/home/me/a ~b"), ("a ~b", "a ~b"), ("~b", "~b")],
)
def test_home_is_expanded_in_runs(runs, folder):
    shown = subprocess.run(
        ["make", "-n", "--old-file=.venv/ready", "paper", f"RUNS={runs}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"HOME": "/home/me"},
    )
    assert f" runs=@'{folder}' " in shown.stdout
    assert f"workflow/report.py '{folder}'/" in shown.stdout


@pytest.fixture(scope="module")
def umlauts(tmp_path_factory):
    """The project's code in a folder with spaces and umlauts."""
    folder = tmp_path_factory.mktemp("clone") / "Größere Übung, 2. Versuch"
    copy(listed("*.py", "pyproject.toml", "Makefile", "Snakefile", "notebooks/0*", "results/*.json"), folder)
    return folder


@pytest.mark.parametrize("runs", ["it's Läufe #2", "007"])
def test_make_works_in_a_folder_with_spaces_and_umlauts(umlauts, runs):
    environment = os.environ | {"PYTHONPATH": str(umlauts), "PYTHONUTF8": "1"}
    environment["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{environment['PATH']}"

    def run(*command):
        options = {"cwd": umlauts, "env": environment, "capture_output": True, "text": True, "encoding": "utf-8"}
        done = subprocess.run(command, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    stored = "quick/seed-4/SN1"  # the Makefile's seed
    shutil.copytree(ROOT / "results" / stored, umlauts / runs / stored)
    make = ("make", "--no-print-directory", "--old-file=.venv/ready", f"RUNS={runs}")
    assert run(*make, "results", "PROFILE=quick") == "kept quick seed 4 SN1\n"
    kept = umlauts / "results" / stored / "predictions.npz"
    assert kept.read_bytes() == (ROOT / "results" / stored / "predictions.npz").read_bytes()

    lines = run(*make, "paper", "PROFILE=smoke", "--dry-run").replace("--cores all", "--cores 1 --dry-run")
    lines = lines.replace("python workflow/live.py", "").replace("--quiet rules progress host", "")
    shown = run("sh", "-c", lines.split("python workflow/report.py")[0])
    assert f"{runs}/smoke/notebooks/01_data.ipynb" in shown


def test_a_home_that_cannot_be_written_is_not_snakemakes(tmp_path):
    words = ["make", "-n", "--old-file=.venv/ready", "paper", f"RUNS={tmp_path}"]
    shown = {}
    for home in ("/proc/none", str(tmp_path)):
        done = subprocess.run(
            words, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", env=os.environ | {"HOME": home}
        )
        shown[home] = re.findall(r'HOME="([^"]+)" python workflow/live.py snakemake', done.stdout)
    assert shown == {"/proc/none": [f"{ROOT}/.snakemake/home"], str(tmp_path): []}
    command = ["snakemake", "--cores", "1", "--nolock", "--dry-run", "--config", "profile=smoke", f"runs={tmp_path}/r"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env=os.environ | {"HOME": f"{ROOT}/.snakemake/home"})
    assert done.returncode == 0


def test_a_line_that_needs_no_shell_names_its_program():
    """macOS's make 3.81 looks for it on its own PATH, not on the one that the Makefile exports."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = [line.lstrip("\t@") for line in text.splitlines() if line.startswith("\t")]
    bare = [line for line in lines if not re.search(r"""[#;"*?\[\]&|<>(){}$`^~!']""", line)]
    assert not [line for line in bare if re.match(r"(python|ruff|papermill|snakemake|sphinx-build|jupyter) ", line)]
