# Names for commands. `make paper` and `make test` do everything, from an empty machine on.
#   make paper PROFILE=paper SEEDS=0-2 DEVICE=cuda
PYTHON ?= python3
PROFILE ?=
SEEDS ?= 4
DEVICE ?= auto
PRECISION ?= auto
RUNS ?= runs
THREADS ?=
FORCE ?=
SLURM =
TARGET =
override RUNS := $(if $(filter ~ ~/%,$(firstword $(RUNS))),$(HOME)$(subst ^~,,^$(RUNS)),$(RUNS))
FOLDER = '$(subst ','\'',$(RUNS))'# one word of a shell's line
SCALE = $(or $(PROFILE),quick)

SETTINGS = PYTHON PROFILE SEEDS DEVICE PRECISION RUNS THREADS FORCE SLURM QUICK REPO
UNKNOWN = $(filter-out $(SETTINGS),$(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name))))
ifneq ($(UNKNOWN),)
$(error unknown $(UNKNOWN): known are $(SETTINGS))
endif

SOLUTIONS = $(patsubst notebooks/%.ipynb,%,$(sort $(wildcard notebooks/solutions/*.ipynb)))
# where the jobs run: on this machine, or on the cluster that a Snakemake profile describes; there, what is said of
# rules includes why Slurm refused a job
WHERE = $(if $(SLURM),--profile "$(patsubst 1,workflow/slurm,$(SLURM))",--cores all)
# Snakemake keeps a cache at home; in a container that may be a folder that cannot be written
HOMELESS = $(if $(shell test -w ~ && echo 1),,HOME="$(CURDIR)/.snakemake/home")
# on this machine in one line that lives; on a cluster, Slurm's and Snakemake's own messages count
LIVE = $(HOMELESS) $(if $(SLURM),,python workflow/live.py)
SNAKEMAKE = $(LIVE) snakemake $(TARGET) $(WHERE) --nolock --rerun-incomplete --quiet $(if $(SLURM),,rules) progress host
CONFIG = seeds="$(SEEDS)" device="$(DEVICE)" precision="$(PRECISION)" runs=@$(FOLDER)
CONFIG += threads="$(or $(THREADS),$(if $(SLURM),4))" force="$(if $(FORCE),$(FORCE)@$(NOW))"
NOW := $(shell date -u +%Y-%m-%dT%H:%M:%S+00:00)

# Ctrl-C: the program says in one line what is safe, and make ends without a word of its own
UNTIL = trap : INT;
STOPPED = status=$$?; trap - INT; [ $$status != 130 ] || { kill -INT $$PPID; exit 0; }; [ $$status = 0 ] || exit $$status;

# macOS's make 3.81 does not look here for a line that needs no shell: those lines name .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export JUPYTER_PREFER_ENV_PATH = 1
# text is UTF-8, whatever the machine's language
export PYTHONUTF8 = 1
# how threads wait, as kdutils sets it: here for processes that load torch before kdutils
ifeq ($(OMP_WAIT_POLICY)$(GOMP_SPINCOUNT),)
export OMP_WAIT_POLICY = PASSIVE
export GOMP_SPINCOUNT = 1000
endif
.DEFAULT_GOAL := help
.PHONY: help paper study sensitivity further one-pass report test bench book summary lab results publish weights
.PHONY: notebooks transfer figures lock links clean

help:
	@echo "make paper      run the six notebooks (PROFILE=smoke|quick|paper SEEDS=4 DEVICE=auto PRECISION=auto), then"
	@echo "                show Table 1; FORCE=1 remakes all of it, FORCE=KD-SN2 a network and what hangs on it"
	@echo "make report     a finished run on one page: notebooks, figures, tables, runtimes, graph (PROFILE=, SEEDS=)"
	@echo "make test       check everything: style, units, the whole pipeline at smoke scale, the committed notebooks"
	@echo "make test-faults  interrupt, damage, fill the disk, misuse: every fault, one by one (half an hour)"
	@echo "make test-colab   each notebook alone in an empty machine like Colab's"
	@echo "make test-install  the package, its wheel, its extras and environment.yml in fresh virtual environments"
	@echo "make test-cluster  start a Slurm cluster of one node here and train two seeds on it (ten minutes)"
	@echo "make test-browser  all notebooks in JupyterLab, in a real browser (some minutes; needs Chromium)"
	@echo "make bench      measure the costs side by side (QUICK=1: a rough table in three minutes)"
	@echo "make book       build the notebooks, results and documentation as a site to read: book/index.html"
	@echo "make summary    the summary for reviewers as a PDF of one page: book/summary.pdf (needs Chromium)"
	@echo "make test-book  open every page of it in Chromium: links, formulas, images, a phone's width"
	@echo "make lab        open the notebooks in JupyterLab"
	@echo "make study      run the notebooks for many seeds, and 07 (SEEDS=0-9; THREADS=1: as many at once as there are cores;"
	@echo "                SLURM=1: on a cluster, see docs/cluster.md)"
	@echo "make sensitivity  train students with other temperatures, weights, … (SEEDS=0-2): does any choice matter?"
	@echo "make further    train a study beside the scales (PROFILE=quick-converged|quick-fashion SEEDS=0-5)"
	@echo "make one-pass   train students that answer in one pass, and run notebook 08 (PROFILE=quick SEEDS=10-15)"
	@echo "make results    keep the finished runs' predictions in results/ (PROFILE=, SEEDS=)"
	@echo "make publish    write what notebooks 03 and 04 show without training into results/ (PROFILE=, SEEDS=4)"
	@echo "make weights    pack all networks of a seed into one archive in build/ (PROFILE=, SEEDS=4)"
	@echo "make notebooks  execute the committed notebooks 01-04 again, in place (PROFILE=paper: hours)"
	@echo "make transfer   measure what was transferred: transfer.json, followed.json from results/ (minutes)"
	@echo "make figures    remake notebooks 05 to 08, the solutions, figures/ and the README's tables from results/"
	@echo "make lock       write requirements.lock anew after a change to environment.yml"
	@echo "make links      write the repository's address everywhere (REPO=owner/name)"
	@echo "make clean      remove what can be remade, except runs/, data/ and results/"

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || { echo "Python 3.11.4 or newer is needed; say which with PYTHON="; exit 1; }
	@echo "== installing into .venv (once, some minutes and 6 GB)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# environment.yml's versions and what they need, for every system and Python; versions stay as they are where they can
PINS = sed -n 's/^ *- \(.*==.*\)/\1/p' environment.yml
lock:
	@$(PYTHON) -m venv build/uv
	@build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
	@{ $(PINS); sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml; } | UV_CUSTOM_COMPILE_COMMAND="make lock" \
	build/uv/bin/uv pip compile --quiet --universal --python-version 3.11.4 --generate-hashes --no-annotate -o requirements.lock - > /dev/null

paper: .venv/ready
	@profile="$(PROFILE)"; \
	[ -n "$$profile" ] || profile=$$(python -c "from kdutils.notebook import profile_for; print(profile_for('$(DEVICE)'))" 2> /dev/null || echo quick); \
	echo "== profile $$profile, seeds $(SEEDS)"; $(UNTIL) \
	$(SNAKEMAKE) --config profile="$$profile" $(CONFIG) controls="$(CONTROLS)"; $(STOPPED) \
	python workflow/report.py $(FOLDER)/"$$(basename "$$profile" .toml)" && python workflow/beside.py $(FOLDER) "$$profile"

study: SEEDS = 0-9
study: CONTROLS = 1
study: paper

sensitivity: SEEDS = 0-2
sensitivity: TARGET = sensitivity
sensitivity: .venv/ready
	@$(UNTIL) $(SNAKEMAKE) --config profile="$(SCALE)" $(CONFIG); $(STOPPED) :

further: SEEDS = 0-5
further: .venv/ready
	@python workflow/further.py "$(PROFILE)" "$(SEEDS)" --device "$(DEVICE)" --precision "$(PRECISION)" --runs $(FOLDER)

one-pass: SEEDS = 10-15
one-pass: TARGET = one_pass
one-pass: .venv/ready
	@$(UNTIL) $(SNAKEMAKE) --config profile="$(SCALE)" $(CONFIG); $(STOPPED) :

# of `make study`, too: it is told by notebook 07; nothing is executed again because a setting is not given this time
report: TARGET = reading
report: .venv/ready
	@run=$(FOLDER)/"$$(basename "$(SCALE)" .toml)"; [ ! -e "$$run"/notebooks/07_what_is_transferred.json ] || controls=1; \
	set -- --config profile="$(SCALE)" $(CONFIG) controls="$$controls"; $(UNTIL) \
	$(SNAKEMAKE) --rerun-triggers mtime "$$@"; $(STOPPED) \
	$(HOMELESS) snakemake reading --cores all --nolock --quiet --report "$$run"/report.html "$$@" && echo "open $$run/report.html"

test: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/python -m pytest

# all of one folder of tests, also what `make test` leaves out
test-%: .venv/ready
	python -m pytest -m "" tests/$*
	@$(if $(filter faults,$*),python workflow/pages.py)

test-book: book

.venv/bench: .venv/ready
	@$(PINS) > .venv/constraints.txt
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c .venv/constraints.txt -e .[bench]
	@touch $@

bench: .venv/bench
	@.venv/bin/python tests/benchmarks/bench.py $(if $(QUICK),--quick)
	@$(if $(QUICK),,python workflow/pages.py)

book: .venv/ready
	@rm -rf build/book build/doctrees
	@.venv/bin/sphinx-build -q -W --keep-going -c docs -d build/doctrees . build/book
	@rm -rf book && mv build/book book
	@echo "open book/index.html"

summary: book
	@.venv/bin/python workflow/summary.py

lab: .venv/ready
	@# in a container one often is root, which Jupyter refuses unless told
	jupyter lab --ip 127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root) --ServerApp.root_dir="$(CURDIR)" notebooks/01_data.ipynb

results: .venv/ready
	@python workflow/keep.py $(FOLDER) $(SCALE) "$(SEEDS)"

publish weights: .venv/ready
	@python workflow/$@.py "$(RUNS)" $(SCALE) "$(SEEDS)"

notebooks: .venv/ready
	@KDUTILS_PROFILE=$(or $(PROFILE),paper) python workflow/execute.py 01_data 02_teacher 03_distillation 04_mc_dropout

transfer: .venv/ready
	@.venv/bin/python workflow/transferred.py
	@.venv/bin/python workflow/followed.py
	@.venv/bin/python workflow/first_plan.py

# the tables of both scales first, since notebook 05 sets them side by side
figures: .venv/ready
	@mkdir -p figures runs/reference/quick
	@echo "== 05_calibration_and_mupe at quick"
	@.venv/bin/papermill notebooks/05_calibration_and_mupe.ipynb runs/reference/quick/05_calibration_and_mupe.ipynb -p profile quick --no-progress-bar --log-level ERROR
	@cp runs/reference/quick/table1.json results/quick/
	@.venv/bin/python workflow/execute.py 05_calibration_and_mupe 06_figures 07_what_is_transferred 08_one_pass $(SOLUTIONS)
	@cp runs/reference/paper/figures/* runs/reference/quick/figures/* figures/
	@cp runs/reference/paper/table1.json runs/reference/paper/sensitivity.json results/paper/
	@.venv/bin/python workflow/experiment.py
	@.venv/bin/python workflow/pages.py

links:
	@python3 workflow/links.py "$(REPO)"

clean:
	rm -rf .venv .snakemake .hypothesis .ruff_cache build book dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
