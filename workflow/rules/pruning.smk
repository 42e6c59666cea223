# Needs:  a dense model and a calibration set (magnitude needs none)
# Makes:  {results}/checkpoints/…/pruner=…/sparsity=…/, an ordinary Hugging Face folder with
#         pruning.parquet, a report on every pruned matrix, in it


rule prune:
    input:
        calibration_set,
    output:
        directory(CHECKPOINT),
    log:
        f"{LOGS}/prune/{PRUNED}.log",
    benchmark:
        f"{COSTS}/prune/{PRUNED}.tsv"
    conda:
        "../../envs/ssgr.yaml"
    threads: model_threads
    resources:
        gpu=model_gpu,
        gpu_model=model_gpu_model,
        mem_mb=model_mem_mb,
        runtime=model_runtime,
        disk_mb=model_disk_mb,
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
        " --pruner {params.method} --sparsity {wildcards.sparsity}"
        " --settings {params.settings:q} --gpus {resources.gpu} --out {output:q} > {log:q} 2>&1"
