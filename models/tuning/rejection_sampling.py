"""Rejection sampling: the policy learns from the best of its own completions (Touvron et al. 2023, "Llama 2", section 3.2.3).

An iteration:
1. sample K completions of each prompt from the policy;
2. score them: a prompt's winner is the best one of this and all iterations before (from the last one alone, they found, the policy forgets);
3. supervised fine-tuning of the policy on the winners.

A completion that was cut off at the length limit does not win. With `choose: random` a prompt's winner is any one of all that were drawn for
it, each as likely as the other: what comes of as much fine-tuning on as many of its own completions, without the choice.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.distributed.collectives import gather_rows, share_of
from models.errors import TrainingError
from models.generation.sampler import sampling_copy
from models.generation.sampling import Sample, sample_completions
from models.network.dialogue import encode_prompt
from models.network.networks import load_policy, save_policy
from models.network.precision import pick_device, round_frozen
from models.records import StepMetrics
from models.rewards.scorer import Scorer, load_scorer
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.tuning import RejectionSamplingConfig
from models.shapes import Float
from models.training.causal_lm import LearnedSequence, train_language
from models.training.checkpoints import Checkpointed, Checkpoints, Trained
from models.tuning.progress import Progress
from models.tuning.tuner import TuningTask


def tune(task: TuningTask, config: RejectionSamplingConfig) -> Iterator[StepMetrics]:
    """Writes `model/`, progress.jsonl and, with a judge, kept.json; yields the iterations."""
    policy, tokenizer = load_policy(task.base)
    scorer = load_scorer(task.reward, task.compute)
    if scorer.network is not None:
        round_frozen(scorer.network, task.compute)
    progress = Progress(tokenizer, task.validation_prompts, task.sampling, config, task.seed, task.judge)
    given = (policy, tokenizer, scorer, task.prompts, config, task.sampling, task.compute, task.seed, task.checkpoints)
    yield from train_on_winners(*given, progress=progress)
    progress.write(task.folder)
    save_policy(task.folder / "model", policy, tokenizer, learned_from=task.base, seed=task.seed)


@dataclass(frozen=True)
class Winner:
    """The completion of a prompt that stands highest of all that were drawn for it, in tokens. `rank`: what it stands highest by."""

    tokens: list[int]
    score: float
    rank: float


class Winners:
    """Prompt, by its number -> its winner so far."""

    def __init__(self) -> None:
        self.of_prompt: dict[int, Winner] = {}

    def add_drawn(self, drawn: "Drawn", ranks: Sequence[float], num_samples: int) -> None:
        """Takes of what was drawn, `num_samples` for each prompt, that which ended and ranks higher than all before it."""
        for number, (sample, rank) in enumerate(zip(drawn.samples, ranks, strict=True)):
            prompt = number // num_samples
            if drawn.ended[number] and (prompt not in self.of_prompt or rank > self.of_prompt[prompt].rank):
                self.of_prompt[prompt] = Winner(sample.tokens, drawn.scores[number].item(), rank)

    def state_dict(self) -> dict[int, dict]:
        """What a checkpoint keeps."""
        return {prompt: asdict(winner) for prompt, winner in self.of_prompt.items()}

    def load_state_dict(self, state_dict: dict[int, dict]) -> None:
        """Goes on from what a checkpoint kept."""
        self.of_prompt = {prompt: Winner(**winner) for prompt, winner in state_dict.items()}


def train_on_winners(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    scorer: Scorer,
    prompts: Sequence[str],
    config: RejectionSamplingConfig,
    sampling: SamplingConfig,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints | None = None,
    progress: Progress | None = None,
) -> Iterator[StepMetrics]:
    """Tunes the policy in place; yields one `StepMetrics` an iteration, its `loss` the mean over the steps of its fine-tuning.

    `progress` looks at the policy before iterations and at the end, and may end the tuning and choose the policy that is left. With
    `checkpoints`, it goes on from the newest one: within an iteration, from the fine-tuning's own.

    Raises TrainingError where no completion of any prompt ended by itself, and for a score that is not finite.
    """
    policy.to(pick_device(compute)).eval()
    encoded = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    learned, winners = Trained(policy), Winners()
    checkpointed = Checkpointed(checkpoints, policy=learned, winners=winners, progress=progress)
    yield from checkpointed.steps
    for iteration in range(len(checkpointed.steps), config.num_iterations):
        started = time.perf_counter()
        if progress and progress.is_due(iteration):
            progress.check(iteration, sampling_copy(policy, compute), learned)
            if progress.says_stop():
                break
        random = np.random.default_rng([seed, iteration])
        own_seed = int(random.integers(2**31))
        drawn = draw(policy, tokenizer, scorer, prompts, config, sampling, compute, own_seed)
        by_chance = random.random(len(drawn.samples))
        ranks = (drawn.scores if config.choose == "best" else by_chance).tolist()
        winners.add_drawn(drawn, ranks, config.num_samples)
        numbers = describe(drawn, winners, len(prompts))
        sequences = [
            LearnedSequence(encoded[prompt] + winner.tokens, learn_from=len(encoded[prompt]))
            for prompt, winner in sorted(winners.of_prompt.items())
        ]
        checkpointed.logger.info("iteration %d: fine-tuning on %d winners", iteration, len(sequences))
        within = checkpoints and checkpoints.within(f"iteration-{iteration}", config.sft.checkpoint_every)
        steps = list(train_language(policy, sequences, config.sft, compute, own_seed, within))
        numbers["loss"] = sum(step.values["loss"] for step in steps) / len(steps)
        numbers["update_seconds"] = time.perf_counter() - started
        yield checkpointed.add(StepMetrics(step=iteration, num_steps=config.num_iterations, values=numbers))
        if within:
            within.discard()
    if progress:
        progress.check(len(checkpointed.steps), sampling_copy(policy, compute), learned)
        progress.hand_over(learned)


@dataclass(frozen=True)
class Drawn:
    """K completions of each prompt, those of a prompt in a row."""

    samples: list[Sample]
    scores: Float[Tensor, " N"]
    ended: list[bool]


def draw(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    scorer: Scorer,
    prompts: Sequence[str],
    config: RejectionSamplingConfig,
    sampling: SamplingConfig,
    compute: Compute,
    seed: int,
) -> Drawn:
    """By the policy, as it is evaluated; one that the scorer cannot read counts as an empty one that has not ended."""
    asked = [prompt for prompt in prompts for _ in range(config.num_samples)]
    own = share_of(range(len(asked)))
    samples = gather_rows(
        sample_completions(
            sampling_copy(policy, compute),
            tokenizer,
            [asked[row] for row in own],
            numbers=own,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            batch_size=config.batch_size,
            seed=seed,
        )
    )
    texts = scorer.readable(asked, [sample.text for sample in samples])
    scores = gather_rows(scorer.score(share_of(asked), share_of(texts))).cpu()
    if not torch.isfinite(scores).all():
        raise TrainingError(
            "the reward model gives a score that is not finite; train it again with a lower reward.learning_rate, or compute.precision float32"
        )
    ended = [sample.ended and text == sample.text for sample, text in zip(samples, texts, strict=True)]
    return Drawn(samples, scores, ended)


def describe(drawn: Drawn, winners: Winners, num_prompts: int) -> dict[str, float]:
    """The numbers of an iteration: of all that was drawn, and of the winners so far. Raises TrainingError where there is none."""
    if not winners.of_prompt:
        raise TrainingError(
            f"none of {len(drawn.samples)} completions ended by itself, so that none can win: is sampling.max_new_tokens too low, or does "
            "the model end its turns with other tokens than base.end_tokens?"
        )
    won = [winner.score for winner in winners.of_prompt.values()]
    return {
        "objective/scores": drawn.scores.mean().item(),
        "objective/scores_std": drawn.scores.std(unbiased=False).item(),
        "objective/scores_of_winners": sum(won) / len(won),
        "val/end_rate": sum(drawn.ended) / len(drawn.ended),
        "val/prompts_without_winner": num_prompts - len(won),
    }
