"""What is exported is read back: by this project, and in the form that others read."""

import json
import os
from pathlib import Path

import datasets
import pytest
from pyarrow.parquet import read_table

from labeling.exporters.tables import export_consensus, export_elo, export_pairs, export_raw, export_standings
from labeling.feedback import Feedback, in_order, rankings_of_ratings
from models.conversation import conversation
from models.errors import DataError
from models.preferences.consensus import agree
from models.records import Authorship, Completion, Consensus, Pair, Prompt, Ranking, Rating, read_records
from models.settings.labels import AnnotatedFile, FeedbackFolder, PairFile
from models.settings.pipeline import ConsensusConfig
from tests.labeling.importers.feedback_files import read, read_rest

TALK = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Name a fruit."},
]
HH = Prompt.of(conversation(TALK), "train")
PLAIN = Prompt.of('My "sink"\n drips,\u2028 ☂ what now?', "test")
PLUM, SAND, FIG = (Completion.of(HH.id, text) for text in [" Plum", " Sand", " Fig"])
WAIT, SING = (Completion.of(PLAIN.id, text, ended=False) for text in ["Wait.", "Sing\0\t."])
RATINGS = tuple(Rating.of(PLAIN.id, one.id, "bob", "helpfulness", one is WAIT) for one in (WAIT, SING))
FEEDBACK = Feedback(
    [HH, PLAIN],
    [PLUM, SAND, FIG, WAIT, SING],
    [
        Ranking.of(HH.id, "ann", "helpfulness", [[PLUM.id], [FIG.id]], [SAND.id], shown=[SAND.id, PLUM.id, FIG.id]),
        Ranking.of(HH.id, "bob", "helpfulness", [[PLUM.id, FIG.id]]),  # bob was shown two of the three
        Ranking.of(HH.id, "bob", "helpfulness", [[PLUM.id], [SAND.id]]),
        *rankings_of_ratings(RATINGS),
    ],
    RATINGS,
    [Authorship(completion_id=PLUM.id, system="tree"), Authorship(completion_id=PLUM.id, system="market")],
)
PAIRS = [
    Pair(prompt_id=HH.id, chosen=FIG.id, rejected=PLUM.id),
    Pair(prompt_id=HH.id, chosen=PLUM.id, rejected=SAND.id, label=0.5),
    Pair(prompt_id=PLAIN.id, chosen=WAIT.id, rejected=SING.id, label=0.75, weight=0.5, margin=0.25),
]


def json_lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def test_raw_feedback_is_read_back_exactly(tmp_path):
    export_raw(FEEDBACK, tmp_path)
    assert read(FeedbackFolder(path=str(tmp_path))) == in_order(FEEDBACK)
    plain = Feedback(FEEDBACK.prompts, FEEDBACK.completions, FEEDBACK.rankings)
    export_raw(plain, tmp_path)  # over the first one: its ratings are gone
    assert read(FeedbackFolder(path=str(tmp_path))) == in_order(plain)


def test_ratings_without_rankings_are_read_back_exactly(tmp_path):
    only_ratings = Feedback([PLAIN], [WAIT], [], RATINGS[:1])
    export_raw(only_ratings, tmp_path)
    assert read(FeedbackFolder(path=str(tmp_path))) == in_order(only_ratings)


@pytest.mark.parametrize("kind", ["annotated", "pairs"])
def test_real_feedback_is_read_back_exactly(tmp_path, kind):
    data = os.environ.get("REIN_DATA")
    if not data:
        pytest.skip("REIN_DATA is not set: no folder with real feedback")
    config = {
        "annotated": AnnotatedFile(
            path=f"{data}/rankings/rankme_rankings.jsonl",
            where={"criterion": "quality"},
            criterion="quality",
            session_column="setup",
            identical_texts="mean",
        ),
        "pairs": PairFile(path=f"{data}/pairs/hh_helpful_base.test.jsonl", criterion="quality"),
    }[kind]
    feedback, _ = read_rest(config, tmp_path) if kind == "pairs" else (read(config), [])
    export_raw(feedback, tmp_path)
    assert read(FeedbackFolder(path=str(tmp_path), criterion="quality")) == feedback
    assert len(feedback.rankings) > 400


def test_consensus_is_read_back_from_both_files(tmp_path):
    agreed = [
        Consensus(
            prompt_id=HH.id,
            criterion="taste",
            levels=((PLUM.id, FIG.id),),
            unusable=(SAND.id,),
            strengths={PLUM.id: 1.5, FIG.id: 1.25, SAND.id: -2.75},
            confidence=0.8125,
            num_labelers=3,
        ),
        Consensus(
            prompt_id=PLAIN.id,
            criterion="taste",
            levels=((WAIT.id,), (SING.id,)),
            strengths={WAIT.id: 0.5, SING.id: -0.5},
            confidence=0.75,
            num_labelers=1,
            margins={WAIT.id: {SING.id: 0.5}},
        ),
    ]
    export_consensus(agreed, tmp_path)
    assert read_records(tmp_path / "consensus.jsonl", Consensus) == agreed
    rows = read_table(tmp_path / "consensus.parquet").to_pylist()
    assert rows[0].keys() == Consensus.model_fields.keys()
    for row in rows:
        row["strengths"] = {one["completion_id"]: one["strength"] for one in row["strengths"]}
        row["margins"] = {one["better_id"]: {one["worse_id"]: one["margin"]} for one in row["margins"]}
    assert [Consensus.model_validate(row) for row in rows] == agreed


def test_datasets_loads_every_file(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    plain = Feedback(FEEDBACK.prompts, FEEDBACK.completions, FEEDBACK.rankings)
    agreed, _ = agree(plain.rankings, ConsensusConfig())
    folder = tmp_path / "exported"
    folder.mkdir()
    export_raw(plain, folder)
    export_consensus(agreed, folder)
    export_pairs(PAIRS, plain, folder)
    found = {}
    for file in folder.iterdir():
        kind = "parquet" if file.suffix == ".parquet" else "json"
        found[file.name] = datasets.load_dataset(kind, data_files=str(file), split="train").num_rows
    assert found == {
        **{"prompts.jsonl": 2, "completions.jsonl": 5, "rankings.jsonl": 4},
        **{f"consensus.{ending}": 2 for ending in ("jsonl", "parquet")},
        **{f"{name}.{ending}": 2 for name in ("pairs", "pairs_conversational") for ending in ("jsonl", "parquet")},
    }


def test_systems_are_rated(tmp_path):
    """Two systems wrote plum: each beats whoever wrote sand, and they have no match against each other."""
    wrote = [(PLUM, "x"), (PLUM, "y"), (SAND, "z"), (FIG, "z")]
    systems = [Authorship(completion_id=one.id, system=name) for one, name in wrote]
    ranked = [
        Ranking.of(HH.id, "ann", "taste", [[PLUM.id], [SAND.id]]),
        Ranking.of(HH.id, "bob", "taste", [[FIG.id, SAND.id]]),
    ]
    export_standings(ranked, systems, tmp_path)
    assert [(one["name"], one["num_matches"]) for one in json_lines(tmp_path / "standings.jsonl")] == [
        ("x", 1),
        ("y", 1),
        ("z", 2),
    ]
    export_standings(ranked, [], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_pairs_are_written_with_their_texts_and_ids(tmp_path):
    assert export_pairs(PAIRS, FEEDBACK, tmp_path) == (2, 1)
    rows = json_lines(tmp_path / "pairs.jsonl")
    assert rows[0] == {
        "prompt": "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Name a fruit.\n\nAssistant:",
        "chosen": " Fig",
        "rejected": " Plum",
        "label": 1.0,
        "weight": 1.0,
        "margin": 0.0,
        "split": "train",
        "prompt_id": HH.id,
        "chosen_id": FIG.id,
        "rejected_id": PLUM.id,
    }
    assert [rows[1][name] for name in ("label", "weight", "margin", "split")] == [0.75, 0.5, 0.25, "test"]
    assert read_table(tmp_path / "pairs.parquet").to_pylist() == rows
    talks = json_lines(tmp_path / "pairs_conversational.jsonl")
    assert talks[0]["prompt"] == TALK
    assert talks[0]["chosen"] == [{"role": "assistant", "content": "Fig"}], "as it is learned from"
    assert talks[1]["prompt"] == [{"role": "user", "content": PLAIN.text}]
    assert talks[1]["rejected"] == [{"role": "assistant", "content": SING.text}]
    assert read_table(tmp_path / "pairs_conversational.parquet").to_pylist() == talks


@pytest.mark.parametrize(
    "name", ["pairs.jsonl", "pairs.parquet", "pairs_conversational.jsonl", "pairs_conversational.parquet"]
)
def test_exported_pairs_are_imported_as_the_same_preferences(tmp_path, name):
    export_pairs(PAIRS, FEEDBACK, tmp_path)
    back = read(PairFile(path=str(tmp_path / name)))
    texts = {one.id: one.text for one in back.completions}
    assert {one.text for one in back.prompts} == {HH.text, PLAIN.text}
    said = {tuple(texts[own] for (own,) in one.levels) for one in back.rankings}
    assert said == {("Fig", "Plum") if "conversational" in name else (" Fig", " Plum"), (WAIT.text, SING.text)}


def test_no_pairs_make_empty_files(tmp_path):
    assert export_pairs([], FEEDBACK, tmp_path) == (0, 0)
    assert read_table(tmp_path / "pairs.parquet").column_names[:3] == ["prompt", "chosen", "rejected"]


def test_a_pair_of_something_unknown_is_refused(tmp_path):
    stray = Pair(prompt_id=HH.id, chosen="c_nobody", rejected=PLUM.id)
    with pytest.raises(DataError, match=f"a pair of prompt {HH.id} names c_nobody, which the feedback does not hold"):
        export_pairs([stray], FEEDBACK, tmp_path)


def test_elo_is_rated_prompt_by_prompt(tmp_path):
    rankings = [Ranking.of("p_1", name, "c", [["c_a"], ["c_b"]]) for name in ("ann", "bob")]
    rankings += [Ranking.of("p_2", "ann", "c", [["c_x", "c_y"]]), Ranking.of("p_3", "ann", "c", [], ["c_u", "c_v"])]
    export_elo(rankings, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "elo.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["prompt_id"], row["completion_id"], row["num_matches"]) for row in rows] == [
        ("p_1", "c_a", 2),
        ("p_1", "c_b", 2),
        ("p_2", "c_x", 1),
        ("p_2", "c_y", 1),
    ]
    assert rows[0]["rating"] > 1500 > rows[1]["rating"] and rows[2]["rating"] == rows[3]["rating"] == 1500
    assert rows[0]["low"] < rows[0]["rating"] < rows[0]["high"]
