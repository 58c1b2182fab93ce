"""What benchmarks/crowd.py makes of a crowd's judgements. The trial itself does not run here."""

import json

import numpy as np

from benchmarks.crowd import competence, read_judgements, turned_round
from models.preferences.vote_table import VoteTable


def test_judgements_and_what_they_are_worth(tmp_path):
    # Four who know the answer of thirty pairs, one who draws it.
    rng = np.random.default_rng(0)
    rows = []
    for number in range(30):
        right, drawn = rng.choice(["a1", "a2", "equal"], 2)
        said = [{"annotator": name, "choice": right} for name in "abcd"] + [{"annotator": "e", "choice": drawn}]
        names = {"id": f"{number}", "topic": "t", "a1": f"x{number}", "a2": f"y{number}"}
        rows.append(names | {"judgments": said})
    file = tmp_path / "judgments.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rankings = read_judgements(file)
    assert (len(rankings), len({one.labeler for one in rankings})) == (150, 5)
    knows = competence(VoteTable(rankings))
    assert knows[:4].min() > 0.95 and knows[4] < 0.5
    turned = turned_round(rankings, {"a"})
    assert [one.levels for one in turned if one.labeler == "b"] == [
        one.levels for one in rankings if one.labeler == "b"
    ]
    assert [one.levels[::-1] for one in turned if one.labeler == "a"] == [
        one.levels for one in rankings if one.labeler == "a"
    ]
