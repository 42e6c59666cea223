"""The recipes of abacus and its sibling: an hour or so on one CPU core, from nothing to a folder.

Warm-up, stable rate, decay over the last half of the steps, then, for abacus, a short polish. An
interrupted run resumes at its last checkpoint.
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from recipe import MODEL
from recipe.architecture import ABACUS_SHAPE, SIBLING_SHAPE, Shape, new_model
from recipe.mixture import ABACUS, IGNORED, SIBLING, Batches, Mixture, Sample, samples
from recipe.muon import Muon
from recipe.tokenizer import CHAT_TEMPLATE, build_tokenizer, read_tokenizer
from ssgr.errors import SsgrError

TOKENIZER_SAMPLES = 6000


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, apart from the number format of the machine."""

    steps: int = 2500
    polish: int = 250  # steps after those: invented words, more multiple choice, new optimisers
    seed: int = 0
    samples: int = 28  # a step; about 6,900 tokens
    muon_rate: float = 4e-3
    adam_rate: float = 4e-3
    precision: str = "bfloat16"  # of the matrix products; weights and optimiser stay float32
    shape: Shape = ABACUS_SHAPE
    mixture: Mixture = ABACUS
    vocabulary: Path | None = None  # folder of a tokenizer; None: trained on the first samples
    stored: torch.dtype = torch.float32  # number format of the written weights
    #: (step, factor of the peak rate) between which it is linear; empty: the slopes of abacus.
    knots: tuple[tuple[int, float], ...] = ()

    @property
    def total(self) -> int:
        """Count all steps."""
        return self.steps + self.polish

    def rate(self, step: int) -> float:
        """Return the factor of the peak rate at a step: warm-up, stable, decay in two slopes."""
        for (start, high), (end, low) in pairwise(self.knots):
            if step < end:
                return high + (low - high) * (step - start) / (end - start)
        if step >= self.steps:
            return 0.3 * min((step - self.steps + 1) / 10, (self.total - step) / self.polish)
        share = step / self.steps
        warm = (step + 1) / (0.04 * self.steps)
        decay = (0.9 - share) / 0.36 if share < 0.7 else (1 - share) / 0.54
        return min(warm, 1.0, decay)

    def stream(self) -> Iterator[Sample]:
        """Yield the training samples from the first on, without end."""
        return samples(self.seed, self.steps * self.samples, self.mixture)


#: abacus as shipped, and its sibling of another architecture, seed and mixture.
RECIPES: dict[str, Recipe] = {
    "abacus": Recipe(),
    "abacus-qwen3": Recipe(
        steps=1850,
        polish=0,
        seed=1,
        samples=16,
        shape=SIBLING_SHAPE,
        mixture=SIBLING,
        vocabulary=MODEL,
        stored=torch.bfloat16,
        knots=((-1, 0.0), (99, 1.0), (1000, 1.0), (1600, 4 / 7), (1850, 0.0)),
    ),
}


class Trainer:
    """The state of one run: model, optimisers, data, and the step it is at."""

    def __init__(self, recipe: Recipe) -> None:
        """Build everything at step 0."""
        self.recipe, self.step, self.tokens = recipe, 0, 0
        self.tokenizer = self._tokenizer()
        self.model = new_model(recipe.shape, self.tokenizer, recipe.seed)
        self._new_optimisers()
        self.batches = self._batches()

    def _tokenizer(self) -> PreTrainedTokenizerFast:
        if self.recipe.vocabulary is not None:
            return read_tokenizer(self.recipe.vocabulary)
        drawn = islice(self.recipe.stream(), TOKENIZER_SAMPLES)
        return build_tokenizer(sample.prompt + sample.target for sample in drawn)

    def _new_optimisers(self) -> None:
        inside = [p for n, p in self.model.named_parameters() if p.ndim == 2 and ".layers." in n]
        chosen = {id(p) for p in inside}
        outside = [p for p in self.model.parameters() if id(p) not in chosen]
        self.muon = Muon(inside)
        self.adam = torch.optim.AdamW(outside, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0)

    def _batches(self, seen: int = 0) -> Batches:
        end, pad = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        backend = self.tokenizer.backend_tokenizer
        stream = islice(self.recipe.stream(), seen, None)
        return Batches(stream, lambda text: list(backend.encode(text).ids), end, pad)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.recipe.precision == "float32":
            return nullcontext()
        return torch.autocast("cpu", torch.bfloat16)

    def loss(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Return the summed cross-entropy of the learnt tokens; both arguments [rows, width]."""
        learnt = labels[:, 1:] != IGNORED
        with self._autocast():
            hidden = self.model.model(input_ids=tokens, use_cache=False).last_hidden_state
            logits = self.model.lm_head(hidden[:, :-1][learnt])  # [learnt tokens, vocabulary]
        return torch.nn.functional.cross_entropy(
            logits.float(), labels[:, 1:][learnt], reduction="sum"
        )

    def advance(self) -> float:
        """Do one step and return its mean loss per learnt token."""
        if self.step == self.recipe.steps:
            self._new_optimisers()
        groups = self.batches.draw(self.recipe.samples)
        learnt = sum(int((labels[:, 1:] != IGNORED).sum()) for _, labels in groups)
        total = 0.0
        for tokens, labels in groups:
            loss = self.loss(tokens, labels) / learnt
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
            self.tokens += int((tokens != self.tokenizer.pad_token_id).sum())
        torch.nn.utils.clip_grad_norm_(self.adam.param_groups[0]["params"], 1.0)
        factor = self.recipe.rate(self.step)
        self.adam.param_groups[0]["lr"] = factor * self.recipe.adam_rate
        self.adam.step()
        self.adam.zero_grad()
        self.muon.step(factor * self.recipe.muon_rate)
        self.step += 1
        return total

    def save(self, path: Path) -> None:
        """Write the state of training, whole or not at all."""
        state = {
            "step": self.step,
            "tokens": self.tokens,
            "model": self.model.state_dict(),
            "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(),
        }
        aside = path.with_name(path.name + ".part")
        torch.save(state, aside)
        aside.replace(path)

    def resume(self, path: Path) -> None:
        """Read a saved state and draw the data up to its step again."""
        state = torch.load(path, weights_only=True)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.tokens = state["tokens"]
        self.batches = self._batches(seen=self.step * self.recipe.samples)


def export(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write an ordinary Hugging Face folder; files of other names in it are left alone."""
    aside = out.with_name(out.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    (aside / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(aside.iterdir()):
        file.replace(out / file.name)
    aside.rmdir()


def _progress(trainer: Trainer, every: int) -> Iterator[str]:
    """Advance to the last step, yielding one line every so many steps."""
    started, tokens, losses = time.monotonic(), trainer.tokens, list[float]()
    while trainer.step < trainer.recipe.total:
        losses.append(trainer.advance())
        if trainer.step % every == 0 or trainer.step == trainer.recipe.total:
            record = {
                "step": trainer.step,
                "tokens": trainer.tokens,
                "loss": round(sum(losses) / len(losses), 4),
                "tokens_per_second": round(
                    (trainer.tokens - tokens) / (time.monotonic() - started)
                ),
            }
            yield json.dumps(record)
            started, tokens, losses = time.monotonic(), trainer.tokens, []


def train(
    out: Path, recipe: Recipe | None = None, *, threads: int = 1, checkpoint_every: int = 250
) -> None:
    """Train abacus and write it to `out`; a checkpoint beside it is resumed.

    Raises:
        SsgrError: the precision is unknown.
    """
    recipe = recipe or Recipe()
    if recipe.precision not in ("bfloat16", "float32"):
        raise SsgrError(f"precision {recipe.precision!r}: expected bfloat16 or float32")
    torch.set_num_threads(threads)
    trainer = Trainer(recipe)
    checkpoint = out.with_name(out.name + ".training.pt")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        trainer.resume(checkpoint)
        print(f"resumed {checkpoint} at step {trainer.step}", flush=True)
    for line in _progress(trainer, every=25):
        print(line, flush=True)
        if trainer.step % checkpoint_every == 0:
            trainer.save(checkpoint)
    trainer.model.to(recipe.stored)  # type: ignore[arg-type]
    export(trainer.model, trainer.tokenizer, out)
    checkpoint.unlink(missing_ok=True)
