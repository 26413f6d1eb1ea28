"""Execute committed notebooks in place with papermill, at their defaults, and keep them clean.

python workflow/execute.py 06_figures 07_what_is_transferred
"""

import sys
import tempfile
from pathlib import Path

import nbformat
import papermill

ROOT = Path(__file__).resolve().parent.parent


def main(names):
    for name in names:
        path = ROOT / "notebooks" / f"{name}.ipynb"
        print(f"== {name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            executed = papermill.execute_notebook(
                path, Path(folder) / path.name, cwd=ROOT, progress_bar=False, stdout_file=sys.stdout
            )
        executed.metadata = {  # nothing of this machine: no papermill paths, no times, no widget state
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        for cell in executed.cells:
            tags = cell.metadata.get("tags", [])
            cell.metadata = {"tags": tags} if tags else {}
        nbformat.validate(executed)
        nbformat.write(executed, path)


if __name__ == "__main__":
    main(sys.argv[1:])
