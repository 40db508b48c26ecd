# Ablations and sensitivity: each trains and measures its own rows alone (those that the tables have are not made
# again). `results/built/<size>/ablations/<name>` is one of them, the target `ablations` all of the size.


rule collect_ablation:
    input:
        lambda w: scored(w.ablation),
        lambda w: trained(w.ablation),
        THRESHOLDS,
    output:
        directory(f"{BUILT}/ablated/{{ablation}}"),
    log:
        f"results/logs/{PLAN.name}-collect-{{ablation}}.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        params=lambda w: as_json(same_plan().summary(w.ablation)),
        code=code_hash("evaluation/collect.py"),
    shell:
        "python -m evaluation.collect --params {params.params:q} --runs results/runs --out {output} 2> {log}"


rule ablation:
    input:
        collected=f"{BUILT}/ablated/{{ablation}}",
        thresholds=lambda w: PLAN.ablations[w.ablation].thresholds,
    output:
        directory(f"{BUILT}/ablations/{{ablation}}"),
    log:
        f"results/logs/{PLAN.name}-ablation-{{ablation}}.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        params=lambda w: as_json(PLAN.ablations[w.ablation].params),
        code=code_hash("evaluation/ablations/__main__.py"),
    shell:
        "python -m evaluation.ablations --collected {input.collected} --params {params.params:q}"
        " --out {output} 2> {log}"


rule ablations:
    input:
        [f"{BUILT}/ablations/{name}" for name in PLAN.ablations],
