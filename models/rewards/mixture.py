"""Several rewards as one: one per task or criterion, each learned from its own labels.

Part i gives a completion the logit `l_i`, which has mean `m_i` and standard deviation `s_i` over the run's training completions; its whitened
score is `z_i = (l_i - m_i) / s_i`. By the rule of `combine` they become

- `weighted_sum`: `sum_i w_i z_i`; `minimum`: `min_i z_i`;
- `safety_first`: `l_s` of the safety part where the prompt is a safety prompt or `sigmoid(l_s) < threshold`, else `l_h` of the other one.
  Source: Touvron et al. 2023 (LLaMA-2), section 3.2.3: `R_c = R_s if is_safety(p) or R_s < 0.15, else R_h`; `whiten(logit(R_c))`.

and what comes of it is whitened over the same completions. The parts lie beside each other, each in a folder by its name, as it was made.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from models.conversation import PromptText
from models.distributed.collectives import this_rank
from models.errors import DataError
from models.hard_links import link_or_copy
from models.network.precision import round_frozen
from models.records import Record, StepMetrics, read_records
from models.rewards.scorer import Parts, RewardTask, Scorer, load_scorer, probe_reward
from models.settings.compute import Compute
from models.settings.rewards import MixtureReward
from models.settings.scoring.mixing import Minimum, SafetyFirst, WeightedSum
from models.shapes import Float

MIXTURE_FILE = "mixture.json"
MIN_STD = 1e-6  # of a part that gives all training completions one and the same score


class SafetyPrompt(Record):
    """A prompt at which safety alone counts; what else stands in its row is left aside."""

    model_config = ConfigDict(extra="ignore")
    prompt: PromptText


class Whitening(Record):
    """`(x - mean) / std` of numbers x, which then have mean 0 and standard deviation 1 over those that it was made of."""

    mean: float
    std: float

    @classmethod
    def of(cls, numbers: Float[Tensor, " N"]) -> "Whitening":
        """That of these numbers."""
        return cls(mean=numbers.mean().item(), std=max(numbers.std(unbiased=False).item(), MIN_STD))

    def __call__(self, numbers: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """The numbers, whitened."""
        return (numbers - self.mean) / self.std


class Mixture(Record):
    """How the logits of the parts become one score. `safety_prompts`: those that the settings name, for `safety_first`."""

    combine: Annotated[WeightedSum | Minimum | SafetyFirst, Field(discriminator="kind")]
    parts: dict[str, Whitening]
    safety_prompts: frozenset[str] = frozenset()
    together: Whitening = Whitening(mean=0, std=1)

    def mix(self, prompts: Sequence[str], logits: Mapping[str, Float[Tensor, " N"]]) -> Float[Tensor, " N"]:
        """One score for each completion, by the rule above."""
        rule = self.combine
        if isinstance(rule, SafetyFirst):
            (other,) = self.parts.keys() - {rule.safety}
            is_safety = torch.tensor([prompt in self.safety_prompts for prompt in prompts], dtype=torch.bool)
            safety, helpfulness = logits[rule.safety], logits[other]
            counts = is_safety.to(safety.device) | (safety.sigmoid() < rule.threshold)
            return self.together(torch.where(counts, safety, helpfulness))
        whitened = torch.stack([whiten(logits[name]) for name, whiten in self.parts.items()])
        if isinstance(rule, Minimum):
            return self.together(whitened.amin(dim=0))
        weights = whitened.new_tensor([rule.weights.get(name, 1.0) for name in self.parts])
        return self.together(weights @ whitened)


def train(task: RewardTask, config: MixtureReward) -> Iterator[StepMetrics]:
    """Puts the parts into the folder, which were trained already, and fixes how they are mixed; there are no steps.

    Raises DataError for rows of `safety_prompts` without a prompt, and where all training completions come to the same score.
    """
    if this_rank() == 0:
        for name, part in task.parts.items():
            shutil.copytree(part / "model", task.folder / name, copy_function=link_or_copy)
    prompts, completions = task.training_texts
    logits = {}
    for name, part in task.parts.items():
        scorer = load_scorer(part / "model", task.compute)
        logits[name] = scorer.logits(scorer.score(prompts, completions)).double().cpu()
    rule = config.combine
    safety_prompts = frozenset[str]()
    if isinstance(rule, SafetyFirst) and rule.safety_prompts is not None:
        safety_prompts = frozenset(one.prompt for one in read_records(Path(rule.safety_prompts), SafetyPrompt))
    whitenings = {name: Whitening.of(of_part) for name, of_part in logits.items()}
    raw = Mixture(combine=rule, parts=whitenings, safety_prompts=safety_prompts)
    mixed = raw.mix(prompts, logits)
    if mixed.std(unbiased=False) < MIN_STD:
        raise DataError(f"reward.combine: all {len(mixed)} training completions come to one and the same score")
    mixture = raw.model_copy(update={"together": Whitening.of(mixed)})
    if this_rank() == 0:
        (task.folder / MIXTURE_FILE).write_text(json.dumps(mixture.model_dump(mode="json"), indent=1), encoding="utf-8")
    yield from ()


def load(folder: Path, compute: Compute) -> Scorer:
    """What `train` wrote. A value model may start from the first part that is a network."""
    mixture = Mixture.model_validate_json((folder / MIXTURE_FILE).read_text(encoding="utf-8"))
    scorers = {name: load_scorer(folder / name, compute) for name in mixture.parts}
    with_network = [one for one in scorers.values() if one.network is not None]
    for scorer in with_network[1:]:  # no value model starts from these
        round_frozen(scorer.network, compute)

    def score(prompts: Sequence[str], completions: Sequence[str]) -> dict[str, Tensor]:
        return {name: scorer.score(prompts, completions) for name, scorer in scorers.items()}

    def combine(prompts: Sequence[str], scores: Mapping[str, Tensor]) -> Tensor:
        return mixture.mix(prompts, {name: scorer.logits(scores[name]) for name, scorer in scorers.items()})

    def reads(prompt: str, completion: str) -> bool:
        return all(scorer.reads(prompt, completion) for scorer in scorers.values())

    parts = Parts(score, combine)
    first = with_network[0] if with_network else Scorer(parts)
    return Scorer(parts, network=first.network, tokenizer=first.tokenizer, parts=parts, reads=reads)


def probe(config: MixtureReward, prompt: str) -> None:
    """Asks each part."""
    for part in config.parts.values():
        probe_reward(part.reward, prompt)
