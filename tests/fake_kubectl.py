#!/usr/bin/env python3
"""What `kubectl` says of Jobs, with this machine as the cluster: a Job's command runs here.

Everything is a file in the folder FAKE_KUBERNETES: NAME.json, the manifest; NAME.code, its exit
code. The first Job of all comes to its deadline at once.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ["FAKE_KUBERNETES"])


def create() -> None:
    """Take a manifest, and start its command."""
    manifest = json.load(sys.stdin)
    name = manifest["metadata"]["name"]
    first = not list(FOLDER.glob("*.json"))
    (FOLDER / f"{name}.json").write_text(json.dumps(manifest))
    if first:
        (FOLDER / f"{name}.code").write_text("DeadlineExceeded")
        return
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    log, code = FOLDER / f"{name}.log", FOLDER / f"{name}.code"
    ended = f'"$@" > {log} 2>&1; echo $? > {code}.part; mv {code}.part {code}'
    subprocess.Popen(
        ["/bin/sh", "-c", ended, "sh", *container["command"]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def get(name: str) -> None:
    """Print a Job's status."""
    code = FOLDER / f"{name}.code"
    if not code.with_suffix(".json").exists():
        sys.exit(f'Error from server (NotFound): jobs.batch "{name}" not found')
    conditions = []
    if code.exists():
        said = code.read_text().strip()
        kind = "Complete" if said == "0" else "Failed"
        conditions = [{"type": kind, "status": "True", "reason": said, "message": "it ended"}]
    print(json.dumps({"status": {"conditions": conditions}}))


match sys.argv[1:]:
    case ["create", "-f", "-"]:
        create()
    case ["get", "job", name, "-o", "json"]:
        get(name)
    case ["logs", name, "--tail=20"]:
        print(f"the last lines of {name}")
    case ["delete", "job", "--ignore-not-found", "--wait=false", *names]:
        (FOLDER / "deleted").write_text("\n".join(names))
    case other:
        sys.exit(f"unknown command: {other}")
