"""Tiny models in the style of R1-Distill, Qwen3 and Llama: template, markers, begin and end."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from tiny_language import tiny_model

TEMPLATES = Path(__file__).parent / "templates"
TAGS = ("<think>", "</think>")


@dataclass(frozen=True)
class Family:
    """``begin`` is written by the template and, once more, by the tokenizer of its own accord."""

    template: str
    begin: str | None
    end: str
    markers: Sequence[str]

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """One token a character, one for each marker and tag; ids differ from family to family."""
        special = [token for token in (self.end, self.begin, *self.markers, "<unk>") if token]
        vocabulary = {token: i for i, token in enumerate([*special, *string.printable])}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
        tokenizer.add_tokens([AddedToken(tag, special=False) for tag in TAGS])
        if self.begin:
            tokenizer.post_processor = TemplateProcessing(
                single=f"{self.begin} $A", special_tokens=[(self.begin, vocabulary[self.begin])]
            )
        template = (TEMPLATES / self.template).read_text() if self.template else None
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token=self.begin, eos_token=self.end,
            unk_token="<unk>", chat_template=template,
        )  # fmt: skip

    def save(self, folder: Path, **changes: Any) -> Path:
        """Write a random model that speaks it."""
        tokenizer = self.tokenizer()
        tiny_model(
            "llama", vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **changes
        ).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder


R1_MARKERS = ("<|User|>", "<|Assistant|>")
R1_ENDS = ("<|begin_of_sentence|>", "<|end_of_sentence|>")
LLAMA_MARKERS = ("<|start_header_id|>", "<|end_header_id|>")
FAMILIES = {
    "r1-distill": Family("r1-distill.jinja", *R1_ENDS, R1_MARKERS),
    "r1-distill-early": Family("r1-distill-early.jinja", *R1_ENDS, R1_MARKERS),
    "qwen3": Family("qwen3.jinja", None, "<|im_end|>", ("<|im_start|>",)),
    "llama3": Family("llama3.jinja", "<|begin_of_text|>", "<|eot_id|>", LLAMA_MARKERS),
    "base": Family("", "<|begin_of_text|>", "<|end_of_text|>", ()),
}
