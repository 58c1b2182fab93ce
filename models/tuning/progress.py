"""Checks of the policy on its way: what it writes to the same prompts, and which policy a judge likes best."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.distributed.collectives import gather_rows, share_of, this_rank
from models.distributed.fsdp import load_state
from models.evaluation.judges.judge import Judge
from models.evaluation.metrics import outcomes_by_prompt
from models.evaluation.progress_sample import KEPT, PROGRESS, ProgressSample
from models.generation.sampler import Sampler
from models.generation.sampling import sample_completions
from models.records import write_records
from models.settings.generation import SamplingConfig
from models.settings.tuning import CheckedTuning
from models.training.checkpoints import Part

MAX_PROMPTS = 100


class Progress:
    """Checks before every `config.sample_every`-th update and at the end; every time of the same prompts, with the same random numbers.

    With a judge, the weights of the check whose completions beat those of the first check most often are kept (the first such
    check, where several do alike). Nothing is learned from these prompts, but they chose, and the judge did.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[str],
        sampling: SamplingConfig,
        config: CheckedTuning,
        seed: int,
        judge: Judge | None = None,
    ) -> None:
        self.tokenizer, self.prompts, self.sampling = tokenizer, list(prompts[:MAX_PROMPTS]), sampling
        self.config, self.seed, self.judge = config, seed, judge if self.prompts else None
        self.samples: list[ProgressSample] = []
        self.updates: list[int] = []
        self._kept: dict[str, Any] = {"update": None, "win_rate": 0.0}
        self._weights: dict[str, Tensor] = {}
        self._stopped = False

    def is_due(self, update: int) -> bool:
        """Whether the policy is looked at before this update."""
        return bool(self.prompts) and update % self.config.sample_every == 0

    def check(self, update: int, sampler: PreTrainedModel | Sampler, policy: Part) -> None:
        """Lets the policy complete the prompts, once for each update, and keeps its weights where they are the best so far."""
        if not self.prompts or update in self.updates:
            return
        own = share_of(range(len(self.prompts)))
        drawn = sample_completions(
            sampler,
            self.tokenizer,
            [self.prompts[row] for row in own],
            numbers=own,
            max_new_tokens=self.sampling.max_new_tokens,
            temperature=self.sampling.temperature,
            batch_size=self.config.batch_size,
            seed=self.seed,
        )
        texts = [sample.text for sample in gather_rows(drawn)]
        self.updates.append(update)
        self.samples += [
            ProgressSample(update=update, prompt=prompt, completion=text)
            for prompt, text in zip(self.prompts, texts, strict=True)
        ]
        if self.judge is None:
            return
        first = [one.completion for one in self.samples[: len(self.prompts)]]
        outcomes = outcomes_by_prompt(*(self.judge.grade(self.prompts, own) for own in (texts, first)), num_samples=1)
        if (win_rate := sum(outcomes) / len(outcomes)) > self._kept["win_rate"]:
            self._kept = {"update": update, "win_rate": win_rate}
            self._weights = {name: tensor.detach().clone() for name, tensor in policy.state_dict().items()}

    def says_stop(self) -> bool:
        """Whether the last `config.stop_after` checks found no policy better than one before them."""
        wait = self.config.stop_after
        self._stopped = self.judge is not None and wait is not None and self._kept["update"] in self.updates[:-wait]
        return self._stopped

    def hand_over(self, policy: Part) -> None:
        """Gives the policy the weights that were kept; without a judge it stays as it is."""
        if self._weights:
            load_state(policy, self._weights)

    def write(self, folder: Path) -> None:
        """Writes progress.jsonl and, where a judge chose, kept.json. All ranks together; the first one writes."""
        if this_rank() == 0:
            write_records(folder / PROGRESS, self.samples)
            if self.judge is not None:
                kept = self._kept | {"stopped_without_gain": self._stopped}
                (folder / KEPT).write_text(json.dumps(kept), encoding="utf-8")

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        samples = [one.model_dump() for one in self.samples]
        return {"samples": samples, "updates": self.updates, "kept": self._kept, "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what a checkpoint kept."""
        self.samples = [ProgressSample(**one) for one in state_dict["samples"]]
        self.updates, self._kept, self._weights = (state_dict[name] for name in ("updates", "kept", "weights"))
