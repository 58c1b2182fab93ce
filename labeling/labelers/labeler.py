"""Labelers that are no people: simulated ones, and whatever else answers when it is asked.

The module of a kind of labeler offers `open_labeler(config, criterion, seed) -> Labeler | Rater`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from models.errors import DataError
from models.records import Completion, Prompt, Ranking, Rating, read_records
from models.settings.labels import SimulatedLabels


class Labeler(Protocol):
    """Ranks the completions of one prompt at a time.

    `is_simulated`: it is a rule and a random number generator. `answers_at_once`: asking again costs nothing; the answers of one that
    does not are kept as they come.
    """

    is_simulated: bool
    answers_at_once: bool

    def label(self, prompt: Prompt, completions: Sequence[Completion]) -> Ranking:
        """The ranking of these completions. It must not depend on what was asked before."""


@runtime_checkable
class Rater(Protocol):
    """Says yes or no to each of the completions of one prompt, when it is asked. `is_simulated`, `answers_at_once`: as of a labeler; it does."""

    is_simulated: bool
    answers_at_once: bool

    def rate(self, prompt: Prompt, completions: Sequence[Completion]) -> list[Rating]:
        """A rating of each. It must not depend on what was asked before."""


def rate_completions(
    config: SimulatedLabels, prompts: Sequence[Prompt], completions: Sequence[Completion], seed: int
) -> list[Rating]:
    """What those of the configured labelers say who rate, prompt by prompt and labeler by labeler."""
    raters = [one for one in _opened(config, seed) if isinstance(one, Rater)]
    shown_of = completions_by_prompt(prompts, completions, at_least=1) if raters else {}
    return [rating for prompt in prompts for rater in raters for rating in rater.rate(prompt, shown_of[prompt.id])]


def rank_completions(
    config: SimulatedLabels,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    seed: int,
    kept: Path | None = None,
) -> list[Ranking]:
    """One ranking per prompt and labeler who ranks, in the order of the prompts and, within a prompt, of the configured labelers.

    Answers that do not come at once are appended to the file `kept`, and what stands there is not asked again.
    Raises DataError for a prompt with fewer than two completions, and for a completion of no given prompt.
    """
    labelers = [
        (settings, one)
        for settings, one in zip(config.labelers, _opened(config, seed), strict=True)
        if not isinstance(one, Rater)
    ]
    shown_of = completions_by_prompt(prompts, completions, at_least=2) if labelers else {}
    said = {} if kept is None or not kept.exists() else _kept_answers(kept)
    rankings = []
    for prompt in prompts:
        for settings, labeler in labelers:
            ranking = said.get((settings.name, prompt.id))
            if ranking is None:
                ranking = labeler.label(prompt, shown_of[prompt.id])
                if kept is not None and not labeler.answers_at_once:
                    _keep(ranking, kept)
            rankings.append(ranking)
    return rankings


def _opened(config: SimulatedLabels, seed: int) -> list[Labeler | Rater]:
    return [one.load_module().open_labeler(one, config.criterion, seed) for one in config.labelers]


def completions_by_prompt(
    prompts: Sequence[Prompt], completions: Sequence[Completion], at_least: int
) -> dict[str, list[Completion]]:
    """Prompt id -> its completions, in the order of their ids. Raises DataError as `rank_completions` does."""
    found: dict[str, list[Completion]] = {prompt.id: [] for prompt in prompts}
    for completion in completions:
        if completion.prompt_id not in found:
            raise DataError(
                f"completion {completion.id} belongs to {completion.prompt_id}, which is not among the prompts"
            )
        found[completion.prompt_id].append(completion)
    for prompt_id, own in found.items():
        if len(own) < at_least:
            needed = "ranking needs at least two" if at_least == 2 else "rating needs one"
            raise DataError(f"prompt {prompt_id} has {len(own)} completion(s); {needed}")
        own.sort(key=lambda completion: completion.id)
    return found


def _kept_answers(file: Path) -> dict[tuple[str, str], Ranking]:
    """What is kept, but for a last line that was cut off by a kill: it is taken out of the file."""
    text = file.read_bytes()
    file.write_bytes(text[: text.rfind(b"\n") + 1])
    return {(one.labeler, one.prompt_id): one for one in read_records(file, Ranking)}


def _keep(ranking: Ranking, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as kept:
        kept.write(ranking.model_dump_json() + "\n")
