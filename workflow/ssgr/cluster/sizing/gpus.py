"""Kinds of GPU: what their makers' data sheets say of memory and arithmetic.

A job's `gpu_model` is spelled as its cluster spells it: ``a100``, ``NVIDIA-A100-SXM4-80GB``,
``nvidia_h100_nvl``. Of a name that leaves the memory open, the largest is meant; the driver leaves
a little less than the data sheet says: what does not fit here fits nowhere of that name.
"""

import re
from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU.

    Attributes:
        name: for people.
        memory: bytes.
        half: operations a second in bf16 (fp16 where there is none), dense, on tensor cores.
        single: in fp32, where Gram matrices are summed.
    """

    name: str
    memory: int
    half: float
    single: float


# Pattern of the name, name, GiB, TFLOP/s in bf16 and in fp32: the first that fits.
TABLE: list[tuple[str, str, int, float, float]] = [
    (r"b200", "B200", 180, 2250, 75),
    (r"gh200.*96", "GH200 96GB", 96, 989, 67),
    (r"gh200", "GH200 144GB", 144, 989, 67),
    (r"h200", "H200 141GB", 141, 989, 67),
    (r"h[18]00.*nvl", "H100 NVL 94GB", 94, 835, 60),
    (r"h[18]00.*pci", "H100 PCIe 80GB", 80, 756, 51),
    (r"h[18]00.*(80|sxm)", "H100 80GB", 80, 989, 67),
    (r"h[18]00", "H100 94GB", 94, 989, 67),
    (r"h20.*96", "H20 96GB", 96, 148, 44),
    (r"h20", "H20 141GB", 141, 148, 44),
    (r"a[18]00.*40", "A100 40GB", 40, 312, 19.5),
    (r"a[18]00", "A100 80GB", 80, 312, 19.5),
    (r"l40s", "L40S 48GB", 48, 362, 91.6),
    (r"l40", "L40 48GB", 48, 181, 90.5),
    (r"l4", "L4 24GB", 24, 121, 30.3),
    (r"a6000|a40", "A40 or A6000 48GB", 48, 150, 37.4),
    (r"a30", "A30 24GB", 24, 165, 10.3),
    (r"a10", "A10 24GB", 24, 125, 31.2),
    (r"6000.*ada", "RTX 6000 Ada 48GB", 48, 364, 91.1),
    (r"4090", "RTX 4090 24GB", 24, 165, 82.6),
    (r"3090", "RTX 3090 24GB", 24, 71, 35.6),
    (r"v100.*16", "V100 16GB", 16, 125, 15.7),
    (r"v100", "V100 32GB", 32, 125, 15.7),
    (r"t4", "T4 16GB", 16, 65, 8.1),
    (r"mi300x", "MI300X 192GB", 192, 1307, 163),
]
SLICE = re.compile(r"\dg\.\d+gb")  # a share of a GPU (MIG)


def gpu_named(name: str | None) -> Gpu | None:
    """Return the kind of GPU that a name means; None if it is not known here."""
    spelled = (name or "").lower()
    if SLICE.search(spelled):
        return None
    for pattern, known, gib, half, single in TABLE:
        if re.search(rf"(?<![a-z0-9])(?:{pattern})", spelled):
            return Gpu(known, gib * GIB, half * 1e12, single * 1e12)
    return None


def larger_than(needed: float) -> list[Gpu]:
    """Return the kinds whose memory is at least so many bytes, the smallest first."""
    kinds = [Gpu(name, gib * GIB, half * 1e12, one * 1e12) for _, name, gib, half, one in TABLE]
    return sorted((kind for kind in kinds if kind.memory >= needed), key=lambda kind: kind.memory)
