"""The consensus of a crowd: 84,445 judgements that 3,815 people made of pairs of arguments (UKPConvArg1), 20,855 voters on 32 questions.

    REIN_DATA=... OMP_NUM_THREADS=2 .venv/bin/python -m benchmarks.crowd

Seconds of a quarter, half and all of them, by Borda and by Bradley-Terry with reliability. Then what the reliabilities are worth: their
rank correlation with a competence that knows nothing of strengths (MACE, Hovy et al. 2013, fitted here), and what becomes of twenty
busy people whose judgements are turned round. Writes benchmarks/results/crowd.json.
"""

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.trials import PROJECT, circumstances
from models.preferences.agreement_report import AgreementReport
from models.preferences.consensus import agree
from models.preferences.vote_table import VoteTable
from models.records import Ranking
from models.settings.pipeline import ConsensusConfig
from models.shapes import Float

RESULTS = PROJECT / "benchmarks" / "results" / "crowd.json"
BUSY = 50  # judgements
NUM_TURNED = 20
LEVELS = {"a1": [["a1"], ["a2"]], "a2": [["a2"], ["a1"]], "equal": [["a1", "a2"]]}


def read_judgements(file: Path) -> list[Ranking]:
    """A ranking of two arguments for each judgement; the pair is its session."""
    rankings = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for said in row["judgments"]:
            levels = [[row[name] for name in level] for level in LEVELS[said["choice"]]]
            rankings.append(Ranking.of(row["topic"], said["annotator"], "convincing", levels, session=row["id"]))
    return rankings


def timed(rankings: list[Ranking], method: str) -> tuple[dict[str, float], AgreementReport]:
    """Seconds on the clock and of the processor, and the report."""
    started, cpu_started = time.monotonic(), time.process_time()
    _, report = agree(rankings, ConsensusConfig(method=method))
    seconds = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - cpu_started}
    return {"judgements": len(rankings)} | {name: round(value, 2) for name, value in seconds.items()}, report


def competence(votes: VoteTable, rounds: int = 200) -> Float[np.ndarray, " L"]:
    """How often each labeler answers rather than guesses: MACE by expectation maximisation, half a judgement each way as a prior.

    An answer is that of the pair; who guesses draws from answers of their own.
    """
    pair = np.unique(votes.first_item * len(votes.item_names) + votes.second_item, return_inverse=True)[1]
    who, said = votes.labeler[votes.ranking], votes.sign + 1
    each = np.arange(len(said))
    knows, guesses = np.full(len(votes.labelers), 0.8), np.full((len(votes.labelers), 3), 1 / 3)
    for _ in range(rounds):
        guessed = (1 - knows[who]) * guesses[who, said]
        likely = np.repeat(guessed[:, None], 3, axis=1)
        likely[each, said] += knows[who]
        log_answer = np.zeros((pair.max() + 1, 3))
        np.add.at(log_answer, pair, np.log(likely))
        answer = np.exp(log_answer - log_answer.max(1, keepdims=True))
        answer /= answer.sum(1, keepdims=True)
        known = answer[pair, said] * knows[who] / (knows[who] + guessed)
        knows = (np.bincount(who, known) + 0.5) / (np.bincount(who) + 1)
        counts = np.full_like(guesses, 0.1)
        np.add.at(counts, (who, said), 1 - known)
        guesses = counts / counts.sum(1, keepdims=True)
    return knows


def turned_round(rankings: list[Ranking], labelers: set[str]) -> list[Ranking]:
    """The same judgements, those of these labelers with the best last."""
    return [
        Ranking.of(one.prompt_id, one.labeler, one.criterion, one.levels[::-1], session=one.session)
        if one.labeler in labelers
        else one
        for one in rankings
    ]


def worth(rankings: list[Ranking], report: AgreementReport) -> dict[str, float]:
    """What the reliabilities say of those with BUSY judgements or more."""
    busy = [one for one in report.labelers if one.num_rankings >= BUSY]
    votes = VoteTable(rankings)
    mace = dict(zip(votes.labelers, competence(votes).tolist(), strict=True))
    known = [mace[one.labeler] for one in busy]
    often = Counter(one.labeler for one in rankings).most_common(NUM_TURNED)
    chosen = {name for name, _ in often}
    _, odd = agree(turned_round(rankings, chosen), ConsensusConfig())
    turned = [one for one in odd.labelers if one.labeler in chosen]
    return {
        "busy_labelers": len(busy),
        "reliability_with_mace": float(spearmanr([one.reliability for one in busy], known)[0]),
        "agreement_with_mace": float(spearmanr([one.agreement for one in busy], known, nan_policy="omit")[0]),
        "turned_round": len(turned),
        "turned_round_with_reliability_0": sum(one.reliability == 0 for one in turned),
        "turned_round_and_named": sum(one.upside_down for one in turned),
        "others_named": sum(one.upside_down for one in odd.labelers) - sum(one.upside_down for one in turned),
    }


def main() -> None:
    """Reads the command line, measures, writes and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the part that is taken")
    arguments = parser.parse_args()
    rankings = read_judgements(Path(os.environ["REIN_DATA"]) / "convincing" / "judgments.jsonl")
    order = np.random.default_rng(arguments.seed).permutation(len(rankings))
    result: dict[str, object] = circumstances()
    for method in ("borda", "bradley_terry"):
        rows = []
        for part in (4, 2, 1):
            row, report = timed([rankings[one] for one in np.sort(order[: len(order) // part])], method)
            print(method, row, flush=True)
            rows.append(row)
        result[method] = rows
    result |= worth(rankings, report)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
