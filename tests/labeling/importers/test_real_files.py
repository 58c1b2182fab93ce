"""Rankings of real people, read as those who gathered them meant: every ranking, every person, whatever the order of rows and lists."""

import json
import os
import random
from pathlib import Path

import pytest

from labeling.feedback import Feedback, in_order
from models.preferences.elo import elo_ratings, meetings_of_systems
from models.records import Ranking
from models.settings.labels import AnnotatedFile, PairFile
from tests.labeling.importers.feedback_files import read, read_rest, write_lines

DATA = Path(os.environ.get("REIN_DATA", "/nowhere"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="REIN_DATA is not set: no folder with real feedback")


def rows_of(name: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def e2e(path: Path, criterion: str) -> AnnotatedFile:
    more = {"held_out_column": "mr_id", "identical_texts": "mean"}
    return AnnotatedFile(path=str(path), criterion=criterion, **more)


@pytest.mark.parametrize(
    ("criterion", "num_rankings", "num_people"), [("quality", 2979, 112), ("naturalness", 4239, 107)]
)
def test_e2e(tmp_path, criterion, num_rankings, num_people):
    file = f"rankings/e2e_{criterion}.jsonl"
    feedback = read(e2e(DATA / file, criterion))
    assert (len(feedback.rankings), len({one.labeler for one in feedback.rankings})) == (num_rankings, num_people)

    rows = rows_of(file)
    random.Random(0).shuffle(rows)
    for row in rows:
        order = random.Random(row["id"]).sample(range(5), 5)
        row["completions"] = [row["completions"][place] for place in order]
        for said in row["annotations"]:
            said["ranks"] = [said["ranks"][place] for place in order]
    assert read(e2e(write_lines(tmp_path / "shuffled.jsonl", rows), criterion)) == feedback

    apart: dict[str, list[dict]] = {}
    for row in rows:
        for said in row["annotations"]:
            apart.setdefault(said["annotator"], []).append(row | {"annotations": [said]})
    parts = [read(e2e(write_lines(tmp_path / f"{name}.jsonl", own), criterion)) for name, own in sorted(apart.items())]
    prompts, completions = ({one.id: one for part in parts for one in part[place]}.values() for place in (0, 1))
    rankings = [one for part in parts for one in part.rankings]
    assert in_order(Feedback(list(prompts), list(completions), rankings)) == feedback


@pytest.mark.parametrize(
    ("criterion", "first", "last"),
    [("quality", {"slug", "tuda"}, {"chen", "sheff2"}), ("naturalness", {"sheff2", "slug"}, {"forge3", "tr2"})],
)
def test_the_systems_of_e2e_stand_as_people_have_ranked_them(criterion, first, last):
    """Twenty-one of them; slug, which won the challenge, leads by quality, and sheff2 closes there and leads by naturalness (Dušek et al.
    2018)."""
    config = e2e(DATA / f"rankings/e2e_{criterion}.jsonl", criterion).model_copy(update={"systems_column": "systems"})
    feedback = read(config)
    named = [one.name for one in elo_ratings(meetings_of_systems(feedback.rankings, feedback.systems))]
    assert len(named) == 21 and set(named[:2]) == first and set(named[-2:]) == last


def test_rankme(tmp_path):
    more = {"where": {"criterion": "quality"}, "session_column": "setup", "identical_texts": "mean"}
    feedback = read(
        AnnotatedFile(
            path=str(DATA / "rankings/rankme_rankings.jsonl"), criterion="quality", held_out_column="mr_id", **more
        )
    )
    rows = [row for row in rows_of("rankings/rankme_rankings.jsonl") if row["criterion"] == "quality"]
    people = {said["annotator"] for row in rows for said in row["annotations"]}
    assert len(feedback.rankings) == sum(len(row["annotations"]) for row in rows)
    assert {one.labeler for one in feedback.rankings} == people
    assert {one.session for one in feedback.rankings} == {row["setup"] for row in rows}


@pytest.mark.parametrize("name", ["helpful_base", "harmless_base"])
def test_hh(tmp_path, name):
    """What is set aside is dirt: empty completions, markers inside one, the same text twice."""
    feedback, rejected = read_rest(PairFile(path=str(DATA / f"pairs/hh_{name}.test.jsonl")), tmp_path)
    assert len(feedback.rankings) + len(rejected) == 500 and len(rejected) < 20


def argued(folder: Path) -> AnnotatedFile:
    """Which argument convinces more (Habernal and Gurevych 2016): texts joined to judgments."""
    texts = {row["id"]: row["text"] for row in rows_of("convincing/arguments.jsonl")}
    ranks = {"a1": [1, 2], "a2": [2, 1], "equal": [1, 1]}
    rows = [
        {
            **{"pair": row["id"], "prompt": f"{row['question']} {row['stance']}"},
            "completions": [texts[row["a1"]], texts[row["a2"]]],
            "annotations": [{"annotator": one["annotator"], "ranks": ranks[one["choice"]]} for one in row["judgments"]],
        }
        for row in rows_of("convincing/judgments.jsonl")
    ]
    file = write_lines(folder / "convincing.jsonl", rows)
    return AnnotatedFile(path=str(file), criterion="convincing", session_column="pair", identical_texts="mean")


def test_convincing_arguments(tmp_path):
    feedback = read(argued(tmp_path))
    assert len(feedback.rankings) == 84_445 and len({one.labeler for one in feedback.rankings}) == 3815
    said = [one["choice"] for row in rows_of("convincing/judgments.jsonl") for one in row["judgments"]]
    assert sum(is_tie(one) for one in feedback.rankings) >= said.count("equal")


def is_tie(ranking: Ranking) -> bool:
    return len(ranking.levels) == 1
