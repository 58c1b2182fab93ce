"""A critic-free way of tuning from folders to a folder: what a kind brings is the loss that a rollout teaches."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.network.networks import load_policy
from models.network.precision import round_frozen
from models.records import StepMetrics
from models.rewards.scorer import Scorer, load_scorer
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.tuning import CriticFree
from models.training.checkpoints import Checkpoints
from models.tuning.critic_free.minibatch import Losses, learn_minibatch, tied_share
from models.tuning.online.loop import Lesson, train_online
from models.tuning.online.rollout import Rollout
from models.tuning.online.save import save_tuned
from models.tuning.progress import Progress
from models.tuning.tuner import TuningTask

Config = TypeVar("Config", bound=CriticFree)
LossesOf = Callable[[Rollout, float, Config, SamplingConfig], Losses]
"""From a rollout, the KL coefficient and the settings to the losses of its completions."""


def tune_without_critic(task: TuningTask, config: Config, losses_of: LossesOf[Config]) -> Iterator[StepMetrics]:
    """Writes what `save_tuned` says; yields the updates."""
    policy, tokenizer = load_policy(task.base)
    scorer = load_scorer(task.reward, task.compute)
    if scorer.network is not None:
        round_frozen(scorer.network, task.compute)
    progress = Progress(tokenizer, task.validation_prompts, task.sampling, config, task.seed, task.judge)
    yield from train_without_critic(
        policy,
        tokenizer,
        scorer,
        task.prompts,
        config,
        task.sampling,
        task.compute,
        task.seed,
        losses_of,
        checkpoints=task.checkpoints,
        ptx_texts=task.texts,
        progress=progress,
    )
    save_tuned(task, config, policy, tokenizer, progress)


def train_without_critic(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    scorer: Scorer,
    prompts: Sequence[str],
    config: Config,
    sampling: SamplingConfig,
    compute: Compute,
    seed: int,
    losses_of: LossesOf[Config],
    checkpoints: Checkpoints | None = None,
    ptx_texts: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Iterator[StepMetrics]:
    """Tunes the policy in place; yields one `StepMetrics` per update. What is handed in, and errors: `train_online`."""

    def lesson_of(rollout: Rollout, kl_coef: float) -> Lesson[Config]:
        losses = losses_of(rollout, kl_coef, config, sampling)

        def learn(rows: list[int], config: Config) -> tuple[dict[str, float], float]:
            return learn_minibatch(policy, rollout, rows, losses, config, sampling.temperature, compute)

        return Lesson(learn, {"objective/tied_prompts": tied_share(rollout.scores, config.num_samples)})

    yield from train_online(
        policy,
        tokenizer,
        scorer,
        prompts,
        config,
        sampling,
        compute,
        seed,
        lesson_of,
        num_samples=config.num_samples,
        checkpoints=checkpoints,
        ptx_texts=ptx_texts,
        progress=progress,
    )
