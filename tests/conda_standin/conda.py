"""What Snakemake asks of `conda`, on py-rattler: the solver and installer of conda packages, without the program."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from rattler import Channel, VirtualPackage, install, solve

HOME = Path(os.environ["CONDA_STANDIN"])
ALIAS = os.environ["CONDA_CHANNEL_ALIAS"]
VERSION = "24.7.1"  # the least that Snakemake accepts
ANSWERS = {
    ("info", "--json"): json.dumps({"conda_prefix": str(HOME), "platform": "linux-64"}),
    ("--version",): f"conda {VERSION}",
    ("config", "--get", "channel_priority", "--json"): json.dumps({"get": {"channel_priority": "strict"}}),
}


async def link(channels: list[str], specs: list[str], prefix: Path) -> None:
    """Solve and install the conda packages of an environment file."""
    sources = [Channel(f"{ALIAS}/{name}") for name in channels]
    virtual = VirtualPackage.detect()
    records = await solve(sources, specs, platforms=["linux-64", "noarch"], virtual_packages=virtual)
    await install(records, prefix, cache_dir=HOME / "cache", show_progress=False)


def create(file: Path, prefix: Path) -> None:
    """`conda env create`: the conda packages, then the list under `pip:` with the environment's own pip."""
    content = yaml.safe_load(file.read_text())
    listed = content["dependencies"]
    asyncio.run(link(content["channels"], [spec for spec in listed if isinstance(spec, str)], prefix))
    for section in (entry for entry in listed if isinstance(entry, dict)):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
            requirements.write("\n".join(section["pip"]))
            requirements.flush()
            pip = [str(prefix / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile"]
            subprocess.run([*pip, "-r", requirements.name], check=True)


def main(arguments: list[str]) -> None:
    """Answer one call; anything that Snakemake does not ask is refused."""
    if arguments[0] == "clean":  # of downloaded archives: there are none
        return
    if tuple(arguments) in ANSWERS:
        print(ANSWERS[tuple(arguments)])
        return
    parser = argparse.ArgumentParser(prog="conda (stand-in)")
    parser.add_argument("command", choices=["env"])
    parser.add_argument("action", choices=["create"])
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--no-default-packages", action="store_true")
    parser.add_argument("--yes", "-y", action="store_true")
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--prefix", type=Path, required=True)
    given = parser.parse_args(arguments)
    create(given.file, given.prefix)


if __name__ == "__main__":
    main(sys.argv[1:])
