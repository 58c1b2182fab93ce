"""What gives a completion its score, and how it is kept and loaded, of whichever kind it is.

The module of a kind of reward offers:

- `train(task: RewardTask, config) -> Iterator[StepMetrics]`: writes what it takes to score into `task.folder`, yields its steps;
- `load(folder, compute) -> Scorer`: what that gives.

It may offer `probe(config, prompt)`, which is asked before anything is trained, and raises where it could not score a completion of this prompt.
Of a kind that `reads_own_pairs`, `require_own_pairs(config, pairs, sides)` is asked then, too, and raises DataError where it could not learn from
these; `sides`: prompt -> its side of the split.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from models.class_votes import ClassVotes
from models.errors import ArtifactError
from models.network.networks import RewardModel
from models.preferences.own_pair import OwnPair
from models.preferences.ratings import of_split, read_votes
from models.records import Completion, Pair, Prompt, Ranking, read_records
from models.rewards.kind_file import KIND_FILE, read_kind
from models.settings.compute import Compute
from models.settings.rewards import RewardKind
from models.shapes import Float
from models.training.checkpoints import Checkpoints

DRAWN = "pairs-*.jsonl"
"""The pairs of draws of the labelers, a file each, by number."""
OWN_PAIRS = "own_pairs.jsonl"

Score = Callable[[Sequence[str], Sequence[str]], Tensor]
"""Prompts and completions as texts -> one normalised score each, higher is better."""


class Scores(NamedTuple):
    """Scores, and of each how far the members of the reward disagree on it, None where the reward has no members; and what each of its
    parts says by itself, by name."""

    scores: Float[Tensor, " N"]
    disagreement: Float[Tensor, " N"] | None
    of_parts: Mapping[str, Float[Tensor, " N"]]


@dataclass(frozen=True)
class Members:
    """Of a reward of several: the score that each gives, and how these become one."""

    score: Callable[[Sequence[str], Sequence[str]], Tensor]
    """As a reward's `score`, but with a row for each member: [M, N]."""
    combine: Callable[[Tensor], Tensor]
    """[M, N] -> [N], normalised."""

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Tensor:
        """The score that they give together."""
        return self.combine(self.score(prompts, completions))


@dataclass(frozen=True)
class Parts:
    """Of a mixture of rewards: the score that each gives, by name, and how these become one."""

    score: Callable[[Sequence[str], Sequence[str]], Mapping[str, Tensor]]
    combine: Callable[[Sequence[str], Mapping[str, Tensor]], Tensor]
    """Prompts, and the scores of all parts -> one normalised score each."""

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Tensor:
        """The score that they give together."""
        return self.combine(prompts, self.score(prompts, completions))


@dataclass(frozen=True)
class Classes:
    """Of a reward that tells classes apart: their names, and how likely each completion is in each."""

    names: tuple[str, ...]
    probabilities: Callable[[Sequence[str | None], Sequence[str]], Tensor]
    """Prompts (None: the text stands by itself) and completions as texts -> [N, C], rows that sum to 1."""


@dataclass(frozen=True)
class People:
    """Of a reward that tells people apart: what each adds to the logit that all share, the product of two vectors of R numbers."""

    vectors: Mapping[str, Tensor]
    """Of each person that it has learned from, by the labelers' names: [R]."""
    read: Callable[[Sequence[str], Sequence[str]], tuple[Tensor, Tensor]]
    """Prompts and completions as texts -> the shared logits, [N], and the vectors of the completions, [N, R]."""


@dataclass(frozen=True)
class Scorer:
    """A reward, ready to score. `logit_std`: what a score is multiplied by to have the distances of logits of a preference; with `logit_mean`
    added it is the very logit.

    `network` and `tokenizer`: what a value model may start from; None where scores come from no such network. `members`, `parts`: what `score`
    is made of in a reward of several. `reads`: whether it can score this completion of this prompt, which may be too long for it. `classes`,
    `people`: what, and whom, it tells apart, if it does. `speaks_for`: the labelers whose score it gives, if it is one person's or a group's.
    """

    score: Score
    logit_std: float = 1.0
    network: RewardModel | None = None
    tokenizer: PreTrainedTokenizerBase | None = None
    members: Members | None = None
    reads: Callable[[str, str], bool] = lambda prompt, completion: True
    parts: Parts | None = None
    logit_mean: float = 0.0
    classes: Classes | None = None
    people: People | None = None
    speaks_for: tuple[str, ...] = ()

    def logits(self, scores: Tensor) -> Tensor:
        """The logits that scores stand for."""
        return self.logit_mean + self.logit_std * scores

    def readable(self, prompts: Sequence[str], completions: Sequence[str]) -> list[str]:
        """Completions that a model wrote, with an empty one for each that cannot be read: its text may have more tokens than were sampled."""
        return [text if self.reads(prompt, text) else "" for prompt, text in zip(prompts, completions, strict=True)]

    def score_samples(self, prompts: Sequence[str], completions: Sequence[str]) -> Tensor:
        """As `score`, of what a model wrote: no such text ends a run."""
        return self.score(prompts, self.readable(prompts, completions))

    def score_in_full(self, prompts: Sequence[str], completions: Sequence[str]) -> Scores:
        """Scores, the standard deviation of each over the members, and those of the parts; members and parts are asked once."""
        if self.parts is not None:
            of_parts = self.parts.score(prompts, completions)
            return Scores(self.parts.combine(prompts, of_parts), None, of_parts)
        if self.members is None:
            return Scores(self.score(prompts, completions), None, {})
        of_each = self.members.score(prompts, completions)
        return Scores(self.members.combine(of_each), of_each.std(dim=0, unbiased=False), {})


@dataclass(frozen=True)
class RewardTask:
    """What a reward is trained from, and the folder that it is written into."""

    folder: Path
    base: Path
    prompts: list[Prompt]
    """Training prompts alone."""
    completions: list[Completion]
    pairs: list[Pair]
    draws: list[list[Pair]]
    """The pairs of each draw of the labelers, where the settings of the reward ask for some (`num_draws`)."""
    rankings: list[Ranking]
    """Each labeler's own, of training prompts alone, where the reward reads them (`reads_rankings`)."""
    compute: Compute
    seed: int
    checkpoints: Checkpoints
    parts: Mapping[str, Path] = field(default_factory=dict)
    """The folders of the rewards that it is made of, where its settings name some (`made_of`)."""
    votes: list[ClassVotes] = field(default_factory=list)
    """Of training texts alone, where the reward reads votes (`reads_votes`)."""
    own_pairs: list[OwnPair] = field(default_factory=list)
    """Each labeler's own, of training prompts alone, where the reward reads them (`reads_own_pairs`)."""

    @property
    def training_texts(self) -> tuple[list[str], list[str]]:
        """The completions of training prompts: prompts and completions, a text each."""
        text_of = {prompt.id: prompt.text for prompt in self.prompts}
        own = [one for one in self.completions if one.prompt_id in text_of]
        return [text_of[one.prompt_id] for one in own], [one.text for one in own]

    @classmethod
    def read(
        cls,
        folder: Path,
        base: Path,
        feedback: Path,
        pairs: Path,
        draws: Path | None,
        rankings: Path | None,
        compute: Compute,
        seed: int,
        checkpoints: Checkpoints,
        parts: Mapping[str, Path],
        votes: Path | None = None,
        own_pairs: Path | None = None,
    ) -> "RewardTask":
        """From the folders of a base model, of a feedback snapshot, of its pairs, of the pairs of draws of its labelers, of their rankings, of
        its parts, of votes on single texts, and of each labeler's own pairs."""
        prompts = [prompt for prompt in read_records(feedback / "prompts.jsonl", Prompt) if prompt.split == "train"]
        learned = {prompt.id for prompt in prompts}
        ranked = read_records(rankings / "rankings.jsonl", Ranking) if rankings else []
        own = read_records(own_pairs / OWN_PAIRS, OwnPair) if own_pairs else []
        return cls(
            folder,
            base / "model",
            prompts,
            read_records(feedback / "completions.jsonl", Completion),
            read_records(pairs / "pairs.jsonl", Pair),
            [read_records(file, Pair) for file in sorted(draws.glob(DRAWN))] if draws else [],
            [ranking for ranking in ranked if ranking.prompt_id in learned],
            compute,
            seed,
            checkpoints,
            parts,
            of_split(read_votes(votes), "train") if votes else [],
            [pair for pair in own if pair.prompt_id in learned],
        )


def probe_reward(config: RewardKind, prompt: str) -> None:
    """Asks a kind of reward whether it could score completions of this prompt, if it has something to say before it is trained."""
    if probe := getattr(config.load_module(), "probe", None):
        probe(config, prompt)


def load_scorer(folder: Path, compute: Compute) -> Scorer:
    """The reward in a folder, ready to score. Raises ArtifactError where there is none."""
    kind = read_kind(folder)
    if kind is None:
        raise ArtifactError(f"{folder}: no reward of Rein: {KIND_FILE} is missing")
    return kind.load_module().load(folder, compute)
