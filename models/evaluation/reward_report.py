"""How good a reward is on held-out prompts: accuracy and calibration."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from models.errors import DataError
from models.evaluation.baselines import length_rule_accuracy, ngram_accuracy
from models.evaluation.intervals import mean_interval
from models.evaluation.paired import Paired
from models.records import Completion, Pair, Prompt, Ranking, Record
from models.rewards.scorer import Score, Scorer

MAX_MISTAKES = 8


class CalibrationBand(Record):
    """Pairs whose predicted probability lies in one band: how sure the reward model was, how often it was right."""

    lowest: float
    highest: float
    num_pairs: int
    mean_probability: float
    accuracy: float


class Mistake(Record):
    """A preference that a reward model turns round: `labeler` preferred one completion, whose logit is `lead` below that of the other."""

    prompt_id: str
    labeler: str
    preferred: str
    other: str
    lead: float


class RewardReport(Record):
    """A reward model on held-out prompts.

    `labeler_accuracy`: share of every single labeler's strict preferences (`num_preferences` of them) whose preferred completion
    scores higher, and its 95 % interval over prompts, `labeler_accuracy_low` to `_high`. `labeler_ceiling`: how the others fare at the same, each preference foretold by what most other labelers said
    of the same two completions (see `accuracy_of_the_others`; `num_foretold` preferences are of two that others judged too).
    `accuracy`: the share over strict consensus pairs, which depends on how the consensus is made: one that ties close calls leaves
    the easy pairs. `calibration_error`: mean distance, over consensus pairs, of a band's mean predicted probability from its
    accuracy (expected calibration error, Naeini et al. 2015). `length_rule` and `ngrams`: how rules that know nothing of language
    (models/evaluation/baselines.py) fare at labelers' own preferences; a reward model that is no better has learned no more.
    `longer_preferred`: share of the same preferences of which the reward likes the longer text better, beside `length_rule`, people's own share.
    `mistakes`: the worst, at most one of a prompt.
    `disagreement`: mean over the completions of the standard deviation of the members' scores; None where the reward has no members.
    """

    labeler_accuracy: float
    labeler_accuracy_low: float
    labeler_accuracy_high: float
    num_preferences: int
    labeler_ceiling: float
    num_foretold: int
    length_rule: float
    longer_preferred: float
    ngrams: float
    accuracy: float
    num_pairs: int
    accuracy_by_labeler: dict[str, float]
    calibration_error: float
    bands: tuple[CalibrationBand, ...]
    mistakes: tuple[Mistake, ...]
    disagreement: float | None = None


def pair_accuracy(logits: Mapping[str, float], pairs: Sequence[tuple[str, str]]) -> float:
    """Share of (preferred, other) whose preferred one has the higher logit; equal logits count one half. nan without pairs."""
    if not pairs:
        return math.nan
    return sum((logits[a] > logits[b]) + 0.5 * (logits[a] == logits[b]) for a, b in pairs) / len(pairs)


def paired_accuracy(
    champion: Mapping[str, float],
    challenger: Mapping[str, float],
    pairs: Sequence[tuple[str, str]],
    prompt_of: Mapping[str, str],
) -> Paired:
    """`pair_accuracy` of two reward models by the same pairs. Those of a prompt (`prompt_of`: completion -> its prompt) go together,
    since they are about the same few completions."""
    by_prompt = _by_prompt(pairs, prompt_of)
    old, new = ([pair_accuracy(logits, own) for own in by_prompt] for logits in (champion, challenger))
    return Paired.of(old, new, weights=[len(own) for own in by_prompt])


def accuracy_interval(
    logits: Mapping[str, float], pairs: Sequence[tuple[str, str]], prompt_of: Mapping[str, str]
) -> tuple[float, float, float]:
    """`pair_accuracy` with its 95 % interval; those of a prompt (`prompt_of`: completion -> its prompt) go together. nan without pairs."""
    by_prompt = _by_prompt(pairs, prompt_of)
    above = [(pair_accuracy(logits, own) - 0.5) * len(own) for own in by_prompt]
    mean, low, high = (0.5 + one for one in mean_interval(above, [len(own) for own in by_prompt], reach=0.5))
    return mean, low, high


def _by_prompt(pairs: Sequence[tuple[str, str]], prompt_of: Mapping[str, str]) -> list[list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for pair in pairs:
        found[prompt_of[pair[0]]].append(pair)
    return list(found.values())


def strict_preferences(ranking: Ranking, texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """All (preferred, other) of one labeler's ranking; ties and pairs of identical texts left out."""
    places = ranking.places
    preferences = []
    for a, b in combinations(places, 2):
        if places[a] != places[b] and texts[a].strip() != texts[b].strip():
            preferences.append((a, b) if places[a] < places[b] else (b, a))
    return preferences


def accuracy_of_the_others(preferences: Mapping[str, Sequence[tuple[str, str]]]) -> tuple[float, int]:
    """(accuracy, of how many) with which most other labelers foretell a labeler's preferences (labeler -> (preferred, other)).

    Each preference is compared with the majority of the others' strict preferences between the same two completions; one half where
    these are evenly split, left out where there is none. (nan, 0) where nobody preferred what another did or did not.
    It says how far people themselves agree on these pairs. It is no bound: what is steadier than a handful of people may agree with
    each of them more often than the others do.
    """
    of_all: Counter[tuple[str, str]] = Counter()
    of_labeler: dict[str, Counter[tuple[str, str]]] = {}
    for labeler, own in preferences.items():
        of_labeler[labeler] = Counter(own)
        of_all.update(own)
    right, foretold = 0.0, 0
    for labeler, own in preferences.items():
        mine = of_labeler[labeler]
        for better, worse in own:
            with_it = of_all[better, worse] - mine[better, worse]
            against = of_all[worse, better] - mine[worse, better]
            if with_it + against:
                foretold += 1
                right += 1.0 if with_it > against else 0.5 * (with_it == against)
    return (right / foretold if foretold else math.nan), foretold


def calibration(
    logits: Mapping[str, float], pairs: Sequence[tuple[str, str]], num_bands: int = 5
) -> tuple[CalibrationBand, ...]:
    """Strict pairs sorted into bands by the probability `sigmoid(|difference of logits|)`, from .5 to 1; empty bands left out."""
    bands: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for better, worse in pairs:
        difference = logits[better] - logits[worse]
        probability = 1 / (1 + math.exp(-abs(difference)))
        right = 1.0 if difference > 0 else 0.5 if difference == 0 else 0.0
        bands[min(int((probability - 0.5) * 2 * num_bands), num_bands - 1)].append((probability, right))
    return tuple(
        CalibrationBand(
            lowest=0.5 + number / (2 * num_bands),
            highest=0.5 + (number + 1) / (2 * num_bands),
            num_pairs=len(rows),
            mean_probability=sum(probability for probability, _ in rows) / len(rows),
            accuracy=sum(right for _, right in rows) / len(rows),
        )
        for number, rows in sorted(bands.items())
    )


def worst_mistakes(
    logits: Mapping[str, float], preferences: Mapping[str, Sequence[tuple[str, str]]], prompt_of: Mapping[str, str]
) -> tuple[Mistake, ...]:
    """The preferences (labeler -> (preferred, other)) that the logits turn round by most, worst first, at most one of a prompt."""
    found: dict[str, Mistake] = {}
    for labeler, own in preferences.items():
        for better, worse in own:
            lead, prompt = logits[worse] - logits[better], prompt_of[better]
            if lead > 0 and (prompt not in found or lead > found[prompt].lead):
                found[prompt] = Mistake(prompt_id=prompt, labeler=labeler, preferred=better, other=worse, lead=lead)
    return tuple(sorted(found.values(), key=lambda one: (-one.lead, one.prompt_id))[:MAX_MISTAKES])


def evaluate_reward(
    logits: Mapping[str, float],
    pairs: Sequence[Pair],
    rankings: Sequence[Ranking],
    texts: Mapping[str, str],
    learned_from: Sequence[tuple[str, str]] = (),
    disagreement: float | None = None,
) -> RewardReport:
    """The report of a reward model, from its logit of every held-out completion (by id).

    `texts`: by id, also those of `learned_from`, the strict pairs of training prompts, which the n-grams learn from.
    """
    strict = [(pair.chosen, pair.rejected) for pair in pairs if pair.label > 0.5]
    by_labeler: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for ranking in rankings:
        by_labeler[ranking.labeler] += strict_preferences(ranking, texts)
    preferences = [pair for own in by_labeler.values() for pair in own]
    prompt_of = {name: ranking.prompt_id for ranking in rankings for name in ranking.places}
    accuracy, low, high = accuracy_interval(logits, preferences, prompt_of)
    ceiling, num_foretold = accuracy_of_the_others(by_labeler)
    bands = calibration(logits, strict)
    return RewardReport(
        labeler_accuracy=accuracy,
        labeler_accuracy_low=low,
        labeler_accuracy_high=high,
        num_preferences=len(preferences),
        labeler_ceiling=ceiling,
        num_foretold=num_foretold,
        length_rule=length_rule_accuracy(texts, preferences),
        longer_preferred=length_rule_accuracy(texts, [_liked(logits, pair) for pair in preferences]),
        ngrams=ngram_accuracy(texts, learned_from, preferences),
        accuracy=pair_accuracy(logits, strict),
        num_pairs=len(strict),
        accuracy_by_labeler={name: pair_accuracy(logits, own) for name, own in sorted(by_labeler.items()) if own},
        calibration_error=sum(band.num_pairs * abs(band.accuracy - band.mean_probability) for band in bands)
        / max(1, len(strict)),
        bands=bands,
        mistakes=worst_mistakes(logits, by_labeler, prompt_of),
        disagreement=disagreement,
    )


def _liked(logits: Mapping[str, float], pair: tuple[str, str]) -> tuple[str, str]:
    """The pair, the completion with the higher logit first."""
    return pair if logits[pair[0]] >= logits[pair[1]] else (pair[1], pair[0])


def report_reward(
    scorer: Scorer,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    pairs: Sequence[Pair],
    rankings: Sequence[Ranking],
) -> RewardReport:
    """The report of a reward over all that is known of the held-out prompts among these. Raises DataError when there is none."""
    held_out = {prompt.id: prompt.text for prompt in prompts if prompt.split == "test"}
    learned_prompts = {prompt.id for prompt in prompts if prompt.split == "train"}
    judged = [completion for completion in completions if completion.prompt_id in held_out]
    if not judged:
        raise DataError("no held-out prompt has completions to judge the reward model by")
    scores, disagreement, _ = scorer.score_in_full(
        [held_out[one.prompt_id] for one in judged], [one.text for one in judged]
    )
    logits = {one.id: scorer.logit_std * score for one, score in zip(judged, scores.tolist(), strict=True)}
    return evaluate_reward(
        logits,
        pairs=[pair for pair in pairs if pair.prompt_id in held_out],
        rankings=[ranking for ranking in rankings if ranking.prompt_id in held_out],
        texts={completion.id: completion.text for completion in completions},
        learned_from=[
            (pair.chosen, pair.rejected) for pair in pairs if pair.label > 0.5 and pair.prompt_id in learned_prompts
        ],
        disagreement=None if disagreement is None else disagreement.mean().item(),
    )


def scores_of(score: Score, prompts: Mapping[str, str], completions: Sequence[Completion]) -> dict[str, float]:
    """Completion id -> its score; `prompts`: id -> text."""
    asked = [prompts[completion.prompt_id] for completion in completions]
    scores = score(asked, [completion.text for completion in completions]).tolist()
    return {completion.id: one for completion, one in zip(completions, scores, strict=True)}


def accuracy_by_preferences(
    score: Score, prompts: Sequence[Prompt], completions: Sequence[Completion], rankings: Sequence[Ranking]
) -> tuple[float, int]:
    """(`pair_accuracy`, of how many) by every single labeler's strict preferences on the test prompts among these."""
    held_out = {prompt.id: prompt.text for prompt in prompts if prompt.split == "test"}
    ranked = {name for ranking in rankings for name in ranking.places}
    judged = [one for one in completions if one.prompt_id in held_out and one.id in ranked]
    texts = {one.id: one.text for one in judged}
    own = [one for one in rankings if one.prompt_id in held_out]
    preferences = [preference for ranking in own for preference in strict_preferences(ranking, texts)]
    return pair_accuracy(scores_of(score, held_out, judged), preferences), len(preferences)


def held_out_preferences(
    prompts: Mapping[str, str],
    completions: Sequence[Completion],
    pairs: Sequence[Pair],
    rankings: Sequence[Ranking],
    labelers: Sequence[str],
) -> list[tuple[str, str]]:
    """Strict preferences (preferred, other) on these prompts: those of the labelers; where none is named those of the consensus, or,
    where there is none of rankings that follow from ratings, of everybody."""
    if not labelers:
        agreed = [(pair.chosen, pair.rejected) for pair in pairs if pair.prompt_id in prompts and pair.label > 0.5]
        if agreed:
            return agreed
    texts = {one.id: one.text for one in completions}
    own = [one for one in rankings if one.prompt_id in prompts and (one.labeler in labelers or not labelers)]
    return [preference for ranking in own for preference in strict_preferences(ranking, texts)]
