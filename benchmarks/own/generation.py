"""Completions of a set of prompts by our decode loop, per turn."""

from itertools import count

import torch

from benchmarks.scenario import (
    BATCH_SIZE,
    END_PROBABILITY,
    MAX_NEW_TOKENS,
    build_policy,
    build_prompts,
)
from benchmarks.worker import Worker
from models.generation.sampling import sample_tokens


def main() -> None:
    """Completions of all prompts, once per turn, another seed each time."""
    worker = Worker()
    model = build_policy(END_PROBABILITY if worker.settings["ends"] else 0.0)
    model.to(getattr(torch, worker.settings["precision"]))
    prompts = build_prompts(worker.settings["num_prompts"])
    for seed in count():
        worker.wait_for_turn()
        rows = sample_tokens(
            model,
            prompts,
            max_new_tokens=MAX_NEW_TOKENS,
            temperature=1.0,
            top_p=1.0,
            batch_size=BATCH_SIZE,
            seed=seed,
        )
        num_tokens = sum(len(row.tokens) for row in rows)
        worker.report(amount=num_tokens, mean_length=num_tokens / len(rows))


if __name__ == "__main__":
    main()
