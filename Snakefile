# The paper as a graph: one rule a notebook. 01, 05 and 06 run once; 02, 03 and 04 once a seed. 07 runs once where there
# are three seeds with controls. 08 has a target of its own, one_pass, with the students that it tells of.
#
# A rule's outputs are its executed notebook, the proof that it ran to its end, and the tables and figures that it makes.
# Networks and predictions are not declared: Snakemake would delete them with a failed or outdated job, while a Run
# reuses them by their manifests. Instead, `asked` is newer than a notebook whose networks have to be made.
#
#   snakemake --cores 2 --nolock --rerun-incomplete --config profile=quick seeds=0-9

import os
import re
import shlex
import sys

from datetime import UTC, datetime
from pathlib import Path

from kdutils.plumbing.store import expanded, located
from kdutils.profiles import parse_seeds, resolve, variants
from kdutils.runs import NETWORKS, TABLE_1, Run

KNOWN = {"profile": "quick", "seeds": "4", "device": "auto", "precision": "auto", "runs": "", "data": "", "threads": ""}
KNOWN |= {"controls": "", "force": ""}
given = KNOWN | config
settings = {key: "" if given[key] is None else str(given[key]) for key in KNOWN}  # Snakemake reads key="" as None
try:
    if unknown := set(config) - set(KNOWN):
        raise ValueError(f"unknown config {', '.join(sorted(unknown))}: known are {', '.join(KNOWN)}")
    for key in ("runs", "data"):  # 007 is 7 to Snakemake, 2026_11_25 is 20261125, and a quote at the end is lost
        if not isinstance(given[key] or "", str):
            raise ValueError(f"{key} must be text, got {given[key]}: with @ before it, {key}=@…, it is taken as it is")
        settings[key] = str(expanded(text)) if (text := settings[key].removeprefix("@")) else ""
        if set("{}") & set(settings[key]):  # which are papermill's and Snakemake's placeholders
            raise ValueError(f"{key} must have no braces, got {settings[key]}")
    CHOSEN = resolve(settings["profile"])
    PROFILE = CHOSEN.name
    SEEDS = parse_seeds(settings["seeds"])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    FORCE = settings["force"] + ("" if "@" in settings["force"] or not settings["force"] else f"@{now}")
    options = {"device": settings["device"], "precision": settings["precision"], "force": FORCE}
    RUNS = {seed: Run(CHOSEN, seed, settings["runs"] or None, **options) for seed in SEEDS}
    if settings["device"] not in ("auto", "cpu"):
        RUNS[SEEDS[0]].device
    if not re.fullmatch(r"|[1-9]\d{0,3}", settings["threads"]):
        raise ValueError(f"threads must be a whole number of at least 1, got {settings['threads']!r}")
    if settings["controls"] not in ("", "1"):
        raise ValueError(f"controls must be 1 or empty, got {settings['controls']!r}")
except ValueError as error:
    print(f"kdutils: {error}", file=sys.stderr)
    os._exit(2)  # Snakemake would add a traceback
THREADS = int(settings["threads"] or workflow.cores)  # of a job; Snakemake hands them on as OMP_NUM_THREADS
GPU = int(settings["device"] != "cpu")  # what a job that trains or predicts asks a cluster for; nothing else reads it
CONTROLS = " -p controls True" if settings["controls"] else ""
BASE = f"{settings['runs'] or 'runs'}/{PROFILE}"
HERE = f"{BASE}/notebooks"
OWN = str(located(settings["profile"]).resolve()) if settings["profile"].endswith(".toml") else PROFILE
COMMON = f"-r profile {shlex.quote(OWN)} -r device {settings['device']} -r precision {settings['precision']}"
WORD = {key: shlex.quote(settings[key]) for key in ("runs", "data")}  # each one word of a shell's line, or ''
COMMON += f" -r runs {WORD['runs']} -r data {WORD['data']}"
FIGURES = sorted(path.name for path in Path("figures").glob("figure*.*"))
NUMBER = {name: int(re.match(r"figure(\d+)", name)[1]) for name in FIGURES}
FIGURES, BEYOND, ONCE_MORE = (  # those of 06, of 07 and of 08
    [name for name in FIGURES if low < NUMBER[name] <= high] for low, high in ((0, 11), (11, 16), (16, 99))
)
FIGURES = [name for name in FIGURES if not (name.startswith("figure6_") and len(SEEDS) == 1)]

# the code that each notebook runs
SHARED = [*map(str, Path("kdutils").glob("plumbing/*.py"))]
SHARED += [f"kdutils/{name}.py" for name in ("profiles", "data", "predictions", "plots", "origin", "runs", "notebook")]
TRAINING = [*SHARED, *(f"kdutils/{name}.py" for name in ("models", "distillation", "training", "making"))]
PASSES = [*TRAINING, "kdutils/mc_dropout.py"]
MEASURES = [*SHARED, *(f"kdutils/{name}.py" for name in ("calibration", "transfer", "stats", "study", "judging", "claims", "choices", "intervals"))]
STUDENTS = [name for name in (NETWORKS if settings["controls"] else TABLE_1) if name != "TN"]


ONCE, EACH = ("01_data", "05_calibration_and_mupe", "06_figures"), ("02_teacher", "03_distillation", "04_mc_dropout")
ONCE += ("07_what_is_transferred",) if settings["controls"] and len(SEEDS) >= 3 else ()
KINDS = ("ipynb", "json")  # a notebook as it was executed, and the proof that it ran to its end


def asked(notebook, names, *files):
    """A rule's input: a file for each seed, written anew if any of these networks' files has to be made."""
    for seed, run in RUNS.items() if workflow.is_main_process else ():
        mark = Path(f"{HERE}/.asked/{notebook}-seed-{seed}")
        if not mark.exists() or any(run.lacks(name, *files) for name in names):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(now, encoding="utf-8")  # Snakemake compares contents, too
    return f"{HERE}/.asked/{notebook}-seed-" + "{seed}"


if FORCE and workflow.is_main_process:
    remade = [f"{name} of seed {seed}" for seed, run in RUNS.items() for name in ("TN", *STUDENTS) if run.to_remake(name)]
    print(f"== remaking {', '.join(remade) or 'nothing: none of it is stored'}", file=sys.stderr)

# What a job prints is in <notebooks>/logs/<job>.log, too, and what it tells as it goes is beside it, for workflow/live.py.
LOGS = f"{HERE}/logs"
BEGIN = """
echo "== {params.name}"
mkdir -p {LOGS:q}
export KDUTILS_FORCE='{FORCE}' KDUTILS_PROGRESS={LOGS:q}/{params.name}.jsonl
: > "$KDUTILS_PROGRESS"
"""
END = """
echo '{{"ended": true}}' >> "$KDUTILS_PROGRESS"
"""

# The notebook's last cell leaves <notebook>.json: without this proof that it ran to its end, it failed.
RUN = BEGIN + """
{{ papermill {input.notebook} {output.notebook:q} {COMMON} {params.more} --no-progress-bar --log-level ERROR --stdout-file - 2> >(grep -v "over TCP without encryption" >&2)
}} 2>&1 | tee {LOGS:q}/{params.name}.log
test -s {output.proof:q} || {{ echo "{params.name} stopped before its last cell" | tee -a {LOGS:q}/{params.name}.log >&2; exit 1; }}
""" + END


# The choices that the paper leaves open, made otherwise: students alone, with the teachers of PROFILE.
VARIANT = BEGIN + """
python workflow/variant.py {PROFILE}-{wildcards.variant} {wildcards.seed} --device {settings[device]} --precision {settings[precision]} --runs {WORD[runs]} --data {WORD[data]} 2>&1 | tee {LOGS:q}/{params.name}.log
touch {output:q}
""" + END


ONE_PASS = BEGIN + """
python workflow/further.py {PROFILE} {wildcards.seed} --device {settings[device]} --precision {settings[precision]} --runs {WORD[runs]} --data {WORD[data]} 2>&1 | tee {LOGS:q}/{params.name}.log
touch {output:q}
""" + END


def notebook(name):
    return f"notebooks/{name}.ipynb"


def shown(path, category):
    """An output that the report shows, by its name."""
    return report(path, caption=f"workflow/captions/{category}.rst", category=category, labels={"": Path(path).stem})


def figures(names):
    """Outputs in the folder of figures; of each figure's two files, the report shows the PNG."""
    paths = [f"{BASE}/figures/{name}" for name in names]
    return [shown(path, "Figures") if path.endswith(".png") else path for path in paths]


EXECUTED = [*ONCE, *(f"{each}-seed-{seed}" for each in EACH for seed in SEEDS)]


report: "workflow/captions/workflow.rst"


rule all:
    input:
        expand(HERE + "/{name}.{kind}", name=EXECUTED, kind=KINDS),
        [f"{BASE}/{name}" for name in ("table1.json", "sensitivity.json", *(f"figures/{name}" for name in FIGURES))],


rule data:
    input:
        notebook=notebook("01_data"),
        code=SHARED,
    output:
        notebook=f"{HERE}/01_data.ipynb",
        proof=f"{HERE}/01_data.json",
    params:
        name="01_data",
        more="",
    threads: THREADS
    shell:
        RUN


rule teacher:
    input:
        rules.data.output,
        asked("02_teacher", ["TN"], "weights.safetensors", "history.json", "soft_targets.npz"),
        notebook=notebook("02_teacher"),
        code=TRAINING,
    output:
        notebook=HERE + "/02_teacher-seed-{seed}.ipynb",
        proof=HERE + "/02_teacher-seed-{seed}.json",
    params:
        name="02_teacher-seed-{seed}",
        more="-p seed {seed}",
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        RUN


rule distillation:
    input:
        rules.teacher.output,
        asked("03_distillation", STUDENTS, "weights.safetensors", "history.json"),
        notebook=notebook("03_distillation"),
        code=TRAINING,
    output:
        notebook=HERE + "/03_distillation-seed-{seed}.ipynb",
        proof=HERE + "/03_distillation-seed-{seed}.json",
    params:
        name="03_distillation-seed-{seed}",
        more="-p seed {seed}" + CONTROLS,
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        RUN


rule mc_dropout:
    input:
        rules.distillation.output,
        asked("04_mc_dropout", ["TN", *STUDENTS], "predictions.npz"),
        notebook=notebook("04_mc_dropout"),
        code=PASSES,
    output:
        notebook=HERE + "/04_mc_dropout-seed-{seed}.ipynb",
        proof=HERE + "/04_mc_dropout-seed-{seed}.json",
    params:
        name="04_mc_dropout-seed-{seed}",
        more="-p seed {seed}" + CONTROLS,
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        RUN


rule calibration_and_mupe:
    input:
        expand(rules.mc_dropout.output, seed=SEEDS),
        notebook=notebook("05_calibration_and_mupe"),
        code=MEASURES,
    output:
        shown(f"{BASE}/table1.json", "Tables"),
        notebook=f"{HERE}/05_calibration_and_mupe.ipynb",
        proof=f"{HERE}/05_calibration_and_mupe.json",
    params:
        name="05_calibration_and_mupe",
        more=f"-r source runs -r seeds {','.join(map(str, SEEDS))}",
    threads: THREADS
    shell:
        RUN


rule figures:
    input:
        rules.calibration_and_mupe.output,
        notebook=notebook("06_figures"),
        code=MEASURES,
    output:
        shown(f"{BASE}/sensitivity.json", "Tables"),
        figures(FIGURES),
        notebook=f"{HERE}/06_figures.ipynb",
        proof=f"{HERE}/06_figures.json",
    params:
        name="06_figures",
        more=f"-r source runs -r seeds {','.join(map(str, SEEDS))}",
    threads: THREADS
    shell:
        RUN


rule what_is_transferred:
    input:
        expand(rules.mc_dropout.output, seed=SEEDS),
        notebook=notebook("07_what_is_transferred"),
        code=[*MEASURES, "kdutils/transferred.py"],
    output:
        shown(f"{BASE}/transfer.json", "Tables"),
        figures(BEYOND),
        notebook=f"{HERE}/07_what_is_transferred.ipynb",
        proof=f"{HERE}/07_what_is_transferred.json",
    params:
        name="07_what_is_transferred",
        more=f"-r source runs -r seeds {','.join(map(str, SEEDS))}",
    threads: THREADS
    shell:
        RUN


rule one_pass_students:
    input:
        code=[*PASSES, *(f"kdutils/{name}.py" for name in ("recipes", "one_pass", "shifts"))],
    output:
        HERE + "/one-pass-seed-{seed}.made",
    params:
        name="one-pass-seed-{seed}",
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        ONE_PASS


rule one_pass:
    input:
        expand(rules.one_pass_students.output, seed=SEEDS),
        notebook=notebook("08_one_pass"),
        code=[*MEASURES, "kdutils/transferred.py", "kdutils/followed.py"],
    output:
        shown(f"{BASE}/followed.json", "Tables"),
        figures(ONCE_MORE),
        notebook=f"{HERE}/08_one_pass.ipynb",
        proof=f"{HERE}/08_one_pass.json",
    params:
        name="08_one_pass",
        more=f"-r source runs -r seeds {','.join(map(str, SEEDS))}",
    threads: THREADS
    shell:
        RUN


rule sensitivity:
    input:
        expand(HERE + "/{variant}-seed-{seed}.done", variant=variants(CHOSEN), seed=SEEDS),


rule variant:
    input:
        rules.teacher.output,
        code=PASSES,
    output:
        HERE + "/{variant}-seed-{seed}.done",
    params:
        name="{variant}-seed-{seed}",
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        VARIANT


rule readable:
    input:
        expand(HERE + "/{name}.ipynb", name=EXECUTED),
    output:
        [shown(f"{HERE}/pages/{name}.html", "Notebooks") for name in EXECUTED],
    params:
        name="readable",
    shell:
        BEGIN + "python workflow/readable.py {input:q} --to {HERE:q}/pages" + END


rule reading:
    input:
        rules.all.input,
        rules.readable.output,
