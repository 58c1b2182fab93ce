"""What writes completions: a network by itself, or the best of n that it draws, by a reward (Stiennon et al. 2020; Nakano et al. 2021).

A policy's folder holds a network that transformers loads. That of a best-of-n policy holds none by itself, so that nobody takes its base for it:

    best_of_n.json    n
    base/             the network that draws
    reward/           what chooses
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.errors import ArtifactError
from models.generation.sampler import sampling_copy
from models.generation.sampling import Sample, sample_completions
from models.network.networks import freeze, load_policy
from models.network.precision import pick_device
from models.rewards.scorer import Scorer, load_scorer
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig

BEST_OF_N_FILE = "best_of_n.json"
README = """\
# Best of {n}

No model by itself: `base/` writes {n} completions of a prompt, and the one that `reward/` gives the highest score is the answer. `rein chat` on this
folder does so. `base/` alone, which plain transformers loads, is what this policy was made from, and writes as that does.
"""


@dataclass(frozen=True)
class Writer:
    """A network that samples, by itself or through a `sampler` of the same weights; with a `chooser`, of `best_of` samples of each prompt the one
    with the highest score is what it writes."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    best_of: int = 1
    chooser: Scorer | None = None
    sampler: PreTrainedModel | None = None

    def complete(
        self,
        prompts: Sequence[str],
        sampling: SamplingConfig,
        seed: int,
        numbers: Sequence[int] | None = None,
    ) -> list[Sample]:
        """A completion of each prompt. What it draws depends on prompt, number (by default its place) and seed.

        One that ended by itself is better than one that was cut off, whatever their scores.
        """
        asked = [prompt for prompt in prompts for _ in range(self.best_of)]
        places = range(len(prompts)) if numbers is None else numbers
        drawn = sample_completions(
            self.sampler or self.network,
            self.tokenizer,
            asked,
            numbers=[place * self.best_of + draw for place in places for draw in range(self.best_of)],
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            batch_size=128,
            seed=seed,
        )
        if self.chooser is None:
            return drawn
        scores = self.chooser.score_samples(asked, [sample.text for sample in drawn]).tolist()
        rows = range(0, len(drawn), self.best_of)
        best = (max(range(row, row + self.best_of), key=lambda one: (drawn[one].ended, scores[one])) for row in rows)
        return [drawn[one] for one in best]


def load_writer(folder: Path, compute: Compute) -> Writer:
    """What a policy's folder holds, frozen, on the device that the settings ask for. It is sampled from as in tuning (`sampling_copy`)."""
    network, tokenizer = load_policy(network_folder(folder))
    freeze(network).to(pick_device(compute))
    sampler = sampling_copy(network, compute)
    if not (folder / BEST_OF_N_FILE).is_file():
        return Writer(network, tokenizer, sampler=sampler)
    told = json.loads((folder / BEST_OF_N_FILE).read_text(encoding="utf-8"))
    return Writer(network, tokenizer, told["n"], load_scorer(folder / "reward", compute), sampler)


def network_folder(folder: Path) -> Path:
    """Where the network of a policy lies that samples."""
    return folder / "base" if (folder / BEST_OF_N_FILE).is_file() else folder


def write_best_of_n(folder: Path, base: Path, reward: Path, n: int) -> None:
    """Writes the folder of a best-of-n policy. Raises ArtifactError for a base that is one itself."""
    if (base / BEST_OF_N_FILE).is_file():
        raise ArtifactError(f"{base}: a best-of-n policy, which nothing can be made on top of")
    shutil.copytree(base, folder / "base")
    shutil.copytree(reward, folder / "reward")
    (folder / BEST_OF_N_FILE).write_text(json.dumps({"n": n}), encoding="utf-8")
    (folder / "README.md").write_text(README.format(n=n), encoding="utf-8")
