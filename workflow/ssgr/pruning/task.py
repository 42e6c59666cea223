"""What is pruned, how and on what; and what of it decides the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ssgr.config.pruning import Recipe
from ssgr.config.sparsity import Sparsity
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.names import modules_of, name_of
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.progress import digest
from ssgr.storage.provenance import code_digest, fingerprint

# Packages that decide the bits of a result, besides our own code.
DECIDING = ("torch", "transformers")


@dataclass(frozen=True)
class Task:
    """One pruning: the arguments of `prune_checkpoint`, checked; ``source`` is the dense folder."""

    source: Path
    decoder: Decoder
    calibration: Sequence[CalibrationSequence]
    held_back: Sequence[list[int]]
    recipe: Recipe
    sparsity: Sparsity

    @property
    def named_recipe(self) -> Recipe:
        """The recipe with the pruner's name, wherever its file is."""
        return self.recipe.model_copy(update={"method": name_of(self.recipe.method)})

    def parts(self, dtype: str) -> dict[str, str]:
        """Return what decides the result, in names and digests."""
        recipe = self.recipe
        weights = [sequence.weights for sequence in self.calibration]
        return {
            # not from the cache: a model may change while a process lives
            "model": fingerprint.__wrapped__(str(self.source)),
            "calibration": digest(
                [
                    [sequence.token_ids for sequence in self.calibration],
                    [None if w is None else w.tolist() for w in weights],
                ]
            ),
            "held-back text": digest([list(ids) for ids in self.held_back]),
            "recipe": self.named_recipe.model_dump_json(),
            "sparsity": self.sparsity.key,
            "device": self.decoder.device.type,
            "dtype": dtype,
            "code": code_digest(*modules_of(recipe)),
            "versions": " ".join(f"{name} {version(name)}" for name in DECIDING),
        }

    def hidden_bytes(self) -> int:
        """Return what the hidden states between two blocks take."""
        calibration = sum(len(one.token_ids) for one in self.calibration)
        streams = 1 + (self.recipe.objective.target == "dense-output")
        tokens = streams * calibration + 2 * sum(map(len, self.held_back))
        one = self.decoder.embed([0])
        return tokens * one.numel() * one.element_size()
