# Responses of every policy through lm-eval, and their scores.
# vLLM has an environment of its own: conda makes it, or VLLM_PYTHON names its python. All else stays in the main one.
VLLM = PLAN.size.evaluate.engine == "vllm"
VLLM_JUDGES = {name for name, judge in PLAN.size.judges.items() if judge.local and judge.local.backend == "vllm"}
VLLM_ASKED = ["evaluate.engine"] * VLLM + [f"judges.{name}.local.backend" for name in sorted(VLLM_JUDGES)]
if VLLM_ASKED and DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
    if not environ.get("VLLM_PYTHON"):
        raise WorkflowError(
            f"error: config/{PLAN.name}.yaml: {VLLM_ASKED[0]} is 'vllm', which has an environment of its own; set "
            "VLLM_PYTHON to the python of one made from environment-vllm.yml, or run with --use-conda"
        )


def environment(vllm):
    return "../environment-vllm.yml" if vllm else "../environment.yml"


def python(vllm):
    return '"${VLLM_PYTHON:-python}"' if vllm else "python"


def policy_option(run):
    return f"--policy {quote(PLAN.runs[run].policy)}" if PLAN.runs[run].policy else ""


def teacher_option(run):
    """The divergence is measured wherever there is a policy."""
    return f"--teacher {quote(PLAN.pairs[PLAN.runs[run].pair]['teacher'])}" if PLAN.runs[run].policy else ""


def card_of_policy(w):
    """Controls answer without a model."""
    return int(bool(PLAN.runs[w.run].policy))


rule generate:
    input:
        data=lambda w: f"results/data/{PLAN.data_of(w.run)}",
        policy=lambda w: model_input(PLAN.runs[w.run].policy),
        ends_of=lambda w: model_input(PLAN.evaluation(w.run)[1].get("ends_of", "")),
    output:
        samples="results/runs/{run}/{evaluation}/samples.jsonl",
        sum="results/runs/{run}/{evaluation}/samples.jsonl.sha256",
        harness="results/runs/{run}/{evaluation}/lm_eval.json",
        provenance="results/runs/{run}/{evaluation}/generate.provenance.json",
    log:
        "results/runs/{run}/{evaluation}/generate.log",
    conda:
        environment(VLLM)
    threads: 1
    resources:
        gpu=card_of_policy,
    params:
        params=lambda w: as_json(PLAN.evaluation(w.run)[1]),
        policy=lambda w: policy_option(w.run),
        models=lambda w: pretrained(PLAN.runs[w.run].policy, PLAN.evaluation(w.run)[1].get("ends_of", "")),
        python=python(VLLM),
    shell:
        "{params.python} -m study.provenance --out {output.provenance} --code"
        " evaluation=evaluation/generate.py,evaluation/tasks --inputs {input:q} {params.models} --"
        " evaluation.generate --params {params.params:q} --data {input.data} {params.policy}"
        " --out {output.samples} > {log} 2>&1"


# A file for the code that scores: newer than scores of other code, also of such as were merged and have no history here.
SCORER = code_hash("evaluation/score.py")


rule scorer:
    output:
        touch(f"results/scorers/{SCORER}"),
    localrule: True


rule score:
    input:
        scorer=f"results/scorers/{SCORER}",
        samples="results/runs/{run}/{evaluation}/samples.jsonl",
        policy=lambda w: model_input(PLAN.runs[w.run].policy),
        teacher=lambda w: model_input(PLAN.pairs[PLAN.runs[w.run].pair]["teacher"]),
    output:
        scores="results/runs/{run}/{evaluation}/scores.parquet",
        tokens="results/runs/{run}/{evaluation}/tokens.jsonl",
        provenance="results/runs/{run}/{evaluation}/score.provenance.json",
    log:
        "results/runs/{run}/{evaluation}/score.log",
    conda:
        "../environment.yml"
    threads: 1
    resources:
        gpu=card_of_policy,
    params:
        policy=lambda w: policy_option(w.run),
        teacher=lambda w: teacher_option(w.run),
        dtype=lambda w: PLAN.size.evaluate_of(PLAN.runs[w.run].pair).dtype,
        models=lambda w: pretrained(PLAN.runs[w.run].policy, PLAN.pairs[PLAN.runs[w.run].pair]["teacher"]),
    shell:
        "python -m study.provenance --out {output.provenance} --code evaluation=evaluation/score.py"
        " --inputs {input.samples:q} {input.policy:q} {input.teacher:q} {params.models} --"
        " evaluation.score --samples {input.samples} {params.policy} {params.teacher}"
        " --dtype {params.dtype} --out {output.scores} --tokens {output.tokens} > {log} 2>&1"
