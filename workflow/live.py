"""Run Snakemake and show, in one line that lives, what it is at: in a terminal; in a log, every half minute.

python workflow/live.py [--every SECONDS] snakemake … --config profile=quick seeds=4 …

What the jobs print lies in <runs>/<profile>/notebooks/logs; how far they are they tell in the files there that end in
.jsonl (`kdutils.plumbing.progress`). Snakemake's own messages lie in its log, in .snakemake/log. Ctrl-C stops all.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is something to stop

import costs
from kdutils.plumbing.store import display_path
from kdutils.profiles import parse_seeds, resolve
from kdutils.runs import Run
from tqdm import tqdm

WEIGHT = 60  # seconds of the own pace that count as much as the known costs
PATIENCE = ((signal.SIGINT, 15), (signal.SIGTERM, 5), (signal.SIGKILL, 5))  # seconds that each signal gets
EPOCH = re.compile(r"(\S+) epoch (\d+)/(\d+)")


def spelled(seconds):
    """A duration in words, as exact as an estimate is."""
    minutes = round(seconds / 60)
    if seconds < 99:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


class Job:
    """One job, as the lines of its file tell it: where it is, and whether it ended."""

    def __init__(self, path):
        self.name, self.path, self.place = path.stem, path, 0
        self.began = time.time()
        self.key = re.sub(r"^\d\d_\w+?-(?=seed-)", "", path.stem)  # as in a plan
        self.now, self.ended = {}, False
        self.finished = []  # (network, stage)

    def read(self):
        """What it said since the last time, a list of lines."""
        with self.path.open("rb") as file:
            file.seek(self.place)
            *lines, rest = file.read().split(b"\n")
            self.place = file.tell() - len(rest)
        events = [json.loads(line) for line in lines if line]
        for event in events:
            before = self.doing
            self.ended |= "ended" in event
            self.now = {} if self.ended else event if "title" in event else self.now
            if before and self.doing != before:
                self.finished.append(before)
        return [event["says"] for event in events if "says" in event]

    @property
    def doing(self):
        """(network, stage), or None before the first."""
        title = self.now.get("title", "")
        return (title.split()[0], "training" if EPOCH.match(title) else "prediction") if title else None

    @property
    def share(self):
        """How much of what it is doing is done, from 0 to 1."""
        if not (epoch := EPOCH.match(self.now.get("title", ""))):
            return 0.0
        return (int(epoch[2]) - 1 + self.now["done"] / self.now["of"]) / int(epoch[3])

    def line(self):
        """Where it is: "02 seed 0: TN epoch 2/3, 45 %, 230 images/s, 2 min left"."""
        where = re.sub(r"(?<=^\d\d)_[a-z_]+", "", self.name).replace("-seed-", " seed ")
        title, done, images, rate = (self.now.get(key) for key in ("title", "done", "of", "rate"))
        if not title:
            return where
        if not rate or done == images:  # before the first images, and while the accuracy is computed
            return f"{where}: {title}" + " is trained" * bool(rate)
        epoch, epochs = map(int, EPOCH.match(title).groups()[1:])
        left = ((epochs - epoch + 1) * images - done) / rate
        return f"{where}: {title}, {self.share:.0%}, {rate:.0f} images/s, {spelled(left)} left"


class Watch:
    """All jobs of a run. folder: where their files lie. plan: {(job, network, stage): seconds}, of `costs.planned`."""

    def __init__(self, folder, plan):
        self.folder, self.plan, self.jobs, self.started = folder, plan, {}, time.time()
        self.before = {path: path.stat().st_mtime_ns for path in folder.glob("*.jsonl")}  # of an earlier run

    def read(self):
        """What all jobs said since the last time, and which ended."""
        said = []
        for path in sorted(self.folder.glob("*.jsonl")):
            if path.stat().st_mtime_ns != self.before.get(path):
                job = self.jobs.setdefault(path.stem, Job(path))
                before = job.ended
                said += [f"{job.key}: {line}" if len(self.seeds) > 1 else line for line in job.read()]
                said += [f"{job.name} is done"] if job.ended and not before else []
        return said

    @property
    def seeds(self):
        """The jobs that are planned for one seed each."""
        return {job for job, network, _ in self.plan if network}

    def left(self, now):
        """(share done, seconds left) of the whole; (None, None) without a plan."""
        whole, done = sum(self.plan.values()), 0.0
        for (job, network, stage), cost in self.plan.items():
            for own in self.jobs.values():
                if own.key != job:
                    continue
                if (own.ended and not network) or (network, stage) in own.finished:
                    done += cost
                elif own.doing == (network, stage):
                    done += cost * own.share
                elif not network:  # nothing tells how far it is
                    done += min(0.9 * cost, now - own.began)
        if not whole:
            return None, None
        pace = (now - self.started + WEIGHT) / (done + WEIGHT)
        return done / whole, (whole - done) * pace

    def line(self):
        """(what is done now and how far the whole is, the whole's share)."""
        running = [job for job in self.jobs.values() if not job.ended]
        latest = max(running, key=lambda job: job.path.stat().st_mtime, default=None)
        parts = [latest.line() if latest else "the next notebook" if self.jobs else "looking for what has to be made"]
        parts += [f"{len(running) - 1} more beside it"] if len(running) > 1 else []
        share, left = self.left(time.time())
        parts += [f"whole {share:.0%}, {spelled(left)} left"] if left else []
        return "; ".join(parts), share


class Shown:
    """The line that lives, above it what is said; in a log, the line every so many seconds."""

    def __init__(self, every):
        options = {"bar_format": "{desc} {bar:8}", "dynamic_ncols": True, "leave": False, "file": sys.stdout}
        self.bar = tqdm(total=1, **options) if sys.stdout.isatty() else None
        self.every, self.last = (0.5, 0.0) if self.bar is not None else (every, time.monotonic())

    def say(self, text):
        self.bar.write(text, file=sys.stdout) if self.bar is not None else print(text, flush=True)

    def line(self, text, share):
        if time.monotonic() - self.last < self.every:
            return
        self.last = time.monotonic()
        if self.bar is not None:
            self.bar.n = share or 0
            self.bar.set_description_str(text)
        else:
            print(text, flush=True)

    def stopping(self):
        if self.bar is not None:
            self.bar.set_description_str("stopping")

    def close(self):
        if self.bar is not None:
            self.bar.close()


def stop(process):
    """End a process and all that it started: as Ctrl-C does, and what does not follow, harder."""
    for sign, patience in PATIENCE:
        try:
            os.killpg(process.pid, sign)
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def own_error(log):
    """The error that ended a job, as its log tells it: from the last line "SomeError: …" on; else its last lines."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(encoding="utf-8", errors="replace")) if log.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    begins = [i for i, line in enumerate(lines) if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt)\b", line)]
    cells = re.findall(r'Exception encountered at "In \[(\d+)\]"', text)
    where = f" in cell {cells[-1]}" if cells else ""
    return where, "\n".join(lines[begins[-1] :] if begins else lines[-3:])


def failure(watch, printed):
    """What went wrong: each unfinished job's own error and where its log is; without any, Snakemake's last words."""
    found = []
    for job in watch.jobs.values():
        if not job.ended:
            log = job.path.with_suffix(".log")
            where, error = own_error(log)
            found.append(f"{job.name} failed{where}: {error or 'it printed nothing'}\nits log: {display_path(log)}")
    refused = [line for line in printed.splitlines() if line.startswith("kdutils: ")]
    return "\n".join(found or refused or printed.strip().splitlines()[-10:])


def settings_of(command):
    """{key: value} of what follows --config, without the @ by which a value is taken as it is."""
    words = command[command.index("--config") + 1 :]
    return {key: value.strip("'").removeprefix("@") for key, _, value in (word.partition("=") for word in words)}


def watch_of(command):
    """The Watch of a command, its Runs planned; what is wrong with its settings, Snakemake says."""
    given = settings_of(command)
    options = {"device": given.get("device", "auto"), "precision": given.get("precision", "auto")}
    options["force"] = given.get("force", "")
    profile = resolve(given.get("profile", "quick"))
    runs = [Run(profile, seed, given.get("runs") or None, **options) for seed in parse_seeds(given.get("seeds", "4"))]
    target = next((word for word in ("sensitivity", "one_pass") if word in command), "")
    plan = costs.planned(runs, given.get("controls"), target)
    return Watch(runs[0].output / "notebooks" / "logs", plan)


def main(command, every=30):
    """Run the command to its end; return its exit status, 130 after an interruption."""
    try:
        watch = watch_of(command)
    except ValueError as error:
        print(f"kdutils: {error}", file=sys.stderr)
        return 2
    stopped = []
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda number, _: stopped.append(number))
    print(f"logs of the notebooks: {display_path(watch.folder)}; of Snakemake: .snakemake/log", flush=True)
    with tempfile.TemporaryFile() as output:
        options = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
        process, shown = subprocess.Popen(command, start_new_session=True, **options), Shown(every)
        try:
            while process.poll() is None and not stopped:
                for text in watch.read():
                    shown.say(text)
                shown.line(*watch.line())
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                shown.stopping()
                stop(process)
            shown.close()
        if stopped:
            kept = display_path(watch.folder.parents[1])
            print(f"stopped; all finished networks and epochs are safe in {kept}: the same command goes on from there")
            return 130
        for text in watch.read():
            print(text)
        output.seek(0)
        printed = output.read().decode(errors="replace")
    if process.returncode:
        print(failure(watch, printed), file=sys.stderr)
    elif not watch.jobs:
        print("nothing to do: all of it is there")
    return process.returncode


if __name__ == "__main__":
    words = sys.argv[1:]
    seconds = float(words.pop(1)) if words[:1] == ["--every"] else 30
    sys.exit(main(words[words[0] == "--every" :], seconds))
