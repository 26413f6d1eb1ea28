"""Measure the costs side by side: our MC dropout and training against limits and against what others use.

python tests/benchmarks/bench.py            adds a run to results/benchmark.json (the last three are kept)
python tests/benchmarks/bench.py --only memory growth    measures these anew
python tests/benchmarks/bench.py --quick    a rough table in under three minutes; writes nothing

All contestants of a row take turns in one process, with the same weights, images, threads and precision, after
one round that does not count. A run's ratio is the median of its rounds' ratios, beside the lowest and highest; a
row's ratio is the median of its last three runs', each of which has to meet the target.
"""

import argparse
import copy
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from importlib import metadata
from pathlib import Path

import kdutils as kd
import matplotlib.pyplot as plt
import numpy as np
import torch
from kdutils import data, distillation, mc_dropout, models, one_pass, plots, runs, training
from kdutils.plumbing import compute, machine, store
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import datasets, transforms

ROOT = Path(__file__).resolve().parents[2]
PASSES = 100
CPU = torch.device("cpu")


class Bench:
    """Collects rows, next to those of `earlier` runs; sizes and rounds shrink with --quick."""

    def __init__(self, quick, earlier=()):
        self.quick, self.rounds, self.rows, self.growth = quick, 1 if quick else 3, [], {}
        self.earlier = {(row["what"], row["against"]): row["runs"] for row in earlier}
        self.mnist = data.load_mnist()

    def images(self, n):
        """The first n test images; an eighth of them for a rough table."""
        return torch.as_tensor(self.mnist.test_images[: n // 8 if self.quick else n])

    def part(self, n):
        """The same of the training images, with their labels."""
        n = n // 8 if self.quick else n
        return data.Part(self.mnist.train_images[:n], self.mnist.train_labels[:n])

    def race(self, **contestants):
        """Seconds (rounds,) of each contestant, taking turns."""
        seconds = {name: [] for name in contestants}
        for counted in [False] + [True] * self.rounds:
            for name, run in contestants.items():
                started = time.perf_counter()
                run()
                if counted:
                    seconds[name].append(time.perf_counter() - started)
        return {name: np.array(values) for name, values in seconds.items()}

    def row(self, what, against, ratio, target, note=""):
        """Keep and print one row. ratio: one number a round. target: "<= 1.2" or ">= 50"."""
        ratio = np.atleast_1d(ratio)
        measured = np.array([ratio.min(), np.median(ratio), ratio.max()])
        last = [*self.earlier.get((what, against), ()), measured.tolist()][-3:]
        low, middle, high = np.transpose(last)
        sign, bound = target.split() if target else ("", "nan")
        missed = int(np.sum({"<=": middle > float(bound), ">=": middle < float(bound)}[sign])) if sign else None
        entry = {"measure": self.measure, "what": what, "against": against, "runs": last}
        entry |= {"ratio": np.median(middle), "low": low.min(), "high": high.max()}
        self.rows.append(entry | {"target": target, "missed": missed, "note": note})
        verdict = {None: "", 0: "met"}.get(missed, f"MISSED in {missed} of {len(last)}")
        low, middle, high = measured
        print(f"{what:46s} {against:58s} {middle:8.3g} ({low:.3g} to {high:.3g})  {target:8s} {verdict}")
        sys.stdout.flush()


def flops(run):
    """Floating-point operations of run(), two for a multiplication with its addition."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def rates(dtype):
    """Two runs of known cost, {name: (run, flops)}: a matrix product and a convolution, both of favourable size."""
    a, b = torch.randn(2048, 2048, dtype=dtype), torch.randn(2048, 2048, dtype=dtype)
    x = torch.randn(64, 256, 8, 8, dtype=dtype).contiguous(memory_format=torch.channels_last)
    w = torch.randn(256, 256, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    found = {"product": lambda: a @ b, "convolution": lambda: torch.conv2d(x, w, padding=1)}
    return {name: (run, flops(run)) for name, run in found.items()}


def ten(run):
    return lambda: [run() for _ in range(10)]


def mc_against_limits(bench):
    """100 passes against one pass, and against the least that they could cost."""
    images = bench.images(500)
    for name in ("TN", "SN2", "SN1"):
        model = models.build(name).eval()
        before, after = mc_dropout.split(model)

        def first_part(before=before):
            with torch.inference_mode():
                for i in range(0, len(images), 100):
                    before(models.batch_input(images[i : i + 100], CPU))

        with torch.inference_mode():
            rest = flops(lambda: after(before(models.batch_input(images[:1], CPU)))) - flops(
                lambda: before(models.batch_input(images[:1], CPU))
            )
        known = rates(torch.float32)
        seconds = bench.race(
            all=lambda: mc_dropout.predict(model, images, passes=PASSES),
            one=lambda: models.logits(model, images),
            first=first_part,
            product=ten(known["product"][0]),
            convolution=ten(known["convolution"][0]),
        )
        fastest = np.maximum(*(10 * known[key][1] / seconds[key] for key in known))
        limit = seconds["first"] + rest * PASSES * len(images) / fastest
        one = {"TN": "<= 1.15"}.get(name, "")
        bench.row(f"{PASSES} passes, {name}", "one deterministic pass", seconds["all"] / seconds["one"], one)
        target = {"TN": "<= 1.2", "SN2": "<= 1.5", "SN1": "<= 2"}[name]
        bench.row(f"{PASSES} passes, {name}", "the limit: first part once + products", seconds["all"] / limit, target)


def mc_without_passes(bench):
    """A Gaussian in the place of SN1's passes, against 100 of them and against one."""
    images, model = bench.images(500), models.build("SN1").eval()
    seconds = bench.race(
        gaussian=lambda: mc_dropout.predict(model, images, passes="gaussian"),
        all=lambda: mc_dropout.predict(model, images, passes=PASSES),
        one=lambda: models.logits(model, images),
    )
    bench.row("a Gaussian for the passes, SN1", f"{PASSES} passes", seconds["gaussian"] / seconds["all"], "<= 1")
    bench.row("a Gaussian for the passes, SN1", "one deterministic pass", seconds["gaussian"] / seconds["one"], "")


def one_pass_students(bench):
    """One pass of a one-pass student against 100 passes of its teacher: ours, and whole ones in a loop."""
    teacher = models.build("TN").eval()
    looped = copy.deepcopy(teacher)
    for module in looped.modules():
        module.train(isinstance(module, nn.Dropout))

    def loop(images):
        inputs = models.batch_input(images, CPU)
        with torch.inference_mode():
            return torch.stack([looped(inputs).softmax(1) for _ in range(PASSES)]).mean(0)

    for name, count in itertools.product(("SN1", "SN2"), (1, 500)):
        student, images = one_pass.without_dropout(models.build(name)).eval(), bench.images(500)[:count]
        few = images[:32]
        seconds = bench.race(
            teacher=ten(lambda: mc_dropout.predict(teacher, images, passes=PASSES)),
            student=ten(lambda: one_pass.predict(student, images)),
            loop=lambda: loop(few),
        )
        each = [np.median(seconds[key]) / 10 for key in ("teacher", "student")]
        words = [f"{own * 1000:.1f} ms" if count == 1 else f"{count / own:,.0f} images a second" for own in each]
        what = f"one pass of ONE-{name}, {count} image{'s' * (count > 1)}: times faster"
        note = f"{words[1]} instead of {words[0]}"
        bench.row(what, f"{PASSES} passes of TN by kdutils", seconds["teacher"] / seconds["student"], "", note)
        ratio = seconds["loop"] / len(few) / (seconds["student"] / 10 / len(images))
        bench.row(what, f"{PASSES} full passes of TN in a loop", ratio, "")


def mc_against_others(bench):
    """100 passes of ours against a loop and against two libraries, all for the same few images."""
    from baal import ModelWrapper
    from baal.bayesian.caching_utils import MCCachingModule
    from baal.bayesian.dropout import MCDropoutModule
    from baal.modelwrapper import TrainingArgs
    from torch_uncertainty.methods import mc_dropout as torch_uncertainty

    images = bench.images(32)
    inputs = models.batch_input(images, CPU)
    for name in ("TN", "SN2", "SN1"):
        model = models.build(name).eval()
        looped = copy.deepcopy(model)
        for module in looped.modules():
            module.train(isinstance(module, nn.Dropout))
        wrapped = torch_uncertainty(copy.deepcopy(model), num_estimators=PASSES).eval()
        arguments = TrainingArgs(use_cuda=False, workers=0, replicate_in_memory=False)
        plain = ModelWrapper(MCDropoutModule(copy.deepcopy(model)).eval(), arguments)
        cached = ModelWrapper(MCCachingModule(MCDropoutModule(copy.deepcopy(model))).eval(), arguments)

        def loop(network=looped):
            with torch.inference_mode():
                return torch.stack([network(inputs).softmax(1) for _ in range(PASSES)]).mean(0)

        def estimators(network=wrapped):
            with torch.inference_mode():
                return network(inputs).softmax(1).unflatten(0, (PASSES, -1)).mean(0)

        seconds = bench.race(
            ours=lambda: mc_dropout.predict(model, images, passes=PASSES),
            one=lambda: models.logits(model, images),
            loop=loop,
            torch_uncertainty=estimators,
            baal=lambda: plain.predict_on_batch(inputs, iterations=PASSES).softmax(1).mean(-1),
            baal_cached=lambda: cached.predict_on_batch(inputs, iterations=PASSES).softmax(1).mean(-1),
        )
        for key, label in {
            "loop": "100 full passes in a loop",
            "torch_uncertainty": "torch-uncertainty's mc_dropout",
            "baal": "Baal without its cache",
            "baal_cached": "Baal with MCCachingModule",
        }.items():
            target = {"baal_cached": ">= 5", "baal": ""}.get(key, ">= 50") if name == "TN" else ""
            bench.row(f"{PASSES} passes, {name}: times faster", label, seconds[key] / seconds["ours"], target)
        ratio = seconds["baal_cached"] / seconds["one"]
        bench.row(f"{PASSES} passes, {name}, by Baal with its cache", "one deterministic pass", ratio, "")


def stepper(name, teacher=None):
    """A function that makes one step of `training.step`; with `teacher`, asked in every step."""
    model, dtype = models.build(name).train(), compute.precision(CPU)
    profile = dataclasses.replace(kd.PROFILES["quick"], name="bench", peak_learning_rate=1e-4)
    optimiser = training.optimiser(model, profile, 10**6, dtype)

    def step(images, labels):
        def with_teacher(logits, labels, rows):
            return distillation.distillation_loss(logits, models.logits(teacher, images, dtype=dtype), labels)

        training.step(model, (images, labels, None), with_teacher if teacher else training.label_loss, optimiser, dtype)

    return step


def convolutions(name, images, dtype):
    """The convolutions of one batch through a network, {part: run}: forward, and the two gradients of a step."""
    model, seen = models.build(name), []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.to(dtype).register_forward_hook(lambda *call: seen.append(call))
        elif isinstance(module, nn.Linear):
            module.to(dtype)
    with torch.no_grad():
        model(data.preprocess(images).to(dtype))

    def gradient(*wanted):
        @torch.no_grad()
        def run():
            for module, (x,), y in seen:
                geometry = module.stride, module.padding, module.dilation, False, (0, 0), 1
                torch.ops.aten.convolution_backward(y, x, module.weight, None, *geometry, (*wanted, False))

        return run

    @torch.no_grad()
    def forward():
        for module, (x,), _ in seen:
            torch.conv2d(x, module.weight, padding=module.padding)

    return {"forward": forward, "input gradients": gradient(True, False), "weight gradients": gradient(False, True)}


def training_steps(bench):
    """A step's arithmetic rate against a matrix product's, where it is lost, and what preparing its batch costs."""
    images, labels = torch.as_tensor(bench.mnist.train_images), torch.as_tensor(bench.mnist.train_labels).long()
    dtype = compute.precision(CPU)
    product, cost = rates(dtype)["product"]
    batch = torch.randperm(len(images))[:128]
    said = "" if dtype == torch.bfloat16 else "no bf16 here: measured, and compared, in float32"
    for name in ("TN", "SN2", "SN1"):
        step = stepper(name)
        work = flops(lambda: step(images[batch], labels[batch]))
        seconds = bench.race(
            step=lambda: step(images[batch], labels[batch]),
            product=ten(product),
            batch=ten(lambda: data.preprocess(images[batch])),
            **(parts := convolutions(name, images[batch], dtype)),
        )
        fastest = 10 * cost / seconds["product"]
        against = f"a {str(dtype)[6:]} matrix product's"
        if name != "SN1":
            bench.row(f"a training step of {name}, its rate", against, work / seconds["step"] / fastest, ">= 0.8", said)
            for part, run in parts.items():
                rate = flops(run) / seconds[part] / fastest
                bench.row(f"… {name}'s convolutions' {part}", against, rate, "")
        if name != "SN2":
            target = {"TN": "<= 0.01", "SN1": "<= 0.1"}[name]
            bench.row("preparing a batch", f"the step of {name}", seconds["batch"] / 10 / seconds["step"], target)


def usual_script(name, folder, part):
    """An epoch as most scripts have it: torchvision's dataset, transforms and DataLoader, float32, NCHW."""
    steps = [transforms.Pad(2), transforms.ToTensor(), transforms.Normalize(data.MEAN, data.STANDARD_DEVIATION)]
    images = Subset(datasets.MNIST(folder, train=True, transform=transforms.Compose(steps)), range(len(part)))
    model = models.build(name).to(memory_format=torch.contiguous_format).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    total = 0.0
    for batch, labels in DataLoader(images, batch_size=64, shuffle=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()


def epoch(name, part, teacher_logits=None):
    profile = dataclasses.replace(kd.PROFILES["quick"], name="bench", epochs=1, peak_learning_rate=1e-4)
    model = models.build(name.removeprefix("KD-"))
    few = data.Part(part.images[:4], part.labels[:4])
    loss = training.label_loss if teacher_logits is None else distillation.student_loss(profile, teacher_logits)
    training.train(model, part, few, profile, seed=0, name=name, loss=loss)


def epochs(bench):
    """An epoch against the usual script's; a distillation epoch against one on labels, and one with the teacher."""
    bf16 = compute.precision(CPU) == torch.bfloat16
    said = "" if bf16 else "the target is for bf16, which is not here"
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for name in data.FILES:
            os.symlink(data.default_root().resolve() / name, raw / name)
        for name, n, target in (("TN", 640, ">= 2.2"), ("SN1", 3200, ">= 3")):
            part = bench.part(n)
            seconds = bench.race(ours=quiet(epoch, name, part), usual=quiet(usual_script, name, folder, part))
            ratio = seconds["usual"] / seconds["ours"]
            bench.row(f"an epoch of {name}: times faster", "the usual script", ratio, target, said)
    part = bench.part(1280)
    teacher, logits = models.build("TN").eval(), torch.randn(len(part), 10)
    seconds = bench.race(
        labels=quiet(epoch, "SN1", part),
        ours=quiet(epoch, "KD-SN1", part, logits),
        in_the_loop=quiet(teacher_in_the_loop, teacher, part),
    )
    bench.row("a distillation epoch of SN1", "on labels alone", seconds["ours"] / seconds["labels"], "<= 1.03")
    ratio = seconds["ours"] / seconds["in_the_loop"]
    bench.row("a distillation epoch of SN1", "with the teacher in the loop", ratio, "<= 1")


def quiet(run, *arguments):
    """run(*arguments) without its output."""

    def silent():
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            kept, sys.stdout = sys.stdout, nowhere
            try:
                run(*arguments)
            finally:
                sys.stdout = kept

    return silent


def teacher_in_the_loop(teacher, part):
    """The same epoch as ours, the teacher asked anew for every batch."""
    images, labels = torch.as_tensor(part.images), torch.as_tensor(part.labels).long()
    step = stepper("SN1", teacher)
    for batch in torch.randperm(len(images)).split(64):
        step(images[batch], labels[batch])


def peak_memory(code):
    """Peak resident memory in MiB of a fresh process that runs `code`."""
    start = "import kdutils as kd, torch\nfrom kdutils import data, distillation, mc_dropout, models, training\n"
    # not getrusage: what it reports begins with the size of the process that started this one
    end = "\nprint(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    done = subprocess.run(
        [sys.executable, "-c", start + code + end],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        encoding="utf-8",
    )
    return int(done.stdout.split()[-1]) / 1024


TASKS = """
import statistics, sys, time
import kdutils as kd, torch
from kdutils import mc_dropout, models, training
images = torch.as_tensor(kd.data.load_mnist().train_images[:1000])
sn1, sn2 = models.build("SN1"), models.build("SN2").train()
labels, dtype = torch.zeros(64, dtype=torch.long), kd.plumbing.compute.precision(torch.device("cpu"))
optimiser = training.optimiser(sn2, kd.PROFILES["quick"], 10**6, dtype)
def steps():
    for _ in range(8): training.step(sn2, (images[:64], labels, None), training.label_loss, optimiser, dtype)
for task in (lambda: mc_dropout.predict(sn1, images, passes=100), steps):
    task()
    seconds = []
    for _ in range(int(sys.argv[1])):
        started = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - started)
    print(statistics.median(seconds))
"""
BUSY = "while True: pass"


def beside(bench):
    """Ours beside two busy processes and idle; and idle, what our threads' waiting costs against OpenMP's own."""
    targets = {"100 passes, SN1": ("<= 2.5", "<= 1.15"), "eight training steps of SN2": ("<= 2.5", "<= 1.03")}
    unset = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}

    def seconds(busy=0, **more):
        others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
        try:
            command = [sys.executable, "-c", TASKS, "2" if bench.quick else "7"]
            done = subprocess.run(
                command, env=unset | more, cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8"
            )
            return [float(number) for number in done.stdout.split()]
        finally:
            for other in others:
                other.kill()

    default = {"GOMP_SPINCOUNT": "300000"}  # libgomp's own
    rounds = [(seconds(), seconds(busy=2), seconds(**default)) for _ in range(bench.rounds)]
    idle, busy, spinning = np.array(rounds).transpose(1, 0, 2)
    for i, (what, (at_most, costs)) in enumerate(targets.items()):
        bench.row(f"{what}, beside two busy processes", "idle", busy[:, i] / idle[:, i], at_most)
        bench.row(f"{what}, idle", "threads that spin, OpenMP's default", idle[:, i] / spinning[:, i], costs)


PAPER = """
class Enough(Exception): pass
profile = kd.PROFILES["paper"]
parts = data.split(data.load_mnist(), profile)
model, calls = models.build("TN"), []
def count(*_):
    calls.append(0)
    if len(calls) > 3: raise Enough
model.register_forward_pre_hook(count)
loss = distillation.student_loss(profile, torch.randn(len(parts["train"]), 10))
try: training.train(model, parts["train"], parts["validation"], profile, seed=0, name="KD-SN3", loss=loss)
except Enough: pass
model._forward_pre_hooks.clear()
mc_dropout.predict(model, parts["test"].images[:200], passes=100)
"""


def memory(bench):
    """Peak memory: of MC dropout against the number of passes, and of the `paper` profile."""
    code = 'mc_dropout.predict(models.build("SN1"), data.load_mnist().test_images[:300], passes={})'
    few, many = (np.array([peak_memory(code.format(n)) for _ in range(bench.rounds)]) for n in (10, 1000))
    bench.row("peak memory of 1,000 passes, SN1", "10 passes", many / few, "<= 1.02", f"{np.median(many):.0f} MiB")
    peak = peak_memory(PAPER) / 1024
    bench.row("peak memory of `paper`, in GiB", "– (three steps of KD-SN3 on all images, predictions)", peak, "<= 3")


def growth(bench):
    """How the cost grows; each round's best power law."""
    model, images = models.build("SN1").eval(), bench.images(160)
    many = bench.mnist.train_images
    tiny = kd.Profile("bench-tiny", 500, 100, 500, epochs=1, batch_size=50, peak_learning_rate=1e-4, mc_passes=20)

    def seeds(count):
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(count):
                kd.Run(tiny, seed, folder, device="cpu").predictions("SN1")

    sizes = {
        "passes": ([1, 10, 100, 1000], lambda n: mc_dropout.predict(model, images, passes=n)),
        "images": ([1000, 5000, 50_000], lambda n: mc_dropout.predict(model, many[:n], passes=5)),
        "seeds": ([1, 2, 4], seeds),
    }
    for what, (counts, run) in sizes.items():
        counts = counts[:-1] if bench.quick else counts
        race = bench.race(**{str(n): quiet(run, n) for n in counts})
        seconds = np.array([np.median(race[str(n)]) for n in counts])
        bench.growth[what] = {"count": counts, "seconds": seconds.tolist()}
        exponents = [np.polyfit(np.log(counts), np.log(times), 1)[0] for times in np.transpose(list(race.values()))]
        bench.row(f"growth with {what}, the exponent", f"from {counts[0]:,} to {counts[-1]:,}", exponents, "<= 1.05")


def pipeline(bench):
    """Two smoke seeds by Snakemake: side by side with a thread each, and one after the other with two."""

    def study(threads, folder):
        command = ["snakemake", "--cores", "2", "--nolock", "--quiet", "all", "--config", "profile=smoke"]
        command += ["seeds=0-1", "device=cpu", f"threads={threads}", f"runs={folder}"]
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return time.perf_counter() - started

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        after = study(2, one)
        beside = study(1, two)
        bench.row("two seeds side by side, a thread each", "one after the other, two threads", beside / after, "<= 1")
        spent = spent_on_networks(Path(one) / "smoke")
    ours = spent_on_networks(ROOT / "results" / "quick", "seed-0", runs.TABLE_1)
    rest = after - spent
    note = f"the {rest:.0f} s of two smoke seeds, beside the {ours:.0f} s of a quick seed's networks"
    bench.row("`quick`: not training or prediction", "the whole", rest / (rest + ours), "<= 0.15", note)


def spent_on_networks(folder, seed="*", names=("*",)):
    found = [path for name in names for path in folder.glob(f"{seed}/{name}/manifest.json")]
    return sum(sum(json.loads(path.read_text(encoding="utf-8"))["seconds"].values()) for path in found)


def draw(record):
    """Left: 100 passes by ours and by others. Right: how the cost grows."""
    plots.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    faster = [row for row in record["rows"] if "times faster" in row["what"] and "passes" in row["what"]]
    labels = list(dict.fromkeys(row["against"] for row in faster))
    for i, name in enumerate(("TN", "SN2", "SN1")):
        chosen = {row["against"]: row for row in faster if f" {name}:" in row["what"]}
        place = np.arange(len(labels)) + (i - 1) * 0.27
        ratios = np.array([[chosen[label][key] for label in labels] for key in ("low", "ratio", "high")])
        error = np.abs(ratios[[0, 2]] - ratios[1])
        rim = {"edgecolor": plots.ink(name), "hatch": "///" if plots.STYLES[name].dashed else None}
        fill = "white" if name == "TN" else plots.STYLES[name].colour  # told apart in grey, as in the other figures
        left.barh(place, ratios[1], 0.25, xerr=error, color=fill, label=name, **rim)
        for y, ratio, high in zip(place, ratios[1], ratios[2], strict=True):
            left.annotate(
                f"{ratio:.{1 if ratio < 10 else 0}f}",
                (high, y),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
    left.set(yticks=np.arange(len(labels)), yticklabels=labels, xscale="log", xlim=(1, 400))
    left.set(title="100 MC-dropout passes by others", xlabel="times slower than kdutils")
    left.invert_yaxis()
    left.legend(loc="lower right")
    for (what, measured), marker in zip(record["growth"].items(), "osD", strict=True):
        count, seconds = np.array(measured["count"]), np.array(measured["seconds"])
        right.loglog(count / count[0], seconds / seconds[0], marker=marker, label=f"{what}, from {count[0]:,}")
    span = np.array([1, 1000])
    right.loglog(span, span, color="0.5", linestyle=":", label="proportional")
    right.set(title="The cost grows at most in proportion", xlabel="times as many", ylabel="times the seconds")
    right.legend()
    return figure


MEASURES = (mc_against_limits, mc_without_passes, one_pass_students, mc_against_others)
MEASURES += (training_steps, epochs, beside, memory, growth, pipeline)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    names = [measure.__name__ for measure in MEASURES]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="measure these anew, keep the others")
    options = parser.parse_args()
    path = ROOT / "results" / "benchmark.json"
    kept = {"rows": [], "growth": {}, "made": []} | (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    )
    bench = Bench(options.quick, () if options.quick else kept["rows"])
    warnings.filterwarnings("ignore")
    started = time.perf_counter()
    for measure in MEASURES:
        if measure.__name__ in options.only and not (options.quick and measure is pipeline):
            bench.measure = measure.__name__
            measure(bench)
    seconds = round(time.perf_counter() - started)
    if options.quick:
        print(f"{seconds} s; a rough table, nothing written")
        return
    rows = [row for row in kept["rows"] if row["measure"] not in options.only] + bench.rows
    rows.sort(key=lambda row: names.index(row["measure"]))
    origin = machine.provenance()
    origin["versions"] |= {name: metadata.version(name) for name in ("torch-uncertainty", "baal", "snakemake")}
    whole = [origin["made"]] if options.only == names else []
    origin["made"] = [*kept["made"], *whole][-3:]
    record = origin | {"rows": rows, "growth": kept["growth"] | bench.growth}
    store.write_atomically(path, store.to_json(record))
    plots.save_figure(draw(record), ROOT / "figures", "benchmark")


if __name__ == "__main__":
    main()
