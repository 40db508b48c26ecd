# One long table of a size, and everything that is a pure function of it.


THRESHOLDS = [f"results/thresholds/{pair['threshold']}.json" for pair in PLAN.pairs.values()]


def scored(ablation=""):
    """The scores, and the file of the code that makes them: Snakemake makes no missing input of a job that is done."""
    runs = [run.id for run in PLAN.chosen(ablation)]
    scores = [f"results/runs/{run}/{PLAN.evaluation(run)[0]}/scores.parquet" for run in runs]
    return [*scores, f"results/scorers/{SCORER}"]


def trained(ablation=""):
    """The records of the runs that are trained."""
    return [f"results/runs/{run.id}/run.json" for run in PLAN.chosen(ablation) if run.params]


# Asked for by name, so that a run whose files were deleted is made again even where the tables still stand.
rule runs:
    input:
        scored(),
        trained(),


rule collect:
    input:
        scored(),
        trained(),
        THRESHOLDS,
        verdicts=[f"{BUILT}/verdicts/{judge}.parquet" for judge in PLAN.size.judges],
    output:
        directory(f"{BUILT}/collected"),
    log:
        f"results/logs/{PLAN.name}-collect.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        params=lambda w: as_json(same_plan().summary()),
        code=code_hash("evaluation/collect.py"),
        verdicts=lambda w, input: f"--verdicts {input.verdicts}" if input.verdicts else "",
    shell:
        "python -m evaluation.collect --params {params.params:q} --runs results/runs {params.verdicts}"
        " --out {output} 2> {log}"


rule tables:
    input:
        collected=f"{BUILT}/collected",
        theory="results/built/theory",
    output:
        tables=directory(f"{BUILT}/tables"),
        quality=f"{BUILT}/quality.md",
    log:
        f"results/logs/{PLAN.name}-tables.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        code=code_hash("evaluation/tables/__main__.py", "evaluation/claims.yaml", "evaluation/paper_numbers.yaml"),
    shell:
        "python -m evaluation.tables --collected {input.collected} --theory {input.theory}"
        " --out {output.tables} --quality {output.quality} 2> {log}"


rule figures:
    input:
        f"{BUILT}/collected",
    output:
        directory(f"{BUILT}/figures"),
    log:
        f"results/logs/{PLAN.name}-figures.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        code=code_hash("evaluation/figures/__main__.py"),
    shell:
        "python -m evaluation.figures --collected {input} --out {output} 2> {log}"


rule theory:
    output:
        directory("results/built/theory"),
    log:
        "results/logs/theory.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        code=code_hash("evaluation/theory/__main__.py"),
    shell:
        "python -m evaluation.theory --out {output} 2> {log}"


rule paper:
    input:
        f"{BUILT}/collected",
    output:
        f"{BUILT}/paper_tables.md",
    log:
        f"results/logs/{PLAN.name}-paper.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        code=code_hash("evaluation/paper.py", "evaluation/paper_numbers.yaml"),
    shell:
        "python -m evaluation.paper --collected {input} --out {output} 2> {log}"


rule report:
    input:
        collected=f"{BUILT}/collected",
        tables=f"{BUILT}/tables",
        figures=f"{BUILT}/figures",
        theory="results/built/theory",
        quality=f"{BUILT}/quality.md",
    output:
        f"{BUILT}/report.html",
    log:
        f"results/logs/{PLAN.name}-report.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        code=code_hash("evaluation/report.py", "evaluation/report.html.j2"),
    shell:
        "python -m evaluation.report --collected {input.collected} --tables {input.tables}"
        " --figures {input.figures} --theory {input.theory} --quality {input.quality}"
        " --runs results/runs --out {output} 2> {log}"


# Not part of `results/tables`: why the learning rates are what they are (`make tune`).
rule tuning:
    input:
        trained(),
        THRESHOLDS,
    output:
        directory(f"{BUILT}/tuning"),
    log:
        f"results/logs/{PLAN.name}-tuning.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        params=lambda w: as_json(same_plan().summary()),
        code=code_hash("evaluation/tuning.py"),
    shell:
        "python -m evaluation.tuning --params {params.params:q} --runs results/runs --out {output} 2> {log}"


# The size last asked for is what `results/tables`, `figures/`, the report and `paper_tables.md` show.
rule publish:
    input:
        tables=f"{BUILT}/tables",
        figures=f"{BUILT}/figures",
        theory="results/built/theory",
        report=f"{BUILT}/report.html",
        paper=f"{BUILT}/paper_tables.md",
        quality=f"{BUILT}/quality.md",
    output:
        tables=report(
            directory("results/tables"),
            patterns=["{table}.csv"],
            caption="captions/tables.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        figures=report(
            directory("figures"),
            patterns=["{figure}.png"],
            caption="captions/figures.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        report=report("results/report.html", caption="captions/page.rst", category="The whole report"),
        paper="paper_tables.md",
        quality="results/quality.md",
    log:
        f"results/logs/{PLAN.name}-publish.log",
    threads: 1
    shell:
        "(cp -r {input.tables} {output.tables} && cp -r {input.figures} {output.figures}"
        " && cp {input.theory}/*.csv {input.theory}/*.md {input.theory}/*.tex {output.tables}"
        " && cp {input.theory}/*.png {input.theory}/*.pdf {output.figures}"
        " && cp {input.report} {output.report} && cp {input.paper} {output.paper}"
        " && cp {input.quality} {output.quality}) 2> {log}"
