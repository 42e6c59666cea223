"""From a problem's question to the token ids that a model is prompted with."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ssgr.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLACEHOLDER = "{question}"


def load_tokenizer(
    folder: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a model folder or hub name.

    Raises:
        ModelError: there is no tokenizer, or it cannot be read.
    """
    from transformers import AutoTokenizer

    advice = (
        "Save one next to the weights (tokenizer.json and tokenizer_config.json), for example by "
        "AutoTokenizer.from_pretrained(BASE_MODEL).save_pretrained(FOLDER)."
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, revision=revision or "main", trust_remote_code=trust_remote_code
        )
    except Exception as error:  # transformers raises half a dozen unrelated types here
        raise ModelError(f"No usable tokenizer in {folder}: {error}\n{advice}") from error
    # transformers builds an empty tokenizer from config.json alone
    if len(tokenizer) == 0 or not tokenizer("1 + 1")["input_ids"]:
        raise ModelError(f"The tokenizer of {folder} is empty: no vocabulary there. {advice}")
    return tokenizer


def render_prompt(tokenizer: "PreTrainedTokenizerBase", question: str, template: str) -> list[int]:
    """Put the question into the user turn and render it by the tokenizer's own chat template.

    ``template`` is the user turn with ``{question}`` where the question goes. It is replaced
    and not formatted: questions and templates are full of braces.

    Raises:
        ConfigError: the template has no ``{question}``.
        ModelError: the tokenizer has no chat template.
    """
    if PLACEHOLDER not in template:
        raise ConfigError(
            f"The prompt template {template!r} has no {PLACEHOLDER}: the problem would be missing."
        )
    if not tokenizer.chat_template:
        raise ModelError(
            f"The tokenizer of {tokenizer.name_or_path!r} has no chat template, so its prompt "
            "format is unknown. Put a chat_template.jinja beside the tokenizer; for plain text it "
            "is one line: {% for m in messages %}{{ m['content'] }}{% endfor %}"
        )
    turn = {"role": "user", "content": template.replace(PLACEHOLDER, question)}
    text = tokenizer.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    # the template writes all special tokens itself
    return list(tokenizer(str(text), add_special_tokens=False)["input_ids"])


def plain_text_codec(
    tokenizer: "PreTrainedTokenizerBase",
) -> tuple[Callable[[str], list[int]], Callable[[list[int]], str], int]:
    """Return encode and decode for text without chat markup, and the end-of-text token's id.

    Raises:
        ModelError: the tokenizer has no end-of-text token.
    """
    if tokenizer.eos_token_id is None:
        raise ModelError(f"the tokenizer of {tokenizer.name_or_path} names no eos_token")

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    def decode(token_ids: list[int]) -> str:
        return str(tokenizer.decode(token_ids))

    return encode, decode, int(tokenizer.eos_token_id)
