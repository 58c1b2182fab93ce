"""Completions of a set of prompts by `model.generate` of transformers, per turn, batch by batch."""

from itertools import count

import torch

from benchmarks.scenario import BATCH_SIZE, END_PROBABILITY, MAX_NEW_TOKENS, PAD, build_policy, build_prompts
from benchmarks.worker import Worker


def main() -> None:
    """Completions of all prompts, once per turn, another seed each time."""
    worker = Worker()
    model = build_policy(END_PROBABILITY if worker.settings["ends"] else 0.0)
    model.to(getattr(torch, worker.settings["precision"]))
    prompts = torch.tensor(build_prompts(worker.settings["num_prompts"]))
    for seed in count():
        worker.wait_for_turn()
        torch.manual_seed(seed)
        num_tokens = 0
        for input_ids in prompts.split(BATCH_SIZE):
            tokens = model.generate(
                input_ids,
                attention_mask=torch.ones_like(input_ids),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=MAX_NEW_TOKENS,
            )
            num_tokens += (tokens[:, input_ids.shape[1] :] != PAD).sum().item()
        worker.report(amount=num_tokens, mean_length=num_tokens / len(prompts))


if __name__ == "__main__":
    main()
