"""PPO on `score - beta * KL`, as in Ziegler et al. 2019, Stiennon et al. 2020 and Ouyang et al. 2022.

An update:
1. sample a completion for each prompt of the batch from the policy;
2. score it, and take log-probabilities of policy and (frozen) reference and values, all without gradient: a `Rollout`;
3. shaped rewards, advantages and returns, once (`Targets`);
4. for some epochs, in random minibatches: clipped policy loss and clipped value loss, one optimizer step each;
5. move the KL coefficient, keep a checkpoint when one is due, yield the update's numbers.

The third step and the losses of the fourth are PPO's own; the rest is what all online tuners do (models/tuning/online/loop.py).
"""

from collections.abc import Iterator, Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.records import StepMetrics
from models.rewards.scorer import Scorer
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.tuning import PPOConfig
from models.training.checkpoints import Checkpoints
from models.tuning.online.loop import Lesson, train_online
from models.tuning.online.optimizer import Critic
from models.tuning.online.rollout import Rollout
from models.tuning.online.values import CriticNetwork
from models.tuning.ppo.minibatch import describe_returns, learn_minibatch, learning_targets
from models.tuning.progress import Progress


def train_ppo(
    policy: PreTrainedModel,
    value_model: CriticNetwork,
    tokenizer: PreTrainedTokenizerBase,
    scorer: Scorer,
    prompts: Sequence[str],
    config: PPOConfig,
    sampling: SamplingConfig,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints | None = None,
    ptx_texts: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Iterator[StepMetrics]:
    """Tunes the policy and the value model in place; yields one `StepMetrics` per update. What is handed in, and errors: `train_online`."""

    def lesson_of(rollout: Rollout, kl_coef: float) -> Lesson[PPOConfig]:
        targets = learning_targets(rollout, kl_coef, config)

        def learn(rows: list[int], config: PPOConfig) -> tuple[dict[str, float], float]:
            given = (policy, value_model, rollout, targets, rows)
            return learn_minibatch(*given, config, sampling.temperature, compute)

        return Lesson(learn, describe_returns(rollout, targets))

    lora = config.lora if config.value_model == "own" and config.lora and config.lora.value_model else None
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
        critic=Critic(value_model, config.value_learning_rate, config.value_warmup_updates, lora),
        checkpoints=checkpoints,
        ptx_texts=ptx_texts,
        progress=progress,
    )
