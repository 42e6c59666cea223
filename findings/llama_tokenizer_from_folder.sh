#!/usr/bin/env bash
# transformers, up to 5.21.1: a byte-level tokenizer.json in a folder whose tokenizer_config.json
# says LlamaTokenizerFast (as DeepSeek-R1-Distill-Llama's do) is read without spaces and newlines.
# By the library tokenizers, and by transformers 5.22.0, the same file is read with them. There is
# no error and no warning.
#
# Needs python3 and a package index. Exits 0 as long as both versions do as described.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/read.py" <<'PYTHON'
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, __version__

model = Path(sys.argv[1]) / "model"
model.mkdir(exist_ok=True)
own = Tokenizer(models.BPE())
own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
own.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False)
own.train_from_iterator(["two and two"], trainer)
own.save(str(model / "tokenizer.json"))
(model / "config.json").write_text(json.dumps({"model_type": "llama"}))
(model / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizerFast"}))

text = "two and\ntwo"
by_file = own.encode(text).ids
loaded = AutoTokenizer.from_pretrained(model)
by_transformers = loaded(text, add_special_tokens=False)["input_ids"]
print(f"transformers {__version__}: {type(loaded).__name__}")
print("  tokenizers  :", own.encode(text).tokens)
print("  transformers:", loaded.convert_ids_to_tokens(by_transformers))
sys.exit(0 if (by_file == by_transformers) == (sys.argv[2] == "alike") else 1)
PYTHON

try() { # VERSION alike|unlike
  python3 -m venv "$folder/$1"
  "$folder/$1/bin/pip" install --quiet "transformers==$1" tokenizers==0.23.3
  HF_HUB_OFFLINE=1 "$folder/$1/bin/python" "$folder/read.py" "$folder" "$2" 2> "$folder/$1.log" || {
    cat "$folder/$1.log" >&2
    echo "transformers $1 no longer reads the folder as described" >&2
    exit 1
  }
}

try 5.21.1 unlike
try 5.22.0 alike
