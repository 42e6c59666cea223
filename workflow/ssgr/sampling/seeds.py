"""One seed for each response, so that batches, order and shards never change what is sampled."""

from hashlib import blake2b


def response_seed(seed: int, problem_id: str, sample: int) -> int:
    """Return the seed of one response, in [0, 2^62 + sample].

    The base is a hash of the sampling seed and the problem, folded to 62 bits; the samples of a
    problem take consecutive seeds, which is what ``n`` responses from one seeded request of vLLM
    take too. Nothing about the batch enters.
    """
    digest = blake2b(f"{seed}\x00{problem_id}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 2) + sample
