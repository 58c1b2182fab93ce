"""What both sides tune: base, reward model and prompts of the tiny world, made by the project's own preset."""

import json
import os
from pathlib import Path

from transformers import AutoTokenizer

from benchmarks.trials import PROJECT, run_flow
from models.network.dialogue import encode_prompt
from models.records import Prompt, read_records

PLACE = PROJECT / ".bench" / "quality"
NUM_HELD_OUT = 200
PRESET = "deployments/tiny.yaml"
NOTHING_TUNED = "tuning={kind: best_of_n, n: 2}"


def make_material(seed: int) -> Path:
    """A JSON file: the folders `policy` and `reward`, and the prompts to tune on and to judge by, as texts and as tokens.

    Held out are prompts of the preset's test side. What was made before is taken from the cache in .bench/.
    """
    report = run_flow("rlhf", PRESET, [NOTHING_TUNED, f"seed={seed}"], PLACE / ".rein", os.environ)
    folders = {name: Path(report["artifacts"][name]) for name in ("sft", "reward", "prompts")}
    prompts = read_records(folders["prompts"] / "prompts.jsonl", Prompt)
    asked = [one.text for one in prompts if one.split == "train"]
    held_out = [one.text for one in prompts if one.split == "test"][:NUM_HELD_OUT]
    tokenizer = AutoTokenizer.from_pretrained(folders["sft"] / "model")
    told = {
        **{"seed": seed, "policy": str(folders["sft"] / "model"), "reward": str(folders["reward"] / "model")},
        **{"prompts": asked, "prompt_tokens": [encode_prompt(tokenizer, text) for text in asked]},
        **{"held_out": held_out, "held_out_tokens": [encode_prompt(tokenizer, text) for text in held_out]},
    }
    file = PLACE / f"{seed}.json"
    file.write_text(json.dumps(told), encoding="utf-8")
    return file
