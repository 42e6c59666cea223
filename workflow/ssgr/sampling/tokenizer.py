"""The one place where a model's tokenizer is loaded, and held against its own file.

transformers decides by the names in a folder's configuration which class reads its tokenizer, and
many versions decide wrongly: up to 5.21.1 a byte-level tokenizer that calls itself Llama's loses
every space and newline when it is read from a folder, and none when it is read by its hub id.
Nothing warns. So what the loaded tokenizer makes of a probe text must be what the library
`tokenizers` makes of it by the folder's own `tokenizer.json`.
"""

import json
import sys
from collections.abc import Callable, Sequence
from hashlib import blake2b
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ssgr.config import Model
from ssgr.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

FILE = "tokenizer.json"
PROBE = (
    "Tom has 3 apples and 12,345 pears.\nHow many  fruits has he?\n\n",
    "  indented,\tby a tab\r\n",
    "caf\u00e9 cafe\u0301 \u20ac \u4e2d\u6587 \u03a9 \U0001f642",
    "\\boxed{\\frac{1}{2}} + x^{2} \\cdot \\sqrt{3} = 0.75, isn't it?",
    "<think>\nWait, 17 * 4 = 68.\n</think>\n\nThe answer is 68.",
)
"""What every tokenizer is tried with: spaces, newlines, digits, letters of several kinds, tags."""
SHORT = "1 + 1"
ADVICE = (
    "Save one next to the weights (tokenizer.json and tokenizer_config.json), for example by "
    "AutoTokenizer.from_pretrained(BASE_MODEL).save_pretrained(FOLDER)."
)
Ids = list[int] | None


def load_tokenizer(
    folder: str,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    tags: Sequence[str] = (),
) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a model folder or hub name, and check how it reads text.

    Where transformers reads it otherwise than its ``tokenizer.json``, that file is read without
    transformers' own ideas, which is said on stderr. A folder without the file (a sentencepiece
    model alone) has nothing to compare.

    Args:
        folder: model folder or hub name.
        revision: commit or tag of a hub name.
        trust_remote_code: run Python code that the folder brings.
        tags: more texts that must be read rightly: the think tags of the model.

    Raises:
        ModelError: there is no tokenizer, it cannot be read, or it is read otherwise than its file.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    revision = revision or "main"
    loaded = _read(AutoTokenizer, folder, revision, trust_remote_code)
    raw = _own_file(folder, revision)
    texts = [*PROBE, *(f"{tag}\nSo x = 1.\n{tag}" for tag in tags if tag)]
    if raw is None or _first_difference(loaded, raw, texts) is None:
        return loaded
    if type(loaded).__module__.startswith("transformers."):  # else the folder's own Python code
        loaded = _read(PreTrainedTokenizerFast, folder, revision, trust_remote_code)
    if text := _first_difference(loaded, raw, texts):
        raise ModelError(
            f"{_versions()} read the tokenizer of {folder} ({type(loaded).__name__}) otherwise "
            f"than its own {FILE} says: {text!r} becomes {_encoded(loaded, text)}, and "
            f"{_of_file(raw, text)} by the file. Prompts would not be what the model was trained "
            "on: install another version of transformers (5.22 or later), or correct the "
            "tokenizer's files."
        )
    print(
        f"{folder}: {_versions()} read its tokenizer otherwise than its own {FILE}; the file "
        "counts, and is read directly.",
        file=sys.stderr,
    )
    return loaded


def tokenizer_of(model: Model, checkpoint: str | None = None) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a registry entry, or of a checkpoint's folder in its place.

    Raises:
        ModelError: see `load_tokenizer`.
    """
    return load_tokenizer(
        checkpoint or model.location,
        revision=None if checkpoint else model.revision,
        trust_remote_code=model.trust_remote_code,
        tags=(model.think_open, model.think_close),
    )


def _read(
    reader: Any, folder: str, revision: str, trust_remote_code: bool
) -> "PreTrainedTokenizerBase":
    try:
        tokenizer: PreTrainedTokenizerBase = reader.from_pretrained(
            folder, revision=revision, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # transformers raises half a dozen unrelated types here
        raise ModelError(f"No usable tokenizer in {folder}: {error}\n{ADVICE}") from error
    # transformers builds an empty tokenizer from config.json alone
    if len(tokenizer) == 0 or _encoded(tokenizer, SHORT) == []:
        raise ModelError(f"The tokenizer of {folder} is empty: no vocabulary there. {ADVICE}")
    return tokenizer


def _own_file(folder: str, revision: str) -> "Tokenizer | None":
    """The tokenizer of the folder's file by the library that the file belongs to."""
    from tokenizers import Tokenizer
    from transformers.utils.hub import cached_file

    try:
        path = cached_file(folder, FILE, revision=revision)
    except OSError:  # there is no such file: transformers has just looked at the same place
        return None
    raw = Tokenizer.from_file(str(path))
    raw.no_truncation()
    raw.no_padding()
    return raw


def _first_difference(
    loaded: "PreTrainedTokenizerBase", raw: "Tokenizer", texts: Sequence[str]
) -> str | None:
    return next((text for text in texts if _encoded(loaded, text) != _of_file(raw, text)), None)


def _encoded(tokenizer: "PreTrainedTokenizerBase", text: str) -> Ids:
    """The ids of a text without special tokens; None if the tokenizer has none for it."""
    try:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    except Exception:  # the libraries raise the bare class, for a letter without a token
        return None


def _of_file(raw: "Tokenizer", text: str) -> Ids:
    try:
        return list(raw.encode(text, add_special_tokens=False).ids)
    except Exception:  # as above
        return None


def _versions() -> str:
    return f"transformers {version('transformers')} with tokenizers {version('tokenizers')}"


def begin_ids(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Return what the tokenizer puts before a text of its own accord: a begin token, or nothing.

    Raises:
        ModelError: it changes the text's own tokens when it adds some.
    """
    bare = list(tokenizer(SHORT, add_special_tokens=False)["input_ids"])
    whole = list(tokenizer(SHORT)["input_ids"])
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start]
    raise ModelError(
        f"The tokenizer of {tokenizer.name_or_path!r} makes {bare} of {SHORT!r}, and {whole} with "
        "its special tokens: expected the same tokens, with others before or after them."
    )


def encoding_digest(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return a digest of how a tokenizer encodes: a probe text, what it adds in front, its end.

    Equal for the same files, wherever they lie and whatever is installed; otherwise token ids of
    one are not to be used with the other.
    """
    facts = [
        [_encoded(tokenizer, text) for text in PROBE],
        begin_ids(tokenizer),
        tokenizer.eos_token_id,
    ]
    return blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()


def text_decoder(
    tokenizer: "PreTrainedTokenizerBase", tags: Sequence[str]
) -> Callable[[Sequence[int]], str]:
    """Return what decodes a response: without special tokens, but for those of its ``tags``.

    A tag may be a special token (``[THINK]``) or be made of several and of text between them
    (``<|channel|>analysis<|message|>``); each occurrence of the whole stays.
    """
    special = {int(i) for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    special |= set(tokenizer.all_special_ids)
    encoded = [_encoded(tokenizer, tag) or [] for tag in tags if tag]
    kept = [tag for tag in encoded if special.intersection(tag)]

    def decode(ids: Sequence[int]) -> str:
        if not kept:
            return _decoded(tokenizer, list(ids), skip=True)
        inside = {
            at
            for tag in kept
            for start, token in enumerate(ids)
            if token == tag[0] and list(ids[start : start + len(tag)]) == tag
            for at in range(start, start + len(tag))
        }
        left = [token for at, token in enumerate(ids) if at in inside or token not in special]
        return _decoded(tokenizer, left, skip=False)

    return decode


def _decoded(tokenizer: "PreTrainedTokenizerBase", ids: list[int], *, skip: bool) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False))
