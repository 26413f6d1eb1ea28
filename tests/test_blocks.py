"""Every block of code on the pages runs as it is printed; every command on them names what is there."""

import json
import os
import re
import shlex
import subprocess
import sys

import kdutils as kd
import pytest
import yaml
from checkout import ROOT

PAGES = {path.name: path.read_text(encoding="utf-8") for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))}
BLOCK = re.compile(r"^```([^\s{]+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = [(page, language, code) for page, text in PAGES.items() for language, code in BLOCK.findall(text)]
RECIPES = dict(re.findall(r"^## (.+?)\n.*?```python\n(.*?)```", PAGES["own.md"], re.DOTALL | re.MULTILINE))
SESSIONS = RECIPES | {  # the recipes stand alone; the blocks of another page follow each other
    page: "\n".join(code for own, language, code in BLOCKS if (own, language) == (page, "python"))
    for page, language, _ in BLOCKS
    if language == "python" and page != "own.md"
}
STORED = {  # what a session leaves in the folder of the repository
    "README.md": "smoke/seed-0/KD-SN2/weights.safetensors",
    "deploy.md": "ONE-SN1.onnx",
    "Change one thing": "my-t3/seed-0/KD-SN1/predictions.npz",
    "A student of your own": "smoke/seed-0/KD-SN0/predictions.npz",
    "A loss of your own": "smoke-squared/seed-0/KD-SN1/predictions.npz",
    "Data of your own": "digits/seed-0/KD-SN1/predictions.npz",
}
FOLDERS = ("workflow/", "notebooks/", "tests/", "docs/", "kdutils/", "results/", "figures/")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """An empty repository, in which the sessions share the networks of `smoke`."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "notebooks").mkdir()
    (folder / "pyproject.toml").touch()
    return folder


def test_every_block_is_of_a_known_kind():
    assert {language for _, language, _ in BLOCKS} == {"python", "console", "bash", "yaml", "toml"}
    assert SESSIONS.keys() == STORED.keys() | {"mc_dropout.md", "A network of your own, without the experiment"}


def test_code_fits_the_books_page():
    """Which cuts lines off."""
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    lines = [line for page, _, code in BLOCKS if page in pages for line in code.splitlines()]
    assert [line for line in lines if len(line) > 88] == []


@pytest.mark.parametrize("session", SESSIONS)
def test_python_runs_as_it_is_printed(repository, session):
    if session == "deploy.md":
        pytest.importorskip("onnxruntime", reason="needs the extra onnx: pip install -e .[onnx]")
    environment = os.environ | {"KDUTILS_DATA": str(kd.data.default_root().resolve())}
    command = [sys.executable, "-W", "error::SyntaxWarning", "-c", SESSIONS[session]]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=repository, env=environment)
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout.split()[-1]) < (1e-5 if session == "deploy.md" else 1)
    assert session not in STORED or (repository / "runs" / STORED[session]).exists()
    if session == "A loss of your own":
        check_a_loss_of_ones_own(repository / "runs" / "smoke-squared" / "seed-0")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_short(name):
    assert len([line for line in RECIPES[name].splitlines() if line.strip()]) <= 15


def check_a_loss_of_ones_own(folder):
    """It shares the teacher of `smoke`, and its manifest names it."""
    assert [path.name for path in folder.iterdir()] == ["KD-SN1"]
    manifest = json.loads((folder / "KD-SN1" / "manifest.json").read_bytes())
    assert manifest["profile"]["loss"] == "squared_logits"


# Commands


def commands():
    """The lines of shell in blocks, and commands in backticks, without prompts and comments."""
    for _, language, code in BLOCKS:
        if language in ("console", "bash"):
            lines = code.replace("\\\n", " ").splitlines()
            lines = [line.removeprefix("$ ") for line in lines if language == "bash" or line.startswith("$ ")]
            yield from (re.sub(r"\s+#.*", "", line) for line in lines)
    for text in PAGES.values():
        yield from re.findall(r"`((?:make|python|papermill|pip|snakemake) [^`]+)`", text)


COMMANDS = sorted(set(commands()))


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_make_knows_each_target_and_setting(line):
    command = ["make", "--dry-run", "--old-file=.venv/ready", "--old-file=.venv/bench", *shlex.split(line)[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def test_each_file_that_a_command_names_is_there():
    assert len(COMMANDS) > 40
    paths = {word for line in COMMANDS for word in shlex.split(line) if word.startswith(FOLDERS)}
    assert len(paths) > 5
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("code", [code for _, language, code in BLOCKS if language == "bash"])
def test_a_script_is_shell(code):
    subprocess.run(["bash", "-n", "-c", code], check=True)


@pytest.mark.parametrize("code", [code for _, language, code in BLOCKS if language == "toml"])
def test_a_file_that_changes_one_thing_is_a_profile(tmp_path, code):
    (tmp_path / "mine.toml").write_text(code, encoding="utf-8")
    assert kd.profiles.resolve(str(tmp_path / "mine.toml")).changes


@pytest.mark.parametrize("code", [code for _, language, code in BLOCKS if language == "yaml"])
def test_settings_are_yaml_with_the_keys_of_ours(code):
    ours = yaml.safe_load((ROOT / "workflow" / "slurm" / "config.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(code).keys() <= ours.keys()
