"""What a run says as it goes: printed, and told to the program that started it, by the file $KDUTILS_PROGRESS.

Each line of that file is a JSON object: {"says": a line that was printed}, or {"title": what is being done} and, of
training, also {"done", "of": images of this epoch, "rate": images per second}.
"""

import contextlib
import io
import json
import os

from tqdm import tqdm


def say(text):
    """Print a line at once, and tell it."""
    print(text, flush=True)
    tell(says=text)


def tell(**event):
    """Append an event to the file $KDUTILS_PROGRESS; nothing where it is unset or cannot be written."""
    if path := os.environ.get("KDUTILS_PROGRESS"):
        with contextlib.suppress(OSError), open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


class Told(tqdm):
    """A bar that is not drawn but told, once a second at most."""

    def __init__(self, **options):
        super().__init__(**options | {"file": io.StringIO(), "mininterval": 1})

    def display(self, msg=None, pos=None):
        """Tell how far it is."""
        if msg is None:
            tell(title=self.desc, done=self.n, of=self.total, rate=self.format_dict["rate"])
