# The study as a workflow: config -> data -> models -> threshold -> runs -> samples -> scores -> tables.
# `snakemake --cores all results/tables` builds everything of one size: `--config size=smoke` picks another.
import json
import sys
from shlex import quote

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, workflow.basedir)

from snakemake.exceptions import WorkflowError
from study.code import code_hash
from study.plan import make_plan, task_files
from training.errors import UserError

try:
    PLAN = make_plan(str(config.get("size", "micro")), str(config.get("data_root") or "") or None)
except UserError as error:
    raise WorkflowError(f"error: {error}") from None

BUILT = f"results/built/{PLAN.name}"


def as_json(value):
    """Parameters as one JSON argument, the same text for the same content."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


wildcard_constraints:
    id=r"[^/]+",
    run=r"[^/]+",
    evaluation=r"eval-[0-9a-f]+",


include: "rules/models.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


localrules:
    all,
    runs,


rule all:
    default_target: True
    input:
        "results/tables",
        rules.runs.input,
