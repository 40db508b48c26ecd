"""A stand-in for conda where none is installed: Snakemake's calls, answered with py-rattler and a local channel."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.conda_standin.channel import build_channel

ACTIVATE = """\
# `source activate PREFIX`, as Snakemake calls it.
export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"
"""


def install(folder: Path) -> dict[str, str]:
    """A `conda` and the channel conda-forge below `folder`; returns the variables that put both in effect."""
    build_channel(folder / "channels" / "conda-forge")
    binaries = folder / "bin"
    binaries.mkdir()
    program = Path(__file__).with_name("conda.py")
    (binaries / "conda").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    (binaries / "conda").chmod(0o755)
    (binaries / "activate").write_text(ACTIVATE)
    return {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "CONDA_CHANNEL_ALIAS": (folder / "channels").as_uri(),
        "CONDA_STANDIN": str(folder),
    }
