"""An interpreter whose engine `vllm` is the transformers engine, on as many nodes as vLLM's.

Its first node starts the others as the real engine does; there, a stand-in of vLLM's executor says
what it was told (in the folder SEEN), and holds nothing.
"""

import sys
from pathlib import Path

ENGINE = """\
from contextlib import ExitStack
from ssgr.sampling import engines
from ssgr.sampling.vllm.several_nodes import gathered

transformers = engines.ENGINES["transformers"]

def spread(folder, settings):
    stack = ExitStack()
    stack.enter_context(gathered({"model": folder}, settings.layout, settings.gpus))
    loaded = transformers(folder, settings)
    loaded.close = stack.close
    return loaded

engines.ENGINES["vllm"] = spread
"""
PACKAGE = """\
import os, time
time.sleep(float(os.environ.get("SLOW", "0")))
class EngineArgs:
    def __init__(self, **arguments):
        self.arguments = arguments
    def create_engine_config(self, headless):
        assert headless
        return self.arguments
"""
EXECUTOR = """\
import json, os, time
from pathlib import Path
FOLDER = Path(os.environ["SEEN"])
class MultiprocExecutor:
    def __init__(self, config, monitor_workers):
        self.name = os.environ["SLURMD_NODENAME"]
        seen = config | {"pid": os.getpid(), "devices": os.environ.get("CUDA_VISIBLE_DEVICES")}
        (FOLDER / f"{self.name}.part").write_text(json.dumps(seen))
        (FOLDER / f"{self.name}.part").rename(FOLDER / f"{self.name}.json")
    def start_worker_monitor(self, inline):
        while not (FOLDER / f"{self.name}.breaks").exists():
            time.sleep(0.05)
    def shutdown(self):
        (FOLDER / f"{self.name}.over").touch()
"""


def package(folder: Path) -> Path:
    """Write the package `vllm` of further nodes; return what PYTHONPATH must hold for it."""
    (folder / "vllm" / "v1" / "executor").mkdir(parents=True)
    (folder / "vllm" / "__init__.py").write_text(PACKAGE)
    (folder / "vllm" / "v1" / "executor" / "multiproc_executor.py").write_text(EXECUTOR)
    return folder


def interpreter(folder: Path) -> Path:
    """Write the interpreter, and the folder SEEN beside it."""
    package(folder)
    (folder / "seen").mkdir()
    (folder / "sitecustomize.py").write_text(ENGINE)
    python = folder / "python"
    python.write_text(
        f"#!/bin/sh\nPYTHONPATH={folder}:$PYTHONPATH SEEN={folder}/seen "
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    return python
