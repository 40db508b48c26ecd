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
        params=lambda w: as_json(PLAN.data[w.id]),
    shell:
        "python -m world.write --params {params.params:q} --out {output} 2> {log}"


rule model:
    input:
        data=lambda w: f"results/data/{PLAN.models[w.id][0]}",
    output:
        directory("results/models/{id}"),
    log:
        "results/logs/model-{id}.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        params=lambda w: as_json(PLAN.models[w.id][1]),
    shell:
        "python -m training.make_model --params {params.params:q} --data {input.data} --out {output}"
        " 2>&1 | tee {log} >&2"
