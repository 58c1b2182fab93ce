"""From agreed orders to preference pairs, the preferred completion first. Loads no torch."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from models.errors import DataError
from models.preferences.consensus import pair_probability
from models.preferences.margins import mean_margins
from models.preferences.own_pair import OwnPair
from models.records import Completion, Consensus, Pair, Ranking, Record, collector_paused
from models.settings.pipeline import PairsConfig

MIN_WEIGHT = 1e-3  # a pair that was agreed on at p near (or, for unusable ones, below) one half still counts a little


class PairReport(Record):
    """Where every two completions of a prompt went.

    `num_pairs` were made; of these, `num_ties` have label one half, and in `num_unusable` an unusable completion lost.
    The rest made none: `num_dropped_ties` and `num_dropped_unusable` by config, `num_both_unusable` because neither is better,
    `num_identical` because the texts are the same. num_pairs and these four sum to C(K, 2) over all prompts.
    """

    num_pairs: int = 0
    num_ties: int = 0
    num_dropped_ties: int = 0
    num_unusable: int = 0
    num_dropped_unusable: int = 0
    num_both_unusable: int = 0
    num_identical: int = 0


def make_pairs(
    consensus: Sequence[Consensus], completions: Sequence[Completion], config: PairsConfig
) -> tuple[list[Pair], PairReport]:
    """The C(K, 2) pairs of each consensus in turn, and the report on those that were not made.

    Pairs come in the order of `itertools.combinations` over the completions by their ids, each with the preferred one first:
    first, second, third ranked 2, 1, 3 give (second, first), (first, third), (second, third). A tie keeps the order of the ids.
    Weights: uniform 1; confidence 2p - 1 for a strict pair (at least 1e-3), 1 for a tie. A strict pair has the margin by which people said
    that its chosen one is better.
    Raises DataError naming the prompt for a completion that is unknown or belongs to another prompt.
    """
    known = {one.id: one for one in completions}
    counts: Counter[str] = Counter()
    pairs = []
    with collector_paused():
        for agreed in consensus:
            for fate, pair in _pairs_of(agreed, _in_order(agreed, known), config):
                counts[fate] += 1
                if pair is not None:
                    pairs.append(pair)
    del counts["num_strict"]
    counts["num_pairs"] = len(pairs)
    return pairs, PairReport(**counts)


def make_own_pairs(
    rankings: Sequence[Ranking], completions: Sequence[Completion], config: PairsConfig
) -> list[OwnPair]:
    """The pairs of each ranking by itself, as `make_pairs` makes them of a consensus; all weigh 1, since nobody is unsure of their own order."""
    known = {one.id: one for one in completions}
    certain = config.model_copy(update={"weight": "uniform"})
    pairs = []
    with collector_paused():
        for one in rankings:
            alone = _alone(one)
            made = (pair for _, pair in _pairs_of(alone, _in_order(alone, known), certain) if pair is not None)
            pairs += [OwnPair(**dict(pair), labeler=one.labeler) for pair in made]
    return pairs


def _alone(ranking: Ranking) -> Consensus:
    """What would be agreed on if nobody else had ranked."""
    return Consensus(
        prompt_id=ranking.prompt_id,
        criterion=ranking.criterion,
        levels=ranking.levels,
        unusable=ranking.unusable,
        strengths={},
        confidence=1,
        num_labelers=1,
        margins={name: margins for (_, _, name), margins in mean_margins([ranking]).items()},
    )


def _pairs_of(
    agreed: Consensus, completions: Sequence[Completion], config: PairsConfig
) -> Iterator[tuple[str, Pair | None]]:
    """(what became of it, the pair if one was made) for every two completions."""
    place = {name: number for number, level in enumerate(agreed.levels) for name in level}
    plain = [(one, one.text.strip()) for one in completions]
    for (first, first_text), (second, second_text) in combinations(plain, 2):
        usable = (first.id in place) + (second.id in place)
        if first_text == second_text:
            yield "num_identical", None
        elif usable == 0:
            yield "num_both_unusable", None
        elif usable == 1:
            better, worse = (first, second) if first.id in place else (second, first)
            lose = config.unusable == "lose"
            yield ("num_unusable", _strict(agreed, better, worse, config)) if lose else ("num_dropped_unusable", None)
        elif place[first.id] == place[second.id]:
            tie = Pair(prompt_id=agreed.prompt_id, chosen=first.id, rejected=second.id, label=0.5)
            yield ("num_ties", tie) if config.ties == "soft" else ("num_dropped_ties", None)
        else:
            better, worse = (first, second) if place[first.id] < place[second.id] else (second, first)
            yield "num_strict", _strict(agreed, better, worse, config)


def _strict(agreed: Consensus, better: Completion, worse: Completion, config: PairsConfig) -> Pair:
    weight = 1.0
    if config.weight == "confidence":
        weight = max(2 * pair_probability(agreed, better.id, worse.id) - 1, MIN_WEIGHT)
    margin = agreed.margins.get(better.id, {}).get(worse.id, 0.0)
    return Pair(prompt_id=agreed.prompt_id, chosen=better.id, rejected=worse.id, weight=weight, margin=margin)


def _in_order(agreed: Consensus, known: dict[str, Completion]) -> list[Completion]:
    """The completions that the consensus names, by their ids."""
    named = [name for level in agreed.levels for name in level] + list(agreed.unusable)
    for name in named:
        if name not in known:
            raise DataError(f"prompt {agreed.prompt_id}: its consensus names completion {name}, which is not known")
        if known[name].prompt_id != agreed.prompt_id:
            raise DataError(
                f"prompt {agreed.prompt_id}: its consensus names completion {name} of prompt {known[name].prompt_id}"
            )
    return [known[name] for name in sorted(named)]
