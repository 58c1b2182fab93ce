"""From the rankings of several labelers to one agreed order per prompt. Loads no torch.

Model (bradley_terry), fitted over all prompts together: P(i above j | labeler l) = sigmoid(a_l (theta_i - theta_j)).
- Each two completions of a ranking of K are one observation of weight 2 / K, so a ranking counts K - 1 comparisons, as many as
  it takes to sort. A tie is half an observation each way. Unusable completions lose to usable ones and tie with each other.
- Strengths: theta ~ N(0, 2 K). The prior variance grows with K as the weight falls, so that within one prompt the answer is that
  of unweighted comparisons under N(0, 4); 2 : 1 for K = 2 gives p = .64, a single strict ranking stays strict up to K = 9. Where
  labelers saw different completions, K is the mean size of the rankings that name the completion.
- Reliability: a_l ~ N(1, .5^2) held to [0, 1]. The upper end fixes the scale (a and theta could trade it otherwise). The lower
  end is 0 and not below: a labeler who ranks upside down loses all weight but is never inverted. What people said is not turned
  round by a guess about what they meant; the report names them, and a person can ask.
- a_l is fitted to how well the *others* (theta without l's ranking) predict l. The joint optimum over theta and a is not used:
  theta adapts to whomever it already trusts, and of two labelers who disagree it believes one in full, by chance of rounding.

Sources: Bradley & Terry 1952; Chen et al. 2013, "Pairwise ranking aggregation in a crowdsourced setting" (labeler quality in
Bradley-Terry); Dawid & Skene 1979 (observer error rates). Borda: mean places, every labeler counts the same.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import expit, logit

from models.errors import DataError
from models.preferences.agreement import tau_with_order, tau_with_others
from models.preferences.agreement_report import AgreementReport, report_agreement, report_labelers
from models.preferences.bradley_terry import fit_strengths
from models.preferences.labeler_reliability import fit_reliability
from models.preferences.margins import mean_margins
from models.preferences.vote_table import Name, VoteTable, pair_place, pairs_within
from models.records import Consensus, Ranking, Rating
from models.settings.pipeline import ConsensusConfig
from models.shapes import Bool, Float


def agree(
    rankings: Sequence[Ranking], config: ConsensusConfig, ratings: Sequence[Rating] = ()
) -> tuple[list[Consensus], AgreementReport]:
    """One consensus per (prompt, criterion), sorted by these, and the report on how far labelers agree.

    The order of the input changes nothing. Labelers may have seen different completions of a prompt. Completions that were never
    compared with each other, not even through others (those of two batches, say), have no order: each such group has a consensus
    of its own. `ratings`: the yes and no that some of the rankings follow from; the figures of agreement are then those of the ratings.
    Raises DataError for no rankings, or for a labeler who ranked the same completions by one criterion twice in one session.
    """
    if not rankings:
        raise DataError("no rankings to agree on")
    votes = VoteTable(rankings)
    taus = tau_with_others(votes)
    agreements = _mean_by_labeler(votes, taus)
    first, second = pairs_within(votes.num_items)
    if config.method == "bradley_terry":
        reliability, lead = fit_reliability(votes, start=np.clip(np.nan_to_num(agreements, nan=1.0), 0.05, 1))
        taus = tau_with_order(votes, lead)  # those who cannot be relied on do not decide who is upside down
        strengths = _fitted_strengths(votes, reliability)
        above = expit(strengths[first] - strengths[second])
        unusable = _marked_by_majority(votes, reliability)
    else:
        reliability = np.maximum(np.nan_to_num(agreements, nan=1.0), 0)
        strengths = _borda_strengths(votes)
        above = _share_above(votes)
        unusable = _marked_by_majority(votes, np.ones(len(votes.labelers)))
    labelers = report_labelers(votes, taus, agreements, reliability, rankings)
    report = report_agreement(votes, rankings, ratings, labelers)
    return _consensus_records(votes, strengths, above, unusable, config.tie_width, mean_margins(rankings)), report


def pair_probability(consensus: Consensus, i: str, j: str) -> float:
    """The probability that completion `i` is better than `j`: sigmoid(strength_i - strength_j).

    For bradley_terry this is the fitted one. For borda, strengths are half the log-odds of smoothed win shares, and this is the
    smoothed share of labelers who put i above j when K = 2, and close to it for larger K. Raises DataError for an unknown id.
    """
    for name in (i, j):
        if name not in consensus.strengths:
            raise DataError(f"prompt {consensus.prompt_id}: its consensus knows no completion {name}")
    return float(expit(consensus.strengths[i] - consensus.strengths[j]))


def _fitted_strengths(votes: VoteTable, reliability: Float[np.ndarray, " L"]) -> Float[np.ndarray, " I"]:
    theta = fit_strengths(
        votes.first_item,
        votes.second_item,
        (1 + votes.sign) / 2,
        reliability[votes.labeler[votes.ranking]],
        2 / votes.num_entries[votes.ranking],
        votes.item_variance,
        start=np.zeros(len(votes.item_names)),
    )
    return np.round(theta, 6)  # the fit knows no more digits


def _borda_strengths(votes: VoteTable) -> Float[np.ndarray, " I"]:
    """Half the log-odds of (n (1 - mean place) + 1/2) / (n + 1), n labelers: for K = 2 the difference is the log-odds of i over j."""
    count = np.bincount(votes.voice_item)
    wins = np.bincount(votes.voice_item, 1 - votes.voice_mean(votes.place))
    return np.round(logit((wins + 0.5) / (count + 1)) / 2, 9)


def _share_above(votes: VoteTable) -> Float[np.ndarray, " J"]:
    """For each two items of a question: the share of labelers who compared them and put the first above, ties half; .5 for none."""
    question = votes.item_question[votes.first_item]
    start, size = votes.item_start[question], votes.num_items[question]
    pair = votes.pair_start[question] + pair_place(votes.first_item - start, votes.second_item - start, size)
    seen = np.bincount(pair, minlength=votes.num_pairs.sum())
    won = np.bincount(pair, (1 + votes.sign) / 2, len(seen))
    return np.where(seen > 0, won / np.maximum(seen, 1), 0.5)


def _marked_by_majority(votes: VoteTable, weight: Float[np.ndarray, " L"]) -> Bool[np.ndarray, " I"]:
    """Per item: whether more than half of the weight of those who saw it marked it unusable (heads count if no one has weight)."""
    of_voice = weight[votes.voter_labeler[votes.voice_voter]]
    weightless = np.bincount(votes.voice_item, of_voice)[votes.voice_item] <= 0
    of_voice = np.where(weightless, 1.0, of_voice)
    marked = np.bincount(votes.voice_item, of_voice * votes.voice_mean(votes.entry_unusable.astype(float)))
    return marked > np.bincount(votes.voice_item, of_voice) / 2 + 1e-9


def _consensus_records(
    votes: VoteTable,
    strengths: Float[np.ndarray, " I"],
    above: Float[np.ndarray, " J"],
    unusable: Bool[np.ndarray, " I"],
    tie_width: float,
    margins: Mapping[Name, dict[str, float]],
) -> list[Consensus]:
    """One record per question. `above`: of each two items of a question in turn, the probability that the first is the better."""
    certain = np.bincount(
        np.repeat(np.arange(len(votes.questions)), votes.num_pairs), np.maximum(above, 1 - above), len(votes.questions)
    )
    confidence = np.where(votes.num_pairs > 0, certain / np.maximum(votes.num_pairs, 1), 0.5).tolist()
    best_first = np.lexsort((-strengths, votes.item_question))
    theta, marked = strengths.tolist(), unusable.tolist()
    records = []
    for question, (prompt_id, criterion) in enumerate(votes.questions):
        begin, size, pairs = (int(of[question]) for of in (votes.item_start, votes.num_items, votes.pair_start))
        items = range(begin, begin + size)
        usable = [item - begin for item in best_first[begin : begin + size].tolist() if not marked[item]]
        p = above[pairs : pairs + votes.num_pairs[question]].tolist()
        records.append(
            Consensus(
                prompt_id=prompt_id,
                criterion=criterion,
                levels=tuple(
                    tuple(sorted(votes.item_names[begin + one] for one in level))
                    for level in _levels(usable, p, size, 0.5 + tie_width + 1e-9)
                ),
                unusable=tuple(votes.item_names[item] for item in items if marked[item]),
                strengths={votes.item_names[item]: theta[item] for item in items},
                confidence=confidence[question],
                num_labelers=int(votes.num_voters[question]),
                margins={
                    name: margins[prompt_id, criterion, name]
                    for name in (votes.item_names[item] for item in items)
                    if (prompt_id, criterion, name) in margins
                },
            )
        )
    return records


def _levels(best_first: list[int], above: list[float], size: int, enough: float) -> list[list[int]]:
    """A completion starts a new level when the level's first member beats it with a probability of more than `enough`."""
    levels: list[list[int]] = []
    for one in best_first:
        if levels:
            lead = levels[-1][0]
            p = above[pair_place(lead, one, size)] if lead < one else 1 - above[pair_place(one, lead, size)]
        if not levels or p > enough:
            levels.append([])
        levels[-1].append(one)
    return levels


def _mean_by_labeler(votes: VoteTable, taus: np.ndarray) -> Float[np.ndarray, " L"]:
    known, size = ~np.isnan(taus), len(votes.labelers)
    count = np.bincount(votes.labeler[known], minlength=size)
    total = np.bincount(votes.labeler[known], taus[known], size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
