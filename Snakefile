# The paper as a graph: one rule a notebook. 01, 05 and 06 run once; 02, 03 and 04 once a seed.
#
# A rule's output is its executed notebook alone. Networks and predictions are not declared: Snakemake would
# delete them with a failed or outdated job, while a Run reuses them by their manifests.
#
#   snakemake --cores 2 --nolock --rerun-incomplete --config profile=quick seeds=0-9

import os
import re
import sys

from kdutils.profiles import parse_seeds, resolve, variants
from kdutils.runs import Run

KNOWN = {"profile": "quick", "seeds": "0", "device": "auto", "runs": "", "data": "", "threads": "", "controls": ""}
given = KNOWN | config
settings = {key: "" if given[key] is None else str(given[key]) for key in KNOWN}  # Snakemake reads key="" as None
try:
    if unknown := set(config) - set(KNOWN):
        raise ValueError(f"unknown config {', '.join(sorted(unknown))}: known are {', '.join(KNOWN)}")
    PROFILE = resolve(settings["profile"]).name
    SEEDS = parse_seeds(settings["seeds"])
    if settings["device"] not in ("auto", "cpu"):
        Run(PROFILE, SEEDS[0], device=settings["device"]).device
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
HERE = f"{settings['runs'] or 'runs'}/{PROFILE}/notebooks"
COMMON = f"-r profile {PROFILE} -r device {settings['device']} -r runs '{settings['runs']}' -r data '{settings['data']}'"

# The notebook's last cell leaves <notebook>.json: without this proof that it ran to its end, it failed.
RUN = """
echo "== {params.name}"
proof={HERE}/{params.name}.json
rm -f "$proof"
papermill {input.notebook} {output} {COMMON} {params.more} --no-progress-bar --log-level ERROR --stdout-file - 2> >(grep -v "over TCP without encryption" >&2)
test -s "$proof" || {{ echo "{params.name} stopped before its last cell" >&2; exit 1; }}
"""


# The choices that the paper leaves open, made otherwise: students alone, with the teachers of PROFILE.
VARIANT = """
echo "== {PROFILE}-{wildcards.variant}, seed {wildcards.seed}"
python workflow/variant.py {PROFILE}-{wildcards.variant} {wildcards.seed} --device {settings[device]} --runs '{settings[runs]}' --data '{settings[data]}'
touch {output}
"""


def notebook(name):
    return f"notebooks/{name}.ipynb"


rule all:
    input:
        f"{HERE}/06_figures.ipynb",


rule data:
    input:
        notebook=notebook("01_data"),
    output:
        f"{HERE}/01_data.ipynb",
    params:
        name="01_data",
        more="",
    threads: THREADS
    shell:
        RUN


rule teacher:
    input:
        rules.data.output,
        notebook=notebook("02_teacher"),
    output:
        HERE + "/02_teacher-seed-{seed}.ipynb",
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
        notebook=notebook("03_distillation"),
    output:
        HERE + "/03_distillation-seed-{seed}.ipynb",
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
        notebook=notebook("04_mc_dropout"),
    output:
        HERE + "/04_mc_dropout-seed-{seed}.ipynb",
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
    output:
        f"{HERE}/05_calibration_and_mupe.ipynb",
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
    output:
        f"{HERE}/06_figures.ipynb",
    params:
        name="06_figures",
        more=f"-r source runs -r seeds {','.join(map(str, SEEDS))}",
    threads: THREADS
    shell:
        RUN


rule sensitivity:
    input:
        expand(HERE + "/{variant}-seed-{seed}.done", variant=variants(resolve(PROFILE)), seed=SEEDS),


rule variant:
    input:
        rules.teacher.output,
    output:
        HERE + "/{variant}-seed-{seed}.done",
    threads: THREADS
    resources:
        gpu=GPU,
    shell:
        VARIANT
