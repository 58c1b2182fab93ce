"""Run by a Python with an older transformers: reads each model folder below the one named, and writes what it finds there beside it."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

TEXT = "How are you?  Fine, <|tool|> thanks.\n"
TURNS = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Fine"}]


def read(folder: Path) -> dict:
    """Log-probabilities or logits of the tokens in ids.json, and the tokens of a text and of a conversation."""
    ids = torch.tensor([json.loads((folder.parent / "ids.json").read_text())])
    scores = "ForSequenceClassification" in (folder / "config.json").read_text()
    kind = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        logits = model(ids).logits
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return {
        "given": tokenizer(TEXT).data,
        "special": tokenizer.all_special_tokens,
        "turns": tokenizer.apply_chat_template(TURNS, tokenize=False),
        "ends": None if scores else model.generation_config.eos_token_id,
        "numbers": logits if scores else logits.log_softmax(-1),
    }


if __name__ == "__main__":
    for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
        try:
            found = read(folder)
            save_file({"numbers": found.pop("numbers").contiguous()}, folder / "older.safetensors")
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        (folder / "older.json").write_text(json.dumps(found))
