"""From a problem's question to the token ids that a model is prompted with.

Every engine gets token ids from here, rendered by the model's own chat template: what a template
writes by itself (the begin-of-text token, an opened ``<think>``, an empty think block) stands once.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from ssgr.config import Model
from ssgr.errors import ConfigError, ModelError
from ssgr.sampling.tokenizer import begin_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLACEHOLDER = "{question}"
NO_THINKING = {"enable_thinking": False}
"""The switch of Qwen3 and of those after it; a template that does not know it ignores it."""


@dataclass(frozen=True)
class PromptFormat:
    """How a question is put to a model; the fields of `ssgr.config.Model` say more.

    ``template`` is the user turn with ``{question}`` in it, ``system`` the turn before it,
    ``switches`` go to the chat template. Without ``chat`` there are no turns, only text.
    """

    template: str
    system: str | None = None
    chat: bool = True
    switches: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(model: Model) -> "PromptFormat":
        """Return the format of a registry entry."""
        return PromptFormat(model.prompt, model.system, model.chat, model.chat_template_kwargs)


def render_prompt(
    tokenizer: "PreTrainedTokenizerBase", question: str, template: str | PromptFormat
) -> list[int]:
    """Return the token ids of a question's prompt; see `prompt_text`.

    Args:
        tokenizer: the model's own.
        question: the problem.
        template: how it is put; a text alone is the user turn.
    """
    form = PromptFormat(template) if isinstance(template, str) else template
    return prompt_token_ids(tokenizer, prompt_text(tokenizer, question, form), form)


def prompt_text(tokenizer: "PreTrainedTokenizerBase", question: str, form: PromptFormat) -> str:
    """Put the question into the user turn and render it by the tokenizer's own chat template.

    The question is replaced and not formatted: questions and templates are full of braces.

    Raises:
        ConfigError: the template has no ``{question}``, or the chat template knows no such switch.
        ModelError: the tokenizer has no chat template, or it does not take the turns.
    """
    if PLACEHOLDER not in form.template:
        raise ConfigError(
            f"The prompt template {form.template!r} has no {PLACEHOLDER}: the problem would be "
            "missing."
        )
    user = form.template.replace(PLACEHOLDER, question)
    if not form.chat:
        return user
    if not tokenizer.chat_template:
        raise ModelError(
            f"The tokenizer of {tokenizer.name_or_path!r} has no chat template, so its prompt "
            "format is unknown. Put a chat_template.jinja beside the tokenizer; for a base model, "
            "whose prompt is plain text, say `chat: false` in the model's entry."
        )
    for name in form.switches:
        if not knows_switch(tokenizer, name):
            raise ConfigError(
                f"The chat template of {tokenizer.name_or_path!r} knows no switch {name!r}, so "
                "chat_template_kwargs would change nothing: correct the name or leave it out."
            )
    return _rendered(tokenizer, user, form)


def _rendered(tokenizer: "PreTrainedTokenizerBase", user: str, form: PromptFormat) -> str:
    system = [] if form.system is None else [{"role": "system", "content": form.system}]
    turns = [*system, {"role": "user", "content": user}]
    where = f"The chat template of {tokenizer.name_or_path!r}"
    try:
        text = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=False, **form.switches
        )
    except TemplateError as error:
        raise ModelError(f"{where} refuses the turns of the prompt: {error}") from error
    if form.system and form.system.strip() not in str(text):
        raise ModelError(
            f"{where} leaves the system prompt out: put it into the model's `prompt` instead"
        )
    return str(text)


def prompt_token_ids(
    tokenizer: "PreTrainedTokenizerBase", text: str, form: PromptFormat
) -> list[int]:
    """Return the token ids of a prompt's text.

    A chat template writes all special tokens itself; plain text gets the tokenizer's own before
    it (begin of text), and never an end.
    """
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return ids if form.chat else with_begin(begin_ids(tokenizer), ids)


def knows_switch(tokenizer: "PreTrainedTokenizerBase", name: str) -> bool:
    """Return whether the chat template names a switch."""
    return bool(re.search(rf"\b{re.escape(name)}\b", tokenizer.get_chat_template()))


def opens_thinking(prompt: str, think_open: str) -> bool:
    """Return whether a prompt ends in the opening tag, so that the response begins after it.

    R1-Distill's does since February 2025; Qwen3's leaves the tag to the model.
    """
    return bool(think_open) and prompt.rstrip().endswith(think_open)


def prompt_text_without_thinking(
    tokenizer: "PreTrainedTokenizerBase", question: str, model: Model
) -> str:
    """Return the prompt after which the model answers at once.

    By the template's switch if it has one (Qwen3's then writes an empty think block). A tag that
    is opened nevertheless is taken back, as R1-Distill's template does in the turns of a
    conversation that are over. Any other prompt is as ever.

    Raises:
        ConfigError, ModelError: see `prompt_text`.
    """
    form = PromptFormat.of(model)
    off = model.no_thinking_kwargs
    if off is None and form.chat and tokenizer.chat_template:
        off = {name: value for name, value in NO_THINKING.items() if knows_switch(tokenizer, name)}
    switches = {**form.switches, **(off or {})}
    text = prompt_text(
        tokenizer, question, PromptFormat(form.template, form.system, form.chat, switches)
    )
    if opens_thinking(text, model.think_open):
        return text.rstrip().removesuffix(model.think_open)
    return text


@dataclass(frozen=True)
class PlainText:
    """How text without chat markup is encoded.

    ``begin`` is what the tokenizer puts before a text (begin of text, for many), ``end`` its
    end-of-text token; `encode` adds neither.
    """

    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    begin: list[int]
    end: int

    @staticmethod
    def of(tokenizer: "PreTrainedTokenizerBase") -> "PlainText":
        """Return how a tokenizer does it.

        Raises:
            ModelError: it has no end-of-text token.
        """
        if tokenizer.eos_token_id is None:
            raise ModelError(f"the tokenizer of {tokenizer.name_or_path} names no eos_token")

        def encode(text: str) -> list[int]:
            return list(tokenizer.encode(text, add_special_tokens=False))

        def decode(token_ids: list[int]) -> str:
            return str(tokenizer.decode(token_ids))

        return PlainText(encode, decode, begin_ids(tokenizer), int(tokenizer.eos_token_id))


def with_begin(begin: Sequence[int], token_ids: Sequence[int]) -> list[int]:
    """Return a text's tokens with the tokenizer's own in front, which stand there once."""
    there = list(token_ids[: len(begin)]) == list(begin)
    return [*([] if there else begin), *token_ids]
