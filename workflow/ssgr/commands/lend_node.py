"""`lend-node`: a further node of a SLURM job, for a model that does not fit on one."""

from ssgr.config import Strict


class LendNodeCommand(Strict):
    """Hold a part of a model that another node of this job runs; it starts this, with srun."""

    def cli_cmd(self) -> None:
        """Do what the first node says, until it ends."""
        from ssgr.sampling.vllm.several_nodes import lend

        lend()
