"""A copy of the project in an empty folder, in which the pipeline has run once at smoke scale."""

import checkout
import pytest


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    with checkout.project(tmp_path_factory) as copied:
        yield copied


@pytest.fixture(scope="session")
def finished(project):
    """The project after `snakemake` at smoke scale, from an empty runs/."""
    done = project.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    return project
