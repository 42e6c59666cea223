"""The peak of memory up to now: of the GPU if one is used, else of the process."""

import resource
import sys

import torch

MB = 2**20


def peak_mb(device: torch.device) -> float:
    """Return the peak in MB: allocated on the GPU, or resident in main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MB
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MB
