"""Two kinds of turn of `models.tuning.ppo.loop.train_ppo`, one after the other: completions of held-out prompts, and an update, which is timed."""

import json
from pathlib import Path

from benchmarks.own.ppo import start_training
from benchmarks.worker import Worker
from models.generation.sampling import sample_completions
from models.network.networks import RewardModel, load_policy
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.scoring.shaping import FixedKL, MissingEnd
from models.settings.tuning import PPOConfig

SAMPLING = SamplingConfig(max_new_tokens=24)


def main() -> None:
    """Completes, learns, completes, … until there are no more turns."""
    worker = Worker()
    settings = worker.settings
    given = json.loads(Path(settings["material"]).read_text(encoding="utf-8"))
    policy, tokenizer = load_policy(Path(given["policy"]))
    reward_model, _ = RewardModel.load(Path(given["reward"]))
    config = PPOConfig(
        num_updates=settings["num_updates"],
        num_epochs=settings["num_epochs"],
        num_minibatches=settings["num_minibatches"],
        value_model=settings.get("value_model", "own"),
        learning_rate=settings["learning_rate"],
        value_learning_rate=settings["learning_rate"],
        missing_end=MissingEnd(kind="penalty", score=-1.5),
        kl=FixedKL(coef=0.03),
    )
    compute = Compute(device="cpu", precision=settings["precision"])
    steps = start_training(policy, reward_model, tokenizer, given["prompts"], config, SAMPLING, compute, given["seed"])
    how = {"max_new_tokens": SAMPLING.max_new_tokens, "temperature": 1.0, "batch_size": 200, "seed": 1}
    while True:
        worker.wait_for_turn()
        texts = sample_completions(policy, tokenizer, settings["num_samples"] * given["held_out"], **how)
        worker.report(amount=1, completions=[one.text for one in texts])
        worker.wait_for_turn()
        next(steps)
        worker.report(amount=1)


if __name__ == "__main__":
    main()
