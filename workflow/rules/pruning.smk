# Needs:  a dense model and a calibration set (magnitude needs none)
# Makes:  {results}/checkpoints/…/pruner=…/sparsity=…/, an ordinary Hugging Face folder with
#         pruning.parquet, a report on every pruned matrix, in it


rule prune:
    input:
        calibration_set,
    output:
        directory(made(paths.CHECKPOINT)),
    log:
        log_of("prune"),
    benchmark:
        cost_of("prune")
    priority: 5  # answers wait for it: before answers that nothing waits for
    conda:
        "../../envs/ssgr.yaml"
    threads: PRUNING.threads
    resources:
        gpu=PRUNING.gpu,
        gpu_model=PRUNING.gpu_model,
        mem_mb=PRUNING.mem_mb,
        runtime=PRUNING.runtime,
        disk_mb=PRUNING.disk_mb,
        pruner=pruner,
    params:
        spec=SPECS.prune,
    message:
        "Prune {wildcards.model} to {wildcards.sparsity} by {wildcards.pruner} on {wildcards.source}, {wildcards.length}, tau {wildcards.tau}"
    shell:
        "python -m ssgr prune --spec {params.spec:q} --pruner {resources.pruner:q}"
        " --gpus {resources.gpu} --out {output:q} > {log:q} 2>&1"
