"""Records: ids from content, and rankings that cannot contradict themselves."""

import gc

import pytest
from pydantic import ValidationError

from models.errors import DataError
from models.records import Completion, Prompt, Ranking, collector_paused, read_records, write_records
from models.settings.presets import load_config, require_files
from tests.test_presets import TINY


def test_ids_follow_from_content():
    prompt = Prompt.of("My house is too hot.", "train")
    assert prompt.id == Prompt.of("My house is too hot.", "test").id  # the text alone: no text on both sides of a split
    assert prompt.id != Prompt.of("My house is too cold.", "train").id
    assert Completion.of(prompt.id, "Wait.").id == Completion.of(prompt.id, "Wait.", ended=False).id
    assert len({Completion.of(of, text).id for of in (prompt.id, "p_2") for text in ("Wait.", "Wait")}) == 4


def test_a_tie_has_no_order():
    one, other = (
        Ranking.of("p", "ann", "helpfulness", [["b"], tie], unusable)
        for tie, unusable in ((["a", "d"], ["c", "e"]), (["d", "a"], ["e", "c"]))
    )
    assert one == other and one.id != Ranking.of("p", "ann", "helpfulness", [["b"], ["a"], ["d"]], ["c", "e"]).id
    assert one.id != Ranking.of("p", "ann", "helpfulness", one.levels, one.unusable, session="second").id


def test_places_share_ties_and_put_unusable_last():
    ranking = Ranking.of("p", "ann", "helpfulness", [["b"], ["a", "d"]], ["c"])
    assert ranking.places == {"b": 1, "a": 2, "d": 2, "c": 3}


@pytest.mark.parametrize(
    ("levels", "unusable", "reason"),
    [
        ([["a"], ["a"]], [], "completion a stands more than once"),
        ([["a"]], ["a"], "completion a stands more than once"),
        ([["a"], []], [], "a level of the ranking is empty"),
        ([], [], "must name at least one completion"),
    ],
)
def test_a_ranking_that_contradicts_itself_is_refused(levels, unusable, reason):
    with pytest.raises(ValidationError, match=reason):
        Ranking.of("p", "ann", "helpfulness", levels, unusable)


def test_records_come_back_as_they_were(tmp_path):
    prompts = [Prompt.of(text, "train") for text in ("Zu heiß!", 'a "quoted"\nline')]
    assert write_records(tmp_path / "prompts.jsonl", prompts) == 2
    assert read_records(tmp_path / "prompts.jsonl", Prompt) == prompts


def test_a_bad_record_is_named_by_file_and_line(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"id": "p_1", "text": "a", "split": "train"}\n{"id": "p_2", "text": "b", "split": "dev"}\n')
    with pytest.raises(DataError, match=rf"{file}:2: split: Input should be 'train', 'validation' or 'test'"):
        read_records(file, Prompt)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "p_2", "text": "b"', "not JSON (Expecting ',' delimiter at column 26)"),
        (b'["p_2", "b", "train"]', "expected a JSON object, found list"),
        (b'{"id": "p_2", "text": "\xff", "split": "train"}', "not UTF-8 (invalid start byte at byte 24)"),
        (
            b'{"id": "p_2", "text": 2, "split": "train", "note": ""}',
            "text: Input should be a valid string; note: Extra",
        ),
    ],
)
def test_a_line_that_is_no_record_is_named_with_its_reason(tmp_path, line, reason):
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(b'{"id": "p_1", "text": "a", "split": "train"}\r\n\n' + line + b"\n")
    with pytest.raises(DataError) as caught:
        read_records(file, Prompt)
    assert str(caught.value).startswith(f"{file}:3: {reason}")
    assert gc.isenabled()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path / 'gone.jsonl'}: no such file"):
        read_records(tmp_path / "gone.jsonl", Prompt)


def test_the_collector_pauses_while_records_are_made_and_stays_off_where_it_was():
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_every_missing_file_is_named_by_its_key(tmp_path):
    there = tmp_path / "there.jsonl"
    there.write_text("{}")
    sources = ["prompts.source={kind: file, path: gone.csv}", "sft.source={kind: file, path: lost.csv}"]
    with pytest.raises(
        DataError, match=r"prompts\.source\.path: gone\.csv: no such file.*sft\.source\.path: lost\.csv"
    ):
        require_files(load_config(TINY, sources))
    require_files(load_config(TINY, [f"prompts.source={{kind: file, path: {there}}}"]))
    with pytest.raises(DataError, match=r"promotion\.safety_model: nowhere: no such file"):
        require_files(load_config(TINY, ["promotion.safety_model=nowhere"]))
