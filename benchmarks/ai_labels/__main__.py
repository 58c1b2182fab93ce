"""Language models that label: how quickly they are asked, and what a preamble and chain of thought do.

    .venv/bin/python -m benchmarks.ai_labels throughput
    REIN_DATA=/path/to/data REIN_MODEL=/path/to/SmolLM2-135M-Instruct .venv/bin/python -m benchmarks.ai_labels preamble --data rankme --pairs 200

Writes benchmarks/results/ai_labels.json: a row for each case, in the place of the one that it held.
"""

import argparse
import json
import os
from pathlib import Path

from benchmarks.ai_labels import preamble, throughput
from benchmarks.trials import PROJECT, circumstances, keep

RESULTS = PROJECT / "benchmarks" / "results" / "ai_labels.json"


def main() -> None:
    """Reads the command line, measures, writes and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["throughput", "preamble"])
    parser.add_argument("--prompts", type=int, default=6400, help="of throughput; two questions each")
    parser.add_argument("--data", choices=preamble.PRESETS, default="rankme")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=71)
    parser.add_argument("--tokens", type=int, default=96, help="of chain of thought, at most")
    parser.add_argument("--kept", type=Path, default=PROJECT / ".rein" / "ai_labels" / "answers.jsonl")
    given = parser.parse_args()
    if given.part == "throughput":
        rows = iter([throughput.measure(given.prompts)])
    else:
        named = os.environ["REIN_MODEL"]
        model = {"kind": "local", "base": {"model": named}}
        measured = preamble.measure(given.data, model, given.pairs, given.seed, given.kept, given.tokens)
        rows = ({"model": Path(named).name, **row} for row in measured)
    for row in rows:
        print(json.dumps(row), flush=True)
        keep(RESULTS, circumstances() | {"part": given.part, **row}, ("part", "case"))


if __name__ == "__main__":
    main()
