"""Tiny tokenizers as models come with them: byte-level in the style of Llama 3, and others."""

import json
import string
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from tiny_language import CHAT_TEMPLATE, tiny_model

TEXT = ["A train leaves at 9 and arrives at 14:30.\n\nHow long is the journey, in hours?\n"] * 4
SPLIT = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BEGIN, END = "<|begin|>", "<|stop|>"
TAGS = ("<think>", "</think>")


def byte_level(vocabulary: int = 300) -> Tokenizer:
    """As Llama 3's: bytes, after a split into words, digits by three and runs of spaces."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def sentencepiece_like() -> Tokenizer:
    """As Llama 2's: a space before every piece of text, spaces as a letter of their own."""
    letters = ["<unk>", *(f"<0x{value:02X}>" for value in range(256)), "\u2581", *string.printable]
    vocabulary = {letter: at for at, letter in enumerate(letters)}
    model = models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def save(
    folder: Path,
    tokenizer: Tokenizer | None = None,
    *,
    begins: bool = True,
    special: tuple[str, ...] = (),
    plain: tuple[str, ...] = TAGS,
    **config: Any,
) -> Path:
    """Write a tokenizer that calls itself Llama's, as DeepSeek-R1-Distill-Llama's does.

    ``special`` and ``plain`` are added tokens of either kind; ``begins``: a begin token is put
    before each text.
    """
    tokenizer = tokenizer or byte_level()
    ends = [AddedToken(token, special=True) for token in (BEGIN, END, *special)]
    tokenizer.add_special_tokens(ends)
    tokenizer.add_tokens([AddedToken(token, special=False) for token in plain])
    if begins:
        begin = (BEGIN, tokenizer.token_to_id(BEGIN))
        tokenizer.post_processor = TemplateProcessing(f"{BEGIN} $A", special_tokens=[begin])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    said = {
        "tokenizer_class": "LlamaTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "legacy": True,
        "clean_up_tokenization_spaces": False,
        "chat_template": "{{ bos_token }}" + CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(said | config))
    if not (folder / "config.json").exists():
        (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return folder


def save_model(folder: Path, **how: Any) -> Path:
    """Write a random Llama beside such a tokenizer."""
    save(folder, **how)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    end = tokenizer.token_to_id(END)
    tiny_model("llama", vocab_size=tokenizer.get_vocab_size(), eos_token_id=end).save_pretrained(
        folder
    )
    return folder
