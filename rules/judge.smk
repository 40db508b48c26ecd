# Verdicts of language models on every two rows; replies are kept in results/judge-cache, outside what is made anew.


rule judge:
    input:
        samples=[
            f"results/runs/{run['run']}/{run['evaluation']}/samples.jsonl"
            for judge in list(PLAN.size.judges)[:1]
            for run in PLAN.judging(judge)["runs"]
        ],
        model=lambda w: model_input(PLAN.judge_model(w.judge)),
    output:
        verdicts=f"{BUILT}/verdicts/{{judge}}.parquet",
        provenance=f"{BUILT}/verdicts/{{judge}}.provenance.json",
    log:
        f"results/logs/{PLAN.name}-judge-{{judge}}.log",
    conda:
        lambda w: environment(w.judge in VLLM_JUDGES)
    threads: 1
    resources:
        gpu=lambda w: int(PLAN.size.judges[w.judge].local is not None),
    params:
        params=lambda w: as_json(same_plan().judging(w.judge)),
        code=code_hash("evaluation/judge/__main__.py", "evaluation/judge/prompt.md"),
        models=lambda w: pretrained(PLAN.judge_model(w.judge)),
        python=lambda w: python(w.judge in VLLM_JUDGES),
    shell:
        "{params.python} -m study.provenance --out {output.provenance} --code"
        " evaluation=evaluation/judge/__main__.py,evaluation/judge/prompt.md --inputs {input:q} {params.models} --"
        " evaluation.judge --params {params.params:q} --runs results/runs --cache results/judge-cache"
        " --out {output.verdicts} 2>&1 | tee {log} >&2"
