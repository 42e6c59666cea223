#!/usr/bin/env python3
"""Submit one of Snakemake's job scripts as a Kubernetes Job, and print the Job's name.

The script itself is the container's command, not a file that may be gone when the pod starts.
"""

import json
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).with_name("job.yaml")
RESOURCE = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}
KIND = {"nvidia": "nvidia.com/gpu.product", "amd": "amd.com/gpu.product-name"}
"""Labels that the makers' operators put on nodes."""


def manifest(script: str, name: str) -> dict[str, Any]:
    """Return the Job that runs a job script, of ``job.yaml`` and what the job asks for.

    Raises:
        SystemExit: the GPUs' manufacturer is not known.
    """
    wanted = properties(script)
    resources: dict[str, Any] = wanted["resources"]
    job: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text())
    job["metadata"]["name"] = name
    job["metadata"]["annotations"] = {"job": wanted.get("rule") or wanted["groupid"]}
    job["spec"]["activeDeadlineSeconds"] = 60 * resources["runtime"]
    pod = job["spec"]["template"]["spec"]
    asked = {
        "cpu": str(wanted["threads"]),
        "memory": f"{resources['mem_mb']}M",
        "ephemeral-storage": f"{resources['disk_mb']}M",
    }
    if resources.get("nodes", 1) > 1:
        sys.exit("nodes: a model on several machines needs SLURM; serve it, and use engine: server")
    if resources.get("gpu"):
        maker = resources.get("gpu_manufacturer")
        if maker not in RESOURCE:
            sys.exit(f"gpu_manufacturer is {maker!r}, expected one of: {', '.join(RESOURCE)}")
        asked[RESOURCE[maker]] = str(resources["gpu"])
        if resources.get("gpu_model"):
            pod.setdefault("nodeSelector", {})[KIND[maker]] = resources["gpu_model"]
    (container,) = pod["containers"]
    container["command"] = ["/bin/sh", "-c", script]
    # Equal: a job that goes beyond its memory is ended, not its neighbours.
    container["resources"] = {"requests": asked, "limits": dict(asked)}
    return job


def properties(script: str) -> dict[str, Any]:
    """Return what Snakemake says of a job in its script."""
    (line,) = re.findall(r"^# properties = (.*)$", script, re.M)
    found: dict[str, Any] = json.loads(line)
    return found


def main() -> None:
    """Submit the script that is named last."""
    name = f"ssgr-{uuid.uuid4()}"
    job = manifest(Path(sys.argv[-1]).read_text(), name)
    done = subprocess.run(
        ["kubectl", "create", "-f", "-"], input=json.dumps(job), stdout=sys.stderr, text=True
    )
    if done.returncode:
        sys.exit(done.returncode)
    print(name)


if __name__ == "__main__":
    main()
