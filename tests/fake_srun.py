#!/usr/bin/env python3
"""What `srun` does for a step of one task a node, with this machine as every node.

Its options are kept in the file FAKE_SRUN. Standard input goes to every task, its end too; a task
that fails ends the others.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path


def main() -> int:
    """Run the tasks."""
    words = sys.argv[1:]
    options = [words.pop(0) for _ in range(len(words)) if words[0].startswith("--")]
    Path(os.environ["FAKE_SRUN"]).write_text(json.dumps(options))
    count = next(int(one.partition("=")[2]) for one in options if one.startswith("--ntasks="))
    gpus = [int(one.rpartition(":")[2]) for one in options if one.startswith("--gres=gpu:")]
    devices = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(*gpus)))} if gpus else {}
    tasks = [
        subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            env={
                **os.environ,
                **devices,
                "SLURM_PROCID": str(task),
                "SLURMD_NODENAME": f"node{task + 1}",
            },
        )
        for task in range(count)
    ]
    threading.Thread(target=forward, args=(tasks,), daemon=True).start()
    while None in (codes := [task.poll() for task in tasks]):
        if any(codes):
            for task in tasks:
                task.terminate()
        time.sleep(0.05)
    return max(map(abs, (code for code in codes if code is not None)))


def forward(tasks: list["subprocess.Popen[bytes]"]) -> None:
    """Give all tasks what comes in, and close it to them when it ends."""
    pipes = [task.stdin for task in tasks if task.stdin]
    while read := os.read(0, 1 << 16):
        for pipe in pipes:
            pipe.write(read)
            pipe.flush()
    for pipe in pipes:
        pipe.close()


if __name__ == "__main__":
    sys.exit(main())
