#!/usr/bin/env python3
"""Say of a Kubernetes Job what Snakemake asks: running, success or failed; why, on stderr."""

import json
import subprocess
import sys

ENDS = {"Complete": "success", "Failed": "failed"}


def main() -> None:
    """Look at the Job that is named last."""
    name = sys.argv[-1]
    done = subprocess.run(
        ["kubectl", "get", "job", name, "-o", "json"], capture_output=True, text=True
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        # Only what is known to be gone has failed: the API may be away for a while.
        print("failed" if "NotFound" in done.stderr else "running")
        return
    conditions = json.loads(done.stdout).get("status", {}).get("conditions", [])
    ended = [one for one in conditions if one["type"] in ENDS and one["status"] == "True"]
    state = ENDS[ended[0]["type"]] if ended else "running"
    if state == "failed":
        said = f"{name}: {ended[0].get('reason')}: {ended[0].get('message')}"
        print(said, file=sys.stderr, flush=True)
        subprocess.run(["kubectl", "logs", f"job/{name}", "--tail=20"], stdout=sys.stderr)
    print(state)


if __name__ == "__main__":
    main()
