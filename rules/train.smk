# Thresholds and training runs.

MADE = {f"results/models/{model}" for model in PLAN.models} | {run.policy for run in PLAN.runs.values() if run.params}


def model_input(path):
    """A model that the project makes is an input; a pretrained one is used where it is."""
    return [path] if path in MADE else []


def pretrained(*paths):
    """Models that are no inputs, for the record of the job."""
    return " ".join(quote(path) for path in paths if path and path not in MADE)


def processes(run):
    """How many processes share the run: a GPU and a CPU core for each."""
    return PLAN.runs[run].params["train"]["processes"]


METHODS = find_folders(tuple(PLAN.size.methods_path))


rule threshold:
    input:
        lambda w: (
            f"results/runs/{PLAN.thresholds[w.id]['run']}/curves.jsonl" if "run" in PLAN.thresholds[w.id] else []
        ),
    output:
        "results/thresholds/{id}.json",
    log:
        "results/logs/threshold-{id}.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        params=lambda w: as_json(PLAN.thresholds[w.id]),
        curves=lambda w, input: f"--curves {input}" if input else "",
    shell:
        "python -m study.threshold --params {params.params:q} {params.curves} --out {output} 2> {log}"


rule train:
    input:
        data=lambda w: f"results/data/{PLAN.data_of(w.run)}",
        student=lambda w: model_input(PLAN.pairs[PLAN.runs[w.run].pair]["student"]),
        teacher=lambda w: model_input(PLAN.pairs[PLAN.runs[w.run].pair]["teacher"]),
        threshold=lambda w: [f"results/thresholds/{t}.json" for t in [PLAN.runs[w.run].threshold] if t],
    output:
        policy=directory("results/runs/{run}/policy"),
        record="results/runs/{run}/run.json",
        steps="results/runs/{run}/train.jsonl",
        curves="results/runs/{run}/curves.jsonl",
        cost="results/runs/{run}/cost.json",
        provenance="results/runs/{run}/provenance.json",
    log:
        "results/runs/{run}/train.log",
    conda:
        "../environment.yml"
    threads: lambda w: processes(w.run)
    resources:
        gpu=lambda w: processes(w.run),
    params:
        params=lambda w: as_json(PLAN.runs[w.run].params),
        student=lambda w: PLAN.pairs[PLAN.runs[w.run].pair]["student"],
        teacher=lambda w: PLAN.pairs[PLAN.runs[w.run].pair]["teacher"],
        threshold=lambda w, input: f"--threshold {input.threshold}" if input.threshold else "",
        out=lambda w: f"results/runs/{w.run}",
        checkpoints=lambda w: f"results/checkpoints/{w.run}",  # no output: a killed job's outputs are removed
        method=lambda w: relpath(METHODS[PLAN.runs[w.run].method].path, workflow.basedir),
        models=lambda w: pretrained(*(PLAN.pairs[PLAN.runs[w.run].pair][m] for m in ("student", "teacher"))),
    shell:
        "python -m study.provenance --out {output.provenance} --config run.json --own method={params.method:q}"
        " --code training=training/train.py --inputs {input:q} {params.models} --"
        " training.train --params {params.params:q} --data {input.data} --student {params.student:q}"
        " --teacher {params.teacher:q} {params.threshold} --out {params.out} --checkpoints {params.checkpoints}"
        " 2>&1 | tee {log} >&2"
