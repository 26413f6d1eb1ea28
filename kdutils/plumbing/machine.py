"""The machine that a process runs on: its threads, signals, notebook page, and where results come from."""

import contextlib
import datetime
import os
import platform
import re
import signal
import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path

from .progress import say
from .store import project_root

PACKAGES = ("kdutils", "torch", "torchvision", "numpy", "matplotlib")  # whose versions a result records


def available_threads(quota=Path("/sys/fs/cgroup/cpu.max")):
    """Processors that this process may use: of the machine's, its container's `quota` and Slurm's, the fewest."""
    granted = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()]
    with contextlib.suppress(OSError, ValueError):  # no such container; "max": no limit
        share, period = quota.read_text(encoding="utf-8").split()
        granted.append(-(-int(share) // int(period)))
    with contextlib.suppress(KeyError, ValueError):
        granted.append(int(os.environ["SLURM_CPUS_PER_TASK"]))
    return max(1, min(granted))


def use_available_threads(threads_spin):
    """Let torch compute with at most the available threads; with one fewer, and print that, if idle `threads_spin`.

    Beside other work a computation whose threads spin waits for whichever of them was put aside.
    """
    import torch

    threads = available_threads()
    if threads_spin and threads > 1 and torch.get_num_threads() >= threads:
        threads -= 1
        say(f"torch was imported before kdutils: computing with {threads} of {threads + 1} threads")
    torch.set_num_threads(min(torch.get_num_threads(), threads))


def in_a_notebook_page():
    """Whether this is the kernel of a notebook that somebody looks at, in Jupyter or Colab, not a headless run.

    A run that was started from a page inherits the page's variables. But then a program in Python asks, not a page:
    it numbers its messages, as in "…_<process>_<number>".
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    asked = shell.get_parent().get("header", {}).get("msg_id", "") if hasattr(shell, "get_parent") else ""
    marked = "JPY_SESSION_NAME" in os.environ or "COLAB_RELEASE_TAG" in os.environ
    return marked and not re.search(r"_\d+_\d+$", asked)


class Stopped(KeyboardInterrupt):
    """An interruption whose message is printed already. Jupyter shows its name alone, without a traceback."""

    def _render_traceback_(self):
        return ["KeyboardInterrupt"]


@contextlib.contextmanager
def stoppable(message):
    """A SIGTERM inside stops as Ctrl-C does; prints `message` and raises Stopped for both."""

    def stop(*_):
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if main else None
    try:
        yield
    except KeyboardInterrupt:
        print(f"\n{message}", flush=True)
        raise Stopped from None
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def commit():
    """(the commit of this project, None) or (None, why there is none, in one line). "+": kdutils differs from it."""
    root = project_root()
    git = ["git", "-C", str(root)]
    try:
        found = _output(*git, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        if len(found) < 2 or Path(found[0]).resolve() != root.resolve():  # of a repository around this folder
            return None, "outside a repository"
        return found[1] + ("+" if _output(*git, "status", "--porcelain", "kdutils") else ""), None
    except FileNotFoundError:
        return None, "git is not installed"
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip() or f"exit {error.returncode}").splitlines()[0]
        return None, "outside a repository" if "not a git repository" in said else f"git says: {said}"


def provenance():
    """Where a result comes from: {"made", "commit", "versions", "hardware"}, without names or paths of the machine.

    The commit ends in "+" if kdutils differs from it. It is None where there is none: `commit` says why.
    """
    cpus = Path("/proc/cpuinfo")
    processor = re.search(r"model name\s*: (.+)", cpus.read_text(encoding="utf-8") if cpus.exists() else "")
    hardware = {"system": platform.system(), "processor": processor[1] if processor else platform.processor()}
    if torch := sys.modules.get("torch"):
        hardware["threads"] = torch.get_num_threads()
        hardware |= {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit()[0],
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "hardware": hardware | {"cores": os.cpu_count()},
    }


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _output(*command):
    """What `command` prints, stripped: in English, and git's about this folder, whatever repository calls it."""
    environment = {key: value for key, value in os.environ.items() if key not in ("GIT_DIR", "GIT_WORK_TREE")}
    options = {"env": environment | {"LC_ALL": "C.UTF-8", "LANGUAGE": "en"}, "text": True, "encoding": "utf-8"}
    return subprocess.run(command, capture_output=True, check=True, **options).stdout.strip()
