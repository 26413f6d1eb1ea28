"""The committed notebooks as they stand: skeleton, style, executed outputs without a trace of a machine."""

import ast
import json
import re

import kdutils as kd
import nbformat
import numpy as np
import pages
import pytest
from checkout import NOTEBOOKS, ROOT

COMMON = ["profile", "seed", "device", "precision", "runs", "data"]
COMMITTED = kd.Run("paper", 4, ROOT / "results", read_only=True)  # whose outputs the notebooks show
SOLUTIONS = tuple(f"solutions/{name}" for name in NOTEBOOKS)


def read(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)


@pytest.fixture(params=NOTEBOOKS)
def notebook(request):
    return request.param, read(request.param)


@pytest.fixture(params=NOTEBOOKS + SOLUTIONS)
def executed(request):
    return request.param, read(request.param)


def code_cells(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def text_of(nb):
    return "\n".join(cell.source for cell in nb.cells)


def test_there_are_eight_and_the_pipeline_runs_each():
    assert [name[:2] for name in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07", "08"]
    snakefile = (ROOT / "Snakefile").read_text(encoding="utf-8")
    assert [name for name in NOTEBOOKS if f'notebook("{name}")' not in snakefile] == []


def test_is_valid_and_was_executed_in_order_without_errors(executed):
    _, nb = executed
    nbformat.validate(nb)
    assert [cell.execution_count for cell in code_cells(nb)] == list(range(1, len(code_cells(nb)) + 1))
    outputs = [output for cell in code_cells(nb) for output in cell.outputs]
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []


def test_holds_nothing_of_the_machine_that_made_it(executed):
    name, nb = executed
    assert set(nb.metadata) == {"kernelspec", "language_info"}
    assert nb.metadata.kernelspec.name == "python3"
    text = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert re.findall(r"[\"' (=]/(?:root|home|tmp|work|usr|Users|content)/\S*", text) == []
    assert "application/vnd.jupyter.widget" not in text


def test_follows_the_skeleton(notebook):
    name, nb = notebook
    first, bootstrap, parameters = nb.cells[0], *code_cells(nb)[:2]
    assert first.source.startswith(f"# {int(name[:2])} · ")
    assert "| reads | writes | takes | of the paper |" in first.source
    assert "google.colab" in bootstrap.source
    assert parameters.metadata.tags == ["parameters"]
    for section in ("## Ours beside the paper's", "## Summary", "## Exercises", "## Provenance"):
        assert section in text_of(nb)
    assert code_cells(nb)[-1].source.startswith("kd.notebook.finish(")
    assert 3 <= len(re.findall(r"^\d\. \*\(", text_of(nb), re.MULTILINE)) <= 5


def test_bootstrap_is_the_same_in_all_but_for_what_a_notebook_reads():
    cells = [code_cells(read(name))[0].source for name in (*NOTEBOOKS, *SOLUTIONS)]
    assert len({re.sub(r"^reads = .*$", "", cell, flags=re.MULTILINE) for cell in cells}) == 1


def parameters_of(nb):
    (cell,) = [cell for cell in code_cells(nb) if "parameters" in cell.metadata.get("tags", [])]
    return cell


def test_parameters_are_plain_literals_with_a_comment(notebook):
    name, nb = notebook
    parameters = parameters_of(nb)
    statements = ast.parse(parameters.source).body
    more = {"01": [], "02": [], "03": ["controls", "source"], "04": ["controls", "source"]}
    expected = COMMON + more.get(name[:2], ["seeds", "source"])
    assert [s.targets[0].id for s in statements] == expected
    for statement in statements:
        ast.literal_eval(statement.value)
    assert all("  # " in line for line in parameters.source.splitlines())


def test_one_seed_is_everybodys_default():
    """Of a notebook run by hand, of make, Snakemake and its watcher, so that none makes again what another made."""
    seeds = [re.search(r"^seed = (\d+)", parameters_of(read(name)).source, re.MULTILINE)[1] for name in NOTEBOOKS]
    said = {"Makefile": r"^SEEDS \?= (\d+)", "Snakefile": r'"seeds": "(\d+)"', "workflow/live.py": r'"seeds", "(\d+)"'}
    for name, words in said.items():
        seeds += re.search(words, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE).groups()
    assert set(seeds) == {str(COMMITTED.seed)}


def lengths(names):
    """The numbers of lines of the code cells but the first, which is for Colab, sorted."""
    return sorted(len(cell.source.splitlines()) for name in names for cell in code_cells(read(name))[1:])


def test_code_cells_are_short():
    everywhere, training = lengths(NOTEBOOKS), lengths(NOTEBOOKS[:4])
    assert everywhere[-1] <= 30
    assert training[-1] <= 16
    assert training[len(training) // 2] <= 9


def test_code_fits_the_books_page(executed):
    """Which cuts lines off."""
    _, nb = executed
    assert [line for cell in code_cells(nb) for line in cell.source.splitlines() if len(line) > 88] == []


MARK = "In the committed results"
FIXED = {"0.05", "0.001", "0.002", "0.223", "0.39", "1.48", "99.08"}  # levels, thresholds, examples, the paper's
NOT_SHOWN = FIXED | {
    "0.02",
    "0.99",
    "0.0001",
    "99.9999",
}  # a cut, a size, an example, what a figure's title alone shows


def test_a_reading_says_that_it_is_of_the_committed_results(notebook):
    """As it stands over anybody's numbers: a paragraph that tells a number which a cell shows, or one before it."""
    name, nb = notebook
    unmarked, shown = [], printed(name)
    for cell in nb.cells if name[:2] != "01" else ():  # the data are the same for all
        paragraphs = cell.source.split("\n\n") if cell.cell_type == "markdown" else ()
        for k, text in enumerate(paragraphs):
            numbers = set(re.findall(r"(?<![\d.])\d+\.\d{2,}(?!\d)", text)) - FIXED
            told = [number for number in numbers if re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", shown)]
            unmarked += [text] if told and MARK.lower() not in "".join(paragraphs[: k + 1]).lower() else []
    assert unmarked == []
    assert "What we saw" not in text_of(nb)


def test_a_title_that_tells_a_finding_is_not_drawn_over_other_numbers(notebook):
    """A title that a cell writes out whole; those that it computes are true of any numbers."""
    name, nb = notebook
    for cell in code_cells(nb) if name[:2] in ("06", "07") else ():
        if re.search(r'^ *title = "', cell.source, re.MULTILINE):
            assert "kd.notebook.finding(run, title" in cell.source
        assert not re.search(r'title\("[A-Z]\w+ .*\w+ ', cell.source)


def test_numbers_that_a_notebook_tells_are_those_it_shows(executed):
    """Of the paragraphs that read a result; numbers with three digits behind the point, and more."""
    name, nb = executed
    shown = printed(name) + "".join(re.findall(r"figure.*", text_of(nb)))
    told = [cell.source for cell in nb.cells if cell.source.startswith(f"**{MARK}** at `paper`")]
    numbers = {number for text in told for number in re.findall(r"\d\.\d{3,}", text.split("\n\n")[0])}
    assert [number for number in sorted(numbers) if number not in shown] == []


def test_only_cells_that_hang_on_weights_or_a_clock_are_not_compared(notebook):
    name, nb = notebook
    ignored = [cell for cell in code_cells(nb) if "nbval-ignore-output" in cell.metadata.get("tags", [])]
    if name[:2] in ("01", "05", "06", "07", "08"):
        assert ignored == [code_cells(nb)[-1]]
    elif name[:2] in ("02", "03"):
        assert len([cell for cell in code_cells(nb) if cell not in ignored and cell.outputs]) >= 3


def printed(name):
    """All text that a committed notebook's cells gave."""
    outputs = [output for cell in code_cells(read(name)) for output in cell.outputs]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def numbers_in(text):
    """[(number, digits after its point), …]; a share that stands in percent counts as a fraction, too."""
    found = re.findall(r"(?<![\w.])([-−]?\d[\d,]*(?:\.\d+)?)( ?%)?", text)
    parts = [(number.replace("−", "-").replace(",", ""), percent) for number, percent in found]
    plain = [(float(number), len(number.partition(".")[2])) for number, _ in parts]
    return plain + [
        (value / 100, places + 2) for (value, places), (_, percent) in zip(plain, parts, strict=True) if percent
    ]


READ = [name for name in NOTEBOOKS + SOLUTIONS if re.search("05|06", name)]  # those of 7 and 8 by the records


@pytest.mark.parametrize("name", READ)
def test_a_reading_tells_numbers_that_a_cell_shows(name):
    """Each with two decimals or more, to its last digit."""
    nb = read(name)
    outputs = [output for cell in code_cells(nb) for output in cell.outputs]
    pages = [
        re.sub(r"<style.*?</style>|<[^>]+>", " ", o.get("data", {}).get("text/html", ""), flags=re.S) for o in outputs
    ]
    shown = numbers_in("\n".join([printed(name), *pages]))
    texts = [cell.source for cell in nb.cells if cell.cell_type == "markdown"]
    readings = texts if name in SOLUTIONS else [text.partition(MARK)[2] for text in texts]
    told = set(re.findall(r"(?<![\w.])-?\d+\.\d{2,}", "\n".join(readings))) - NOT_SHOWN

    def near(number):
        places = len(number.partition(".")[2])
        return any(have >= places and abs(own - float(number)) <= 0.50001 * 10**-places for own, have in shown)

    assert sorted(number for number in told if not near(number)) == []


def test_no_table_shows_a_raw_name_of_code(executed):
    """In the first row or the first column of a table: words, and no underscore."""
    _, nb = executed
    pages = [o.data["text/html"] for c in code_cells(nb) for o in c.outputs if "text/html" in o.get("data", {})]
    heads = [head for page in pages for head in re.findall(r"<th[^>]*>([^<]*)</th>", page)]
    assert [head for head in heads if "_" in head] == []


NEGATIVE_ZERO = re.compile(r"(?<![\w.])[-−]0(?:\.0+)?(?![\w.])")  # such as -0.00, which says no more than 0.00


@pytest.mark.parametrize("name", NOTEBOOKS + SOLUTIONS)
def test_no_notebook_prints_a_negative_zero(name):
    assert [line for line in printed(name).splitlines() if NEGATIVE_ZERO.search(line)] == []


@pytest.mark.parametrize(("name", "networks"), [("02_teacher", ["TN"]), ("03_distillation", kd.runs.TABLE_1[1:])])
def test_the_training_that_a_notebook_shows_is_that_of_the_committed_results(name, networks):
    """By its tables, whether it trained the networks itself or found them trained."""
    text = printed(name)
    for network in networks:
        history = COMMITTED.history(network)
        for epoch in history["epochs"]:
            rate = epoch["validation_accuracy"]
            shown = [f"{100 * rate:.2f}"] + [f"{epoch['loss']:.4f}"] * (networks == ["TN"])
            assert [number for number in shown if number not in text] == []
        for part in ("train", "validation"):
            assert f"{100 * history[f'{part}_accuracy']:.2f}" in text


@pytest.mark.parametrize("network", kd.runs.TABLE_1)
def test_the_uncertainties_that_04_shows_are_those_of_the_committed_results(network):
    made = COMMITTED.predictions(network)
    expected = [made.confidence.mean(), kd.predictions.entropy(made.mc_mean).mean()]
    *_, shown = re.findall(rf"^{network} +(\S+) +(\S+)", printed("04_mc_dropout"), re.MULTILINE)  # others: of a digit
    assert [float(number) for number in shown] == pytest.approx(expected, abs=6e-5)


OWN, OTHERS = (f"recalibrated gain, {whose}" for whose in ("own teacher", "other teachers"))
OFF, SHARE, INFORMATION, RANKS = (
    "MUPE, student's dropout off, teacher's on",
    "own-teacher share",
    "log mutual information / teacher's",
    "ρ of mutual information, own − other teachers",
)
SAID = {  # by notebook 7: (profile, network, measure)
    "the raw gain of SN2 is {interval}.": ("paper", "KD-SN2", "gain"),
    "switching dropout off takes plain SN2 from {four} to": ("paper", "SN2", OFF.replace("off", "on", 1)),
    "to {four}. Its distilled twin": ("paper", "SN2", OFF),
    "with dropout on, stands at {four}": ("paper", "KD-SN2", OFF.replace("off", "on", 1)),
    "all of it does: {four} for plain SN2": ("quick", "SN2", OFF),
    "{four} for KD-SN2 with its passes": ("quick", "KD-SN2", OFF.replace("off", "on", 1)),
    "KD-SN2 itself comes closer with dropout off, too: {four}": ("paper", "KD-SN2", OFF),
    "the other way round: {four} for one pass": ("paper", "KD-SN3", OFF),
    "{four} for the hundred": ("paper", "KD-SN3", OFF.replace("off", "on", 1)),
    "The teacher's own single pass stands at {five}": ("paper", "TN", OFF),
    "the recalibrated gain of SN2 is {interval} towards its own teacher": ("paper", "KD-SN2", OWN),
    "Towards the others it is {interval}.": ("paper", "KD-SN2", OTHERS),
    "At `quick` the scale takes more: {mean} of": ("quick", "KD-SN2", "gain − recalibrated gain"),
    "of {mean}. SN3 gains": ("quick", "KD-SN2", "gain"),
    "SN3 gains {mean} towards its own teacher": ("paper", "KD-SN3", OWN),
    "Towards the others it does not gain: {interval}.": ("paper", "KD-SN3", OTHERS),
    "it gains {interval} towards teachers that it never met": ("paper", "KD-SN1", OTHERS),
    "the own-teacher share of KD-SN2 is {interval}": ("paper", "KD-SN2", SHARE),
    "and that of KD-SN3 is {mean}.": ("paper", "KD-SN3", SHARE),
    "Plain SN2 has {interval}.": ("paper", "SN2", SHARE),
    "KD-SN3 removes {mean} of that error": ("paper", "KD-SN3", "beyond difficulty"),
    "KD-SN1 removes {mean} and": ("paper", "KD-SN1", "beyond difficulty"),
    "and KD-SN2 {mean}. All three": ("paper", "KD-SN2", "beyond difficulty"),
    "information of KD-SN1 is {ratio} of the teacher's": ("paper", "KD-SN1", INFORMATION),
    "that of KD-SN2 {ratio} and": ("paper", "KD-SN2", INFORMATION),
    "and that of KD-SN3 {ratio}.": ("paper", "KD-SN3", INFORMATION),
    "without distillation, has {ratio}.": ("paper", "SN3", INFORMATION),
    "Plain SN2 has {ratio}, and": ("paper", "SN2", INFORMATION),
    "KD-SN3 by {four}, the teacher": ("paper", "KD-SN3", "signed gap, dropout off"),
    "the teacher by {four}.": ("paper", "TN", "signed gap, dropout off"),
    "the gain is {mean} for SN1": ("paper", "KD-SN1", "gain where the teacher is in (0, 0.9]"),
    "and {mean} for SN2, and both intervals contain 0": ("paper", "KD-SN2", "gain where the teacher is in (0, 0.9]"),
    "the gain is {mean} for SN2 up to 0.99": ("paper", "KD-SN2", "gain where the teacher is in (0.9, 0.99]"),
    "{mean} for SN2 above 0.99": ("paper", "KD-SN2", "gain where the teacher is in (0.99, 1]"),
    "gains on the doubtful images, too: {mean}": ("paper", "KD-SN3", "gain where the teacher is in (0, 0.9]"),
    "SN2 gains {mean} with the cap at 0.99": ("paper", "KD-SN2", "gain in log-odds, confidence up to 0.99"),
    "the gain is {mean}. KD-SN2 is surer": ("paper", "KD-SN2", "gain in log-odds, confidence up to 0.9999"),
    "After twelve epochs its raw gain is {interval}.": ("quick-converged", "KD-SN2", "gain"),
    "After recalibration, {interval} is left towards its own": ("quick-converged", "KD-SN2", OWN),
    "The share of KD-SN2 is {interval}. Its mutual": ("quick-converged", "KD-SN2", SHARE),
    "information is now {ratio} times its teacher's": ("quick-converged", "KD-SN2", INFORMATION),
    "and that of plain SN2 {ratio} times": ("quick-converged", "SN2", INFORMATION),
    "ρ is higher by {interval}. For": ("paper", "KD-SN2", RANKS),
    "For plain SN2 the difference is {interval}.": ("paper", "SN2", RANKS),
    "does not tell it from 0: {interval}.": ("quick-converged", "KD-SN1", SHARE),
    "On Fashion-MNIST KD-SN2 has {interval}, ": ("quick-fashion", "KD-SN2", SHARE),
    "more than its {interval} at `quick`": ("quick", "KD-SN2", SHARE),
    "SN2 gains {interval} there": ("quick-fashion", "KD-SN2", OTHERS),
    "there, beside {mean} on MNIST": ("quick", "KD-SN2", OTHERS),
    "towards other teachers: {interval}.": ("quick-fashion", "KD-SN3", OTHERS),
}


@pytest.mark.parametrize("words", SAID)
def test_what_07_says_is_what_the_files_hold(words):
    profile, network, measure = SAID[words]
    records = kd.notebook.all_committed("transfer.json")
    if profile not in records:
        pytest.skip(f"results/{profile} has no transfer.json yet")
    found = records[profile]["networks"][network][measure]
    mean, interval = found["mean"], kd.stats.interval_text(found["mean"], found["interval"], 2)
    numbers = {"mean": f"{mean:z.2f}", "four": f"{mean:.4f}", "five": f"{mean:.5f}", "ratio": f"{np.exp(mean):.2f}"}
    assert words.format(interval=interval, **numbers) in text_of(read("07_what_is_transferred"))


def verdicts(file):
    """{verdict: claims} of the committed study at the paper's scale; "C5 (deterministic)" as C5, too."""
    found = {"supported": set(), "not supported": set(), "open": set()}
    for row in kd.notebook.committed(f"paper/{file}")["claims"]:
        found[row["controlled"]].add(row["claim"].split()[0])
    return found


def test_what_05_says_of_the_verdicts_is_what_the_file_holds():
    (said,) = re.findall(
        r"The ten fresh seeds of `paper` (support .+?\.) They do (not .+?\.) (.+? stay open)\.",
        text_of(read("05_calibration_and_mupe")),
    )
    told = [set(re.findall(r"C\d[ab]?", sentence)) for sentence in said]
    found = verdicts("table1.json")
    assert told == [found["supported"], found["not supported"], found["open"] - found["not supported"]]


def test_what_07_says_of_the_verdicts_is_what_the_file_holds():
    after = text_of(read("07_what_is_transferred")).partition("Of our claims, the ten fresh seeds")[2]
    lines = after.partition("## Exercises")[0].splitlines()
    supported = {line[2:4] for line in lines if line.startswith("- ")}
    others = set(re.findall(r"P\d", " ".join(line for line in lines if not line.startswith("- "))))
    assert supported == verdicts("transfer.json")["supported"]
    assert others == kd.ours.CLAIMS.keys() - supported


SAID_IN_08 = {  # (network, dropout, images, measure)
    " passes have a skill of {interval}, and KD-S": ("KD-SN2", "on", "test", "skill"),
    ", and KD-SN1's {interval}. Plain SN": ("KD-SN1", "on", "test", "skill"),
    "er met the teacher, has {mean}. The teac": ("SN1", "on", "test", "skill"),
    "r's own single pass has {mean}. So a dis": ("TN", "off", "test", "skill"),
    " hundred passes go from {mean} to ": ("KD-SN1", "on", "test", "skill"),
    " to {mean}.": ("KD-SN1-steps", "on", "test", "skill"),
    "distillation on views comes to {mean}. With": ("KD-SN1-views", "on", "test", "skill"),
    "ONE-SN1-labels has {mean}: right": ("ONE-SN1-labels", "off", "test", "skill"),
    "answer to views, ONE-SN1-off has {interval}.": ("ONE-SN1-off", "off", "test", "skill"),
    "le to that: ONE-SN1 has {interval}. The loga": ("ONE-SN1", "off", "test", "skill"),
    "the two MUPEs' ratio is {interval}, so with ": ("ONE-SN1-off", "off", "test", "log MUPE / one-pass student's"),
    "mages alone, ONE-SN1-clean has {mean}. A studen": ("ONE-SN1-clean", "off", "test", "skill"),
    " ONE-SN2 has a skill of {interval}. The last": ("ONE-SN2", "off", "test", "skill"),
    "SN1's hundred passes is {ratio} times tha": ("KD-SN1", "on", "test", "log MUPE / one-pass student's"),
    "D-SN2 and ONE-SN2 it is {ratio} times. Th": ("KD-SN2", "on", "test", "log MUPE / one-pass student's"),
    "falls, too: ONE-SN1 has {three} nats, KD-": ("ONE-SN1", "off", "test", "KL(teacher ‖ student)"),
    " nats, KD-SN1 {three}.": ("KD-SN1", "on", "test", "KL(teacher ‖ student)"),
    "E-SN1's entropy has ρ = {mean}, no more ": ("ONE-SN1", "off", "test", "ρ of entropy"),
    ", no more than KD-SN1's {mean}. For the ": ("KD-SN1", "on", "test", "ρ of entropy"),
    "utual information it is {mean} beside ": ("ONE-SN1", "off", "test", "ρ of mutual information"),
    " beside {mean}. Where th": ("KD-SN1", "on", "test", "ρ of mutual information"),
    "isagree, ONE-SN1 leads: {interval} beside ": ("ONE-SN1", "off", "test", "ρ of mutual information, upper tenth"),
    " beside {interval}. KD-SN1-st": ("KD-SN1", "on", "test", "ρ of mutual information, upper tenth"),
    "as many steps, has {interval}, so much": ("KD-SN1-steps", "on", "test", "ρ of mutual information, upper tenth"),
    "divergence falls from {three} to ": ("ONE-SN1-off", "off", "test", "KL(teacher ‖ student)"),
    " to {three} nats.": ("ONE-SN1", "off", "test", "KL(teacher ‖ student)"),
    "passes: ONE-SN2 has {three} nats": ("ONE-SN2", "off", "test", "KL(teacher ‖ student)"),
    "the teacher's single pass {three}.": ("TN", "off", "test", "KL(teacher ‖ student)"),
    "NE-SN1 keeps a skill of {interval}. KD-SN1-s": ("ONE-SN1", "off", "rotation-45", "skill"),
    ". KD-SN1-steps has {interval}. At 90° O": ("KD-SN1-steps", "on", "rotation-45", "skill"),
    "t 90° ONE-SN1 still has {mean}. On cloth": ("ONE-SN1", "off", "rotation-90", "skill"),
    "view shows, ONE-SN1 has {interval} and KD-SN": ("ONE-SN1", "off", "fashion", "skill"),
    " and KD-SN1-steps {interval}. For ONE-": ("KD-SN1-steps", "on", "fashion", "skill"),
    ". For ONE-SN2 it is {mean} at 45° an": ("ONE-SN2", "off", "rotation-45", "skill"),
    " at 45° and {mean} on clothe": ("ONE-SN2", "off", "fashion", "skill"),
    "oise of 0.4 ONE-SN1 has {interval}, less tha": ("ONE-SN1", "off", "noise-0.4", "skill"),
    "ess than KD-SN1-steps' {interval}. With 0.8": ("KD-SN1-steps", "on", "noise-0.4", "skill"),
    ". With 0.8 its skill is {mean}: worse th": ("ONE-SN1", "off", "noise-0.8", "skill"),
    " holds out longer, with {mean} at 0.4. T": ("ONE-SN2", "off", "noise-0.4", "skill"),
    "the teacher is right on {percent} of the di": ("TN", "on", "rotation-90", "accuracy"),
    " of the digits, and {percent} sure on a": ("TN", "on", "rotation-90", "mean confidence"),
    "digits with an AUROC of {three}, ONE-SN1 ": ("TN", "on", "fashion", "AUROC by entropy"),
    ", ONE-SN1 with {three} and ONE-S": ("ONE-SN1", "off", "fashion", "AUROC by entropy"),
    " and ONE-SN2 with {three}. KD-SN1 h": ("ONE-SN2", "off", "fashion", "AUROC by entropy"),
    ". KD-SN1 has {three}. So the o": ("KD-SN1", "on", "fashion", "AUROC by entropy"),
    "information does worse, {three}, and its ": ("TN", "on", "fashion", "AUROC by mutual information"),
    "d views* has a skill of {mean} (ONE-SN1)": ("ONE-SN1", "off", "test", "skill"),
    " (ONE-SN1) and {mean} (ONE-SN2)": ("ONE-SN2", "off", "test", "skill"),
    "aper's distillation has {mean} and ": ("KD-SN1", "on", "test", "skill"),
    " and {mean} in a hund": ("KD-SN2", "on", "test", "skill"),
    "s distillation comes to {mean} with SN1, and": ("KD-SN1-steps", "on", "test", "skill"),
    "he answer, SN1 comes to {mean} as well.": ("ONE-SN1-off", "off", "test", "skill"),
    "*, which has a skill of {mean} on test i": ("TN", "off", "test", "skill"),
    "SN1 at full width has {mean} in a hundred": ("SN1", "on", "test", "skill"),
    "never met a teacher, has {three}. Entropy": ("SN1", "on", "fashion", "AUROC by entropy"),
}


SAID_OF_FRESH_SEEDS = {  # likewise, of the paper's scale
    "ONE-SN2 has a skill of {interval} in one pass.": ("ONE-SN2", "off", "test", "skill"),
    "KD-SN2 has {interval} in its hundred": ("KD-SN2", "on", "test", "skill"),
    "and KD-SN2-steps {interval}.": ("KD-SN2-steps", "on", "test", "skill"),
    "hundred passes is {ratio} times ONE-SN2's": ("KD-SN2", "on", "test", "log MUPE / one-pass student's"),
    "steps' one pass {ratio} times.": ("KD-SN2-steps", "off", "test", "log MUPE / one-pass student's"),
    "On digits turned by 45° ONE-SN2 has {interval}": ("ONE-SN2", "off", "rotation-45", "skill"),
    "and KD-SN2-steps {interval} there.": ("KD-SN2-steps", "on", "rotation-45", "skill"),
    "On clothes it is {interval}": ("ONE-SN2", "off", "fashion", "skill"),
    "against {interval}: there": ("KD-SN2-steps", "on", "fashion", "skill"),
    "Its MUPE is {ratio} times ONE-SN2's on turned": (
        "KD-SN2-steps",
        "on",
        "rotation-45",
        "log MUPE / one-pass student's",
    ),
    "turned digits and {ratio} times on clothes.": ("KD-SN2-steps", "on", "fashion", "log MUPE / one-pass student's"),
    "With noise of 0.4 ONE-SN2 has {interval}": ("ONE-SN2", "off", "noise-0.4", "skill"),
    "and KD-SN2-steps {interval} with it.": ("KD-SN2-steps", "on", "noise-0.4", "skill"),
    " all images with ρ = {mean}, and KD-SN2-steps": ("ONE-SN2", "off", "test", "ρ of entropy"),
    "KD-SN2-steps ranks them with ρ = {mean}.": ("KD-SN2-steps", "on", "test", "ρ of entropy"),
    "ONE-SN2 comes to ρ = {mean},": ("ONE-SN2", "off", "test", "ρ of mutual information, upper tenth"),
    "KD-SN2-steps to {mean}.": ("KD-SN2-steps", "on", "test", "ρ of mutual information, upper tenth"),
    "teacher's own single pass has a skill of {mean}.": ("TN", "off", "test", "skill"),
}


@pytest.mark.parametrize(
    ("scale", "said"), [("quick", SAID_IN_08), ("paper", SAID_OF_FRESH_SEEDS)], ids=("quick", "paper")
)
def test_what_08_says_is_what_the_file_holds(scale, said):
    readings = kd.notebook.committed(f"{scale}/followed.json")["readings"]
    text = text_of(read("08_one_pass"))
    missing = [words for words in said if told(words, readings, *said[words]) not in text]
    assert missing == []


def test_what_08_says_of_its_claims_on_ten_fresh_seeds_is_what_the_files_hold():
    readings = kd.notebook.committed("paper/followed.json")["readings"]
    assert {len(own["seeds"]) for own in readings} == {10}
    assert {"P7", "P8"} <= verdicts("transfer.json")["supported"]
    text = text_of(read("08_one_pass"))
    assert "So P7 is *supported*." in text
    assert "So P8 is *supported*." in text
    assert "On ten fresh seeds at the paper's scale ONE-SN2's one pass leads" in text
    assert "P7 and P8, are *supported*." in text


def test_one_sn2_leads_under_every_shift_also_where_the_lines_overlap():
    readings = kd.notebook.committed("paper/followed.json")["readings"]
    distilled = [own["images"] for own in readings if own["network"] in ("KD-SN2", "KD-SN2-steps")]
    ratios = [images[name]["log MUPE / one-pass student's"] for images in distilled for name in images]
    assert len(ratios) == 4 * (1 + len(kd.shifts.NAMES))
    assert min(ratio["interval"][0] for ratio in ratios) > 0


def told(words, readings, network, dropout, images, measure):
    """These words with what the readings hold of a network."""
    (found,) = [own["images"] for own in readings if (own["network"], own["dropout"]) == (network, dropout)]
    mean, interval = found[images][measure]["mean"], kd.followed.text(found[images][measure])
    numbers = {
        "mean": f"{mean:z.2f}",
        "three": f"{mean:.3f}",
        "percent": f"{100 * mean:.0f} %",
        "ratio": f"{np.exp(mean):.1f}",
    }
    return words.format(interval=interval, **numbers)


def test_what_08_says_of_widths_and_speed_is_what_the_files_hold():
    widths = kd.notebook.committed("quick/widths.json")["widths"]
    skills = [f"{own['skill']['mean']:.2f}" for own in widths]
    places = ("full width", "a half", "a quarter", "an eighth", "a sixteenth")
    text = text_of(read("08_one_pass"))
    assert all(f"{skill} at {place}" in text for skill, place in zip(skills, places, strict=True))
    teacher = kd.models.parameter_count(kd.models.build("TN"))
    assert f"The smallest has {widths[-1]['parameters']:,} parameters, and the teacher {teacher:,}." in text
    rows = [row for row in kd.notebook.committed("benchmark.json")["rows"] if row["measure"] == "one_pass_students"]
    ratios = [f"{row['ratio']:,.0f}" if row["ratio"] >= 10 else f"{row['ratio']:.1f}" for row in rows]
    (told,) = re.findall(r"\*\*In the committed results\*\*, one pass of ONE-SN1.*", text)
    assert all(re.search(rf"(?<![\d.,]){ratios[place]}(?![\d,]|\.\d)", told) for place in (0, 2, 3, 4, 6))


@pytest.mark.parametrize("path", pages.pages(), ids=lambda path: path.name)
def test_pages_show_what_the_files_give(path):
    text = path.read_text(encoding="utf-8")
    assert pages.filled(text) == text
    for figure in re.findall(r"!\[[^]]*\]\(([^)]+)\)|<img src=\"([^\"]+)\"", text):
        assert (path.parent / "".join(figure)).is_file(), figure


def test_every_part_is_shown_somewhere():
    shown = {name for path in pages.pages() for name in pages.MARK.findall(path.read_text(encoding="utf-8"))}
    assert shown == pages.parts().keys()


def test_the_first_page_is_short():
    """At most 10 KB, and the two commands within its first two screens."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.encode()) <= 10_000
    assert text[: text.index("make paper")].count("\n") <= 60


@pytest.mark.parametrize("path", pages.pages(), ids=lambda path: path.name)
def test_no_page_shows_a_negative_zero(path):
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if NEGATIVE_ZERO.search(line)] == []


@pytest.mark.parametrize("path", pages.pages(), ids=lambda path: path.name)
def test_nothing_stands_behind_a_comment_that_begins_a_line(path):
    """Such a line is HTML to GitHub, which then shows its Markdown as it is typed."""
    assert re.findall(r"^<!--.*?-->.+", path.read_text(encoding="utf-8"), re.MULTILINE) == []


def test_every_recorded_fault_was_survived():
    counts = json.loads((ROOT / "results" / "faults.json").read_text(encoding="utf-8"))["faults"]
    least = {"SIGKILL": 50, "damaged artefacts": 200, "bad parameters": 100}
    assert all(counts[kind]["tried"] >= number for kind, number in least.items())
    assert {kind: n["survived"] for kind, n in counts.items()} == {kind: n["tried"] for kind, n in counts.items()}
