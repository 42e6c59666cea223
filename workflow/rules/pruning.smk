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
    threads: model_threads
    resources:
        gpu=pruning_gpu,
        gpu_model=model_gpu_model,
        mem_mb=asked_by(pruning_job, "mem_mb"),
        runtime=asked_by(pruning_job, "runtime"),
        disk_mb=asked_by(pruning_job, "disk_mb"),
        pruner=method_given,
    params:
        model=model_pruned,
        weights=model_weights,
        calibration=calibration_flag,
        method=method,
        settings=constants,
        code=pruner_code,
    message:
        "Prune {wildcards.model} to {wildcards.sparsity} by {wildcards.pruner} on {wildcards.source}, {wildcards.length}, tau {wildcards.tau}"
    shell:
        "python -m ssgr prune --model {params.model:q} {params.calibration}"
        " --pruner {resources.pruner:q} --sparsity {wildcards.sparsity}"
        " --settings {params.settings:q} --gpus {resources.gpu} --out {output:q} > {log:q} 2>&1"
