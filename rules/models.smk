# Data sets, and the models that the project makes itself.


rule data:
    output:
        directory("results/data/{id}"),
    log:
        "results/logs/data-{id}.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        module=lambda w: PLAN.data[w.id].module,
        params=lambda w: as_json(PLAN.data[w.id].params),
    shell:
        "python -m {params.module} --params {params.params:q} --out {output} 2> {log}"


rule model:
    input:
        data=lambda w: f"results/data/{PLAN.models[w.id].data}",
    output:
        directory("results/models/{id}"),
    log:
        "results/logs/model-{id}.log",
    conda:
        "../environment.yml"
    threads: 1
    resources:
        gpu=lambda w: int(PLAN.models[w.id].params.get("sft_steps", 0) > 0),
    params:
        module=lambda w: PLAN.models[w.id].module,
        params=lambda w: as_json(PLAN.models[w.id].params),
    shell:
        "python -m {params.module} --params {params.params:q} --data {input.data} --out {output}"
        " 2>&1 | tee {log} >&2"
