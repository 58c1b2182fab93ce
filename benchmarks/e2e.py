"""The E2E challenge's rankings, from nothing, once a seed: does the policy get better by judges that nothing was tuned to please?

    export REIN_DATA=/path/to/data
    .venv/bin/python -m benchmarks.e2e --seeds 51 52 53

Each seed is the whole command `rein learn deployments/e2e.yaml` in a folder of its own. Writes benchmarks/results/e2e.json after each one, and prints
the figures beside what is wanted of them. `python -m benchmarks.picture benchmarks/results/e2e.json` draws the versions beside people's texts.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.trials import PROJECT, circumstances, print_table, run_trial
from models.evaluation.references import FIGURE, VERSIONS

PRESET = "deployments/e2e.yaml"
RESULTS = PROJECT / "benchmarks" / "results" / "e2e.json"
BESIDE_PEOPLE = (
    *("judges", "best_of", "reference_prompts_asked"),
    *(
        f"{FIGURE}/{version}/{judge}{end}"
        for version in VERSIONS
        for judge in ("restaurant_facts", "held_out_reward", "own_reward")
        for end in ("", "_low", "_high")
    ),
)
"""Figures of a report that the picture is drawn of."""
REPORTED = (
    *BESIDE_PEOPLE,
    *("facts_missing_base", "facts_wrong_base", "facts_missing_policy", "facts_wrong_policy", "perfect_base"),
    *("perfect_policy", "kl_nats", "reward_labeler_accuracy", "reward_labeler_ceiling", "reward_length_rule"),
    *("reward_ngrams", "held_out_reward_accuracy", "tuning_kept_update", "tuning_kept_by", "peak_update"),
    *("over_optimised", "end_rate", "distinct_completions", "cpu"),
)


def row_of(trial: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a seed. `facts_wrong_*` counts what a text leaves out, gets wrong or makes up."""
    judges = {
        kind: {name: said[f"win_rate{end}"] for name, end in (("win_rate", ""), ("low", "_low"), ("high", "_high"))}
        for kind, said in trial["judges"].items()
    }
    wrong = {
        f"facts_wrong_{model}": trial[f"facts_missing_{model}"] + trial[f"facts_wrong_{model}"]
        for model in ("base", "policy")
    }
    named = {
        "reward_accuracy_held_out": "reward_labeler_accuracy",
        "ceiling": "reward_labeler_ceiling",
        "length_rule": "reward_length_rule",
        "ngrams": "reward_ngrams",
        "seconds": "wall_seconds",
    }
    same = ("perfect_base", "perfect_policy", "kl_nats", "held_out_reward_accuracy", "tuning_kept_update")
    same += ("tuning_kept_by", "peak_update", "over_optimised", "end_rate", "distinct_completions", "cpu")
    return {
        "seed": trial["seed"],
        "judges": judges,
        **wrong,
        **{name: trial[name] for name in same},
        **{name: trial[of_report] for name, of_report in named.items()},
        "device": "cpu",
        "beside_people": {name: trial[name] for name in BESIDE_PEOPLE},
    }


def verdicts(rows: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """What is wanted of all seeds together, and whether it is so."""
    facts, people = ([row["judges"][kind] for row in rows] for kind in ("restaurant_facts", "held_out_reward"))
    return {
        "facts win rate, lower end above .5 in each seed": all(one["low"] > 0.5 for one in facts),
        "facts win rate, mean at least .60": fmean(one["win_rate"] for one in facts) >= 0.6,
        "facts wrong or missing, mean down by a quarter": fmean(row["facts_wrong_policy"] for row in rows)
        <= 0.75 * fmean(row["facts_wrong_base"] for row in rows),
        "held-out workers, lower end above .5 in each seed": all(one["low"] > 0.5 for one in people),
        "KL under 15 nats in each seed": all(row["kl_nats"] < 15 for row in rows),
        "reward accuracy, mean above n-grams by .02": fmean(
            row["reward_accuracy_held_out"] - row["ngrams"] for row in rows
        )
        >= 0.02,
        "25 minutes in each seed": all(row["seconds"] <= 1500 for row in rows),
    }


def keep(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the rows, beside where they come from and what is wanted of them."""
    told = circumstances() | {"preset": PRESET, "as_wanted": verdicts(rows), "rows": list(rows)}
    file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Reads the command line, runs, writes and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("overrides", nargs="*", help="key.path=value")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        rows.append(row_of(run_trial("learn", PRESET, seed, arguments.overrides, figures=REPORTED)))
        keep(RESULTS, rows)
    print_table([{name: value for name, value in row.items() if not isinstance(value, dict)} for row in rows])
    for wanted, is_so in verdicts(rows).items():
        print(f"{wanted}: {'yes' if is_so else 'NO'}")


if __name__ == "__main__":
    main()
