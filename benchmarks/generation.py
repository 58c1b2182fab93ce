"""Completions a second: our decode loop against `model.generate`, on the same model and prompts, in turns in one process.

    .venv/bin/python benchmarks/generation.py --threads 2

The model is a Llama with random weights (hidden size 256, 6 layers, vocabulary 8192) and a bias on its end token: `natural` ends
completions after a third of the limit on average, `full` never. `natural_waiting` has twice as many prompts as the batch has rows;
`generate` takes them batch by batch. Ratios are medians over repetitions, tokens a second of ours over those of `generate`.
Writes benchmarks/results/generation.json and prints a table.
"""

import argparse
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from models.sampling import sample_tokens

PROJECT = Path(__file__).resolve().parent.parent
VOCAB_SIZE, BATCH_SIZE, PROMPT_TOKENS, MAX_NEW_TOKENS = 8192, 64, 32, 64
PAD, END = 0, 2
END_PROBABILITY = 0.05  # were all other logits 0; as they are it gives a mean length near 21, a third of the limit
CASES = {
    "natural": (END_PROBABILITY, BATCH_SIZE),
    "full": (0.0, BATCH_SIZE),
    "natural_waiting": (END_PROBABILITY, 2 * BATCH_SIZE),
}

Completions = list[list[int]]


def build_model(end_probability: float) -> LlamaForCausalLM:
    """Random weights; at each step the end token comes with about this probability, the padding token never."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=256,
            intermediate_size=768,
            num_hidden_layers=6,
            num_attention_heads=8,
            max_position_embeddings=256,
            pad_token_id=PAD,
            bos_token_id=1,
            eos_token_id=END,
        )
    )
    head = nn.Linear(256, VOCAB_SIZE)
    with torch.no_grad():
        head.weight.copy_(model.lm_head.weight)
        head.bias.zero_()
        head.bias[PAD] = -1e4
        odds = end_probability / (1 - end_probability)
        head.bias[END] = math.log(odds * VOCAB_SIZE) if odds else -1e4
    model.lm_head = head
    return model.eval()


def generate(model: LlamaForCausalLM, prompts: Completions, seed: int) -> Completions:
    """Completions by `model.generate`, with the sampling settings of `own`."""
    torch.manual_seed(seed)
    completions = []
    for start in range(0, len(prompts), BATCH_SIZE):
        input_ids = torch.tensor(prompts[start : start + BATCH_SIZE], device=model.device)
        tokens = model.generate(
            input_ids,
            attention_mask=torch.ones_like(input_ids),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=MAX_NEW_TOKENS,
        )
        completions += [[token for token in row if token != PAD] for row in tokens[:, PROMPT_TOKENS:].tolist()]
    return completions


def own(model: LlamaForCausalLM, prompts: Completions, seed: int) -> Completions:
    """Completions by our decode loop."""
    return sample_tokens(
        model,
        prompts,
        SimpleNamespace(pad_token_id=PAD, eos_token_id=END),
        max_new_tokens=MAX_NEW_TOKENS,
        temperature=1.0,
        top_p=1.0,
        batch_size=BATCH_SIZE,
        seed=seed,
    )


def timed(sampler: Callable, model: LlamaForCausalLM, prompts: Completions, seed: int) -> dict[str, float]:
    """Seconds, mean completion length and tokens a second of one call."""
    started = time.perf_counter()
    completions = sampler(model, prompts, seed)
    seconds = time.perf_counter() - started
    num_tokens = sum(map(len, completions))
    return {
        "seconds": seconds,
        "mean_length": num_tokens / len(completions),
        "tokens_per_second": num_tokens / seconds,
    }


def run_case(name: str, repetitions: int, device: str) -> dict:
    """Medians of one case; the two take turns, after one call each that is not counted."""
    end_probability, num_prompts = CASES[name]
    model = build_model(end_probability).to(device)
    generator = torch.Generator().manual_seed(1)
    prompts = torch.randint(3, VOCAB_SIZE, (num_prompts, PROMPT_TOKENS), generator=generator).tolist()
    runs: dict[str, list] = {"own": [], "generate": []}
    for seed in range(repetitions + 1):
        for sampler in (own, generate):
            runs[sampler.__name__].append(timed(sampler, model, prompts, seed))
    ratios = [
        ours["tokens_per_second"] / theirs["tokens_per_second"]
        for ours, theirs in zip(runs["own"][1:], runs["generate"][1:], strict=True)
    ]
    figures = {"case": name, "prompts": num_prompts, "ratio": statistics.median(ratios), "ratios": ratios}
    for sampler, measured in runs.items():
        for figure in measured[0]:
            figures[f"{sampler}_{figure}"] = statistics.median(one[figure] for one in measured[1:])
    return figures


def main() -> None:
    """Reads the command line, runs the cases, writes and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cases = []
    columns = ("ratio", "own_seconds", "generate_seconds", "own_mean_length", "generate_mean_length")
    print(f"{'case':20}", *(f"{name:>21}" for name in columns))
    for name in CASES:
        cases.append(run_case(name, arguments.repetitions, arguments.device))
        print(f"{name:20}", *(f"{cases[-1][column]:21.3f}" for column in columns), flush=True)
        _write(arguments, cases)


def _write(arguments: argparse.Namespace, cases: list[dict]) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True)
    result = {
        **{f"generate_{case['case']}_ratio": round(case["ratio"], 3) for case in cases},
        "batch_size": BATCH_SIZE,
        "prompt_tokens": PROMPT_TOKENS,
        "max_new_tokens": MAX_NEW_TOKENS,
        "threads": arguments.threads,
        "repetitions": arguments.repetitions,
        "device": arguments.device,
        "load_average": round(os.getloadavg()[0], 2),
        "commit": commit.stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("torch", "transformers")} | {"python": platform.python_version()},
        "cases": cases,
    }
    target = PROJECT / "benchmarks" / "results" / "generation.json"
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
