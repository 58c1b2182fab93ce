"""The CSV files of the overseer, read back by Python's own reader."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest

from labeling.oversight import csv_tables, overview
from labeling.store import accounts
from labeling.store.batches import mark_instructions_read
from labeling.store.schema import Batch
from labeling.store.snapshots import take_snapshot
from models.preferences.consensus import agree
from models.settings.pipeline import ConsensusConfig
from tests.labeling.oversight.overseen import SHOWN, THREE, a_week, figures, gold, says
from tests.labeling.people import COMPLETIONS, NOW, PROMPTS, People


@pytest.fixture
def week(store) -> People:
    return a_week(store)


def read_csv(pieces) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(pieces), newline="")))


def test_the_csv_of_judgements_holds_every_revision_with_its_marks(store):
    people = People(store, THREE.model_copy(update={"gold_every": 2}), gold=[gold([[0], [1], [2]])])
    with store.write() as session:
        mark_instructions_read(session, people.ids["ann"], people.batch_id, 1, NOW)
    people.minutes = 1
    note = 'two lines,\r\nand "quotes", Grüße'
    given = says(people, "ann", [[0, 1]], unusable=[2], note=note)
    says(people, "ann", SHOWN)  # gold
    people.minutes += 1
    people.says("ann", given, [[one for one, _ in given.completions]], note='=HYPERLINK("http://example.org")')
    people.takes_back("ann")
    says(people, "bob", SHOWN)
    says(people, "cleo", SHOWN)
    with store.write() as session:
        accounts.withdraw(session, "bob", "asked to", NOW)
    with store.read() as session:
        rows = read_csv(csv_tables.csv_text(csv_tables.JUDGEMENT_COLUMNS, csv_tables.judgement_rows(session, None)))
        of_batch = list(csv_tables.judgement_rows(session, people.batch_id))
        assert list(csv_tables.judgement_rows(session, "b_other")) == []
    assert len(rows) == len(of_batch) == 6
    marks = ("labeler", "revision", "gold", "taken_back", "counts", "withdrawn")
    assert [tuple(row[mark] for mark in marks) for row in rows] == [
        ("ann", "1", "no", "no", "no", "no"),
        ("ann", "1", "yes", "no", "no", "no"),
        ("ann", "2", "no", "no", "no", "no"),
        ("ann", "3", "no", "yes", "no", "no"),
        ("bob", "1", "no", "no", "no", "yes"),
        ("cleo", "1", "no", "no", "yes", "no"),
    ]
    first, _, second, third, *_ = rows
    a, b, c = (one.id for one in COMPLETIONS[:3])
    assert json.loads(first["levels"]) == [sorted([a, b])]
    assert (json.loads(first["unusable"]), json.loads(first["reasons"])) == ([c], ["wrong"])
    assert json.loads(first["shown_order"]) == [one for one, _ in given.completions]
    assert (first["note"], first["seconds"], first["instructions_version"]) == (note, "60.0", "1")
    assert datetime.fromisoformat(first["created_at"]) == datetime(2026, 11, 20, 12, 2, tzinfo=UTC)
    assert (first["batch"], first["criterion"], first["prompt_id"]) == (people.batch_id, "helpfulness", PROMPTS[0].id)
    assert first["prompt"] == "Problem 0?"
    assert list(json.loads(first["completions"]).items()) == given.completions
    assert second["note"] == '\'=HYPERLINK("http://example.org")'
    assert [third[name] for name in ("levels", "unusable", "wanted", "degree")] == [""] * 4


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe(text):
    assert read_csv(csv_tables.csv_text(["note", "number"], [[text, -0.5]])) == [{"note": f"'{text}", "number": "-0.5"}]


def test_long_csv_comes_in_pieces():
    pieces = list(csv_tables.csv_text(["n"], ([n] for n in range(2500))))
    assert len(pieces) == 3
    assert [int(row["n"]) for row in read_csv(pieces)] == list(range(2500))


def test_the_csv_of_figures_and_consensus(week):
    found = figures(week)
    rows = read_csv(csv_tables.csv_text(csv_tables.LABELER_COLUMNS, csv_tables.labeler_rows(found.labelers)))
    assert [(row["labeler"], row["judgements"], row["gold_accuracy"]) for row in rows] == [
        ("ann", "4", ""),
        ("bob", "4", ""),
        ("cleo", "4", ""),
    ]
    rows = read_csv(csv_tables.csv_text(csv_tables.AGREEMENT_COLUMNS, csv_tables.agreement_rows(found.agreement)))
    assert float(rows[-1]["mean_tau_b"]) == found.agreement[-1].tau_b
    with week.store.read() as session:
        agreed = overview.batch_consensus(session, session.get_one(Batch, week.batch_id))
        held = take_snapshot(session, "helpfulness").rankings
    assert agreed == agree(held, ConsensusConfig())[0]
    names = [name for level in agreed[0].levels for name in level]
    marked = agreed[0].model_copy(update={"levels": ((names[0],), (names[1],)), "unusable": (names[2],)})
    with week.store.read() as session:
        made = list(csv_tables.consensus_rows(session, [marked]))
    rows = read_csv(csv_tables.csv_text(csv_tables.CONSENSUS_COLUMNS, made))
    assert [(row["place"], row["unusable"], row["labelers"]) for row in rows] == [
        ("1", "no", "3"),
        ("2", "no", "3"),
        ("", "yes", "3"),
    ]
    text = {one.id: one.text for one in COMPLETIONS}
    asked = {one.id: one.text for one in PROMPTS}[marked.prompt_id]
    assert [(row["prompt"], row["completion"]) for row in rows] == [(asked, text[row["completion_id"]]) for row in rows]
