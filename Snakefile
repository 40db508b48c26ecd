# The study as a workflow: config -> data -> models -> threshold -> runs -> samples -> scores -> tables.
# `snakemake --cores all results/tables` builds everything of one size: `--config size=smoke` picks another.
import json
import sys
from os import environ, pathsep
from os.path import relpath
from pathlib import Path
from shlex import quote
from shutil import which

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, workflow.basedir)
# Images often set this; every job would then compile anew all it imports, for many seconds.
environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Jobs run modules of this repository, whatever the working directory.
environ["PYTHONPATH"] = pathsep.join(filter(None, (str(workflow.basedir), environ.get("PYTHONPATH"))))

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod
from study.code import code_hash
from study.machine import card_out_of_reach
from study.plan import asked, make_plan
from study.precision import slow_bfloat16
from training.errors import UserError
from training.folders import find_folders

try:
    PLAN = make_plan(*asked(config))
except UserError as error:
    raise WorkflowError(f"error: {error}") from None

if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method and which("conda") is None:
    raise WorkflowError(
        "error: --use-conda needs the program conda, which is not on PATH; install it (Miniforge will do), or leave "
        "--use-conda out after `pip install -r requirements.lock` (`make tables` does both by itself)"
    )

# Jobs of one machine would share its first card and run out of memory together: one at a time, unless told otherwise.
# An executor that submits has `nodes` (`--jobs`): there, and in the jobs that it starts, cards are not ours to count.
here = workflow.is_main_process and workflow.resource_settings.nodes is None
unused = card_out_of_reach()
card = which("nvidia-smi") and not unused
if here and card and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", 1)
for warning in (unused, None if card else slow_bfloat16(PLAN.size)):
    if here and warning:
        print(f"warning: {warning}", file=sys.stderr)

BUILT = f"results/built/{PLAN.name}"
# Of a cluster each job reads this file again, and the code with it, as they are when it starts.
STARTED = "SUITE_PLAN_AT_START"
fingerprint = PLAN.fingerprint()
if workflow.is_main_process:
    environ[STARTED] = fingerprint
CHANGED = environ.get(STARTED, fingerprint) != fingerprint
EDITED = (
    f"config/{PLAN.name}.yaml, a method or the code of training or evaluation was changed while the workflow ran; "
    "start it again: what the change does not touch is kept"
)
if CHANGED:
    print(f"warning: {EDITED}", file=sys.stderr)


def as_json(value):
    """Parameters as one JSON argument, the same text for the same content; in ASCII, for a job in any locale."""
    return json.dumps(value, sort_keys=True)


def same_plan():
    """The plan, for jobs that gather runs by their ids: what ran before was named by the plan of the start."""
    if CHANGED:
        raise WorkflowError(f"error: {EDITED}")
    return PLAN


wildcard_constraints:
    id=r"[^/]+",
    run=r"[^/]+",
    evaluation=r"eval-[0-9a-f]+",
    ablation=r"[a-z0-9_]+",


include: "rules/models.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/judge.smk"
include: "rules/report.smk"
include: "rules/ablations.smk"


localrules:
    ablations,
    all,
    runs,


onsuccess:
    quality = Path(f"{BUILT}/quality.md")
    if workflow.is_main_process and quality.is_file():
        counts = [line for line in quality.read_text().splitlines() if line.startswith("Quality: ")]
        print(*counts, f"See {quality}.", file=sys.stderr)


rule all:
    default_target: True
    input:
        "results/tables",
        rules.runs.input,
