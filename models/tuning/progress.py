"""What the policy wrote to the same prompts at several points of its tuning, so that a judge can say later when it became better."""

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.distributed.collectives import gather_rows, share_of, this_rank
from models.generation.sampling import sample_completions
from models.records import write_records
from models.settings.generation import SamplingConfig
from models.tuning.progress_sample import PROGRESS, ProgressSample

MAX_PROMPTS = 100


class Progress:
    """Samples of every `every`-th update, the first among them; every time of the same prompts, with the same random numbers."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[str],
        sampling: SamplingConfig,
        every: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.tokenizer, self.prompts, self.sampling = tokenizer, list(prompts[:MAX_PROMPTS]), sampling
        self.every, self.batch_size, self.seed = every, batch_size, seed
        self.samples: list[ProgressSample] = []

    def sample(self, update: int, policy: PreTrainedModel) -> None:
        """Lets the policy complete the prompts, when this update is one of those."""
        if update % self.every or not self.prompts:
            return
        own = share_of(range(len(self.prompts)))
        drawn = sample_completions(
            policy,
            self.tokenizer,
            [self.prompts[row] for row in own],
            numbers=own,
            max_new_tokens=self.sampling.max_new_tokens,
            temperature=self.sampling.temperature,
            batch_size=self.batch_size,
            seed=self.seed,
        )
        self.samples += [
            ProgressSample(update=update, prompt=prompt, completion=sample.text)
            for prompt, sample in zip(self.prompts, gather_rows(drawn), strict=True)
        ]

    def write(self, folder: Path) -> None:
        """Writes progress.jsonl. All ranks together; the first one writes."""
        if this_rank() == 0:
            write_records(folder / PROGRESS, self.samples)

    def state_dict(self) -> dict[str, list[dict]]:
        """What a checkpoint keeps."""
        return {"samples": [one.model_dump() for one in self.samples]}

    def load_state_dict(self, state_dict: dict[str, list[dict]]) -> None:
        """Goes on from what a checkpoint kept."""
        self.samples = [ProgressSample(**one) for one in state_dict["samples"]]
