"""Texts, demonstrations and prompts from real small files; what is wrong in one is named by file and line."""

import csv
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pandas as pd
import pytest

from labeling.sources.hub import pin_revisions
from labeling.sources.read_source import read_demonstrations, read_prompts, read_texts
from labeling.worlds import household
from models.errors import ConfigError, DataError
from models.records import Completion, Prompt, Ranking, write_records
from models.settings.sources import DemonstrationFile, DemonstrationHub, FromFeedback, Household, TextFile, TextHub
from models.settings.training import PretrainingConfig
from tasks.running.cache_key import input_identity
from tests.free_port import free_port

ROWS = [("Ask", "Answer"), ("Ask, “again”", "Two\nlines"), ("Ask", "Another")]


@pytest.fixture(autouse=True)
def no_copy_elsewhere(tmp_path, monkeypatch):
    """`datasets` has a cache: nothing must be in it, which would be a copy of people's texts outside `storage.root`."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    yield
    assert {file.suffix for file in (tmp_path / "cache").rglob("*") if file.is_file()} <= {".lock"}


def write(path, rows=ROWS, columns=("prompt", "completion")):
    """Writes rows in the format that the file's ending says."""
    table = [dict(zip(columns, row, strict=True)) for row in rows]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(table, indent=1), encoding="utf-8")
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(table)
    else:
        pd.DataFrame(table).to_parquet(path)
    return path


def refusal(path, **source) -> str:
    with pytest.raises(DataError) as caught:
        read_texts(TextFile(path=str(path), **source), seed=0, feedback=None)
    return str(caught.value)


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_demonstrations_come_as_they_stand(tmp_path, ending):
    source = DemonstrationFile(path=str(write(tmp_path / f"rows{ending}")))
    assert read_demonstrations(source, seed=0, feedback=None) == ROWS


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_columns_have_the_names_that_the_config_gives(tmp_path, ending):
    path = write(tmp_path / f"rows{ending}", columns=("question", "reply"))
    source = DemonstrationFile(path=str(path), prompt_column="question", completion_column="reply")
    assert read_demonstrations(source, seed=0, feedback=None) == ROWS
    assert read_texts(TextFile(path=str(path), column="reply"), 0, None) == ["Answer", "Two\nlines", "Another"]


def test_prompts_are_read_with_their_repetitions(tmp_path):
    source = TextFile(path=str(write(tmp_path / "rows.jsonl")), column="prompt")
    assert read_prompts(source, seed=0) == ["Ask", "Ask, “again”", "Ask"]


def test_plain_text_is_one_text_a_line(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"\xef\xbb\xbfone\n  two \r\n\n \nthr\xc3\xa9e\xe2\x80\xa8more")
    assert read_texts(TextFile(path=str(path)), 0, None) == ["one", "  two ", "thr\u00e9e\u2028more"]
    path.write_bytes(b"one\ntw\xff\n")
    assert refusal(path).endswith(f"  {path}:2: not UTF-8 (invalid start byte at byte 3)")


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_texts_come_as_they_stand(tmp_path, ending):
    """None of these is a gap, a number or a truth, and what code is indented by is part of it."""
    rows = [("NA", "    return 1\n"), ("null", "007"), ("True", " 1.50 "), ("nan", "\ufeffx"), ("#N/A", "'")]
    source = DemonstrationFile(path=str(write(tmp_path / f"rows{ending}", rows)))
    assert read_demonstrations(source, seed=0, feedback=None) == rows


@pytest.mark.parametrize("name", ["a[1].csv", "a*.jsonl", "a?.parquet", "{a,b}.txt", "a b#.csv"])
def test_exactly_the_named_file_is_read(tmp_path, name):
    for other in ("a1", "a", "ab", "b"):
        (tmp_path / f"{other}{name[name.rindex('.') :]}").write_text("text\nanother file\n", encoding="utf-8")
    path = tmp_path / name
    if path.suffix == ".txt":
        path.write_text("mine\n", encoding="utf-8")
    else:
        write(path, [("mine",)], columns=("text",))
    assert read_texts(TextFile(path=str(path)), 0, None) == ["mine"]


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet", ".txt"])
def test_a_changed_file_is_read_anew_whatever_its_date_says(tmp_path, ending):
    path = tmp_path / "data" / f"train{ending}"
    path.parent.mkdir()
    sources = [TextFile(path=str(path)), TextHub(name=str(path.parent))]
    for text in ("first", "other"):
        if ending == ".txt":
            path.write_text(f"{text}\n", encoding="utf-8")
        else:
            write(path, [(text,)], columns=("text",))
        os.utime(path, (1_700_000_000, 1_700_000_000))
        assert [read_prompts(source, 0) for source in sources] == [[text], [text]]


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt"])
def test_a_missing_file(tmp_path, ending):
    assert refusal(tmp_path / f"none{ending}") == f"{tmp_path / f'none{ending}'}: no such file"


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".txt"])
def test_an_empty_file(tmp_path, ending):
    path = tmp_path / f"empty{ending}"
    path.touch()
    assert refusal(path) == f"{path}: the dataset is empty"


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_a_missing_column_is_named_with_those_there_are(tmp_path, ending):
    path = write(tmp_path / f"rows{ending}")
    assert refusal(path) == f"{path}: column: no column 'text'; there are 'prompt', 'completion'"


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("text", ["", "  "])
def test_a_row_without_text_is_named(tmp_path, ending, text):
    path = write(tmp_path / f"rows{ending}", [("one", "1"), ("two", "2"), (text, "3")], columns=("text", "note"))
    line = 4 if ending == ".csv" else 3
    assert refusal(path) == f"{path} does not fit (bad rows: 1):\n  {path}:{line}: text: expected text, found {text!r}"


@pytest.mark.parametrize("value", [5, None, ["a"], {"a": 1}])
def test_a_value_that_is_no_text_is_named(tmp_path, value):
    path = write(tmp_path / "rows.jsonl", [("one",), (value,)], columns=("text",))
    assert f"(bad rows: 1):\n  {path}:2: text: expected text, found {value!r}" in refusal(path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text" "two"}', "not JSON (Expecting ':' delimiter at column 9)"),
        ('{"text": "two', "not JSON (Unterminated string starting at at column 10)"),
        ('["two"]', "expected a JSON object, found list"),
    ],
)
def test_a_line_that_is_no_object_is_named(tmp_path, line, reason):
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"text": "one"}}\n\n{line}\n', encoding="utf-8")
    assert f"  {path}:3: {reason}" in refusal(path)


def test_blank_lines_alone_are_an_empty_dataset(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n\n", encoding="utf-8")
    assert refusal(path) == f"{path}: the dataset is empty"


def test_a_csv_of_its_header_alone(tmp_path):
    path = write(tmp_path / "rows.csv", [], columns=("text",))
    assert refusal(path) == f"{path}: the dataset is empty"


def test_a_parquet_file_without_rows_is_named(tmp_path):
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"text": pd.Series([], dtype=str)}).to_parquet(path)
    assert refusal(path).startswith(f"{path}: ")


def test_a_ragged_csv_is_named(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,note\none,1\ntwo,2,3,4\n", encoding="utf-8")
    assert f"  {path}:3: expected 2 fields, found 4" in refusal(path)


def test_a_broken_parquet_file_is_named(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    assert refusal(path).startswith(f"{path}: cannot be read as Parquet")


def test_an_unknown_ending(tmp_path):
    assert (
        refusal(tmp_path / "rows.xlsx")
        == f"{tmp_path / 'rows.xlsx'}: unknown ending; use one of .jsonl, .json, .csv, .tsv, .parquet, .txt"
    )


def test_the_tiny_world_gives_as_many_as_asked_for():
    source = Household(num_rows=7)
    assert read_prompts(source, seed=3) == household.prompts(7, 3)
    assert len(read_texts(source, 3, None)) == len(read_demonstrations(source, 3, None)) == 7
    assert read_prompts(source, seed=3) != read_prompts(source, seed=4)


def test_of_feedback_only_training_prompts_are_read(tmp_path):
    train, held_out = Prompt.of("Ask", "train"), Prompt.of("Hidden", "test")
    write_records(tmp_path / "prompts.jsonl", [train, held_out])
    said = [(train, "yes"), (train, "no"), (held_out, "secret")]
    write_records(tmp_path / "completions.jsonl", [Completion.of(prompt.id, text) for prompt, text in said])
    write_records(tmp_path / "rankings.jsonl", [])
    assert read_demonstrations(FromFeedback(), 0, tmp_path) == [("Ask", "yes"), ("Ask", "no")]
    assert read_texts(FromFeedback(), 0, tmp_path) == ["Ask\nyes", "Ask\nno"]


def test_what_was_cut_off_or_is_unusable_is_not_imitated(tmp_path):
    prompt = Prompt.of("Ask", "train")
    write_records(tmp_path / "prompts.jsonl", [prompt])
    good, cut, bad, doubtful = (
        Completion.of(prompt.id, text, ended) for text, ended in [("a", True), ("b", False), ("c", True), ("d", True)]
    )
    write_records(tmp_path / "completions.jsonl", [good, cut, bad, doubtful])
    marked = {"ann": [bad.id, doubtful.id], "bob": [bad.id], "cy": []}
    rankings = [
        Ranking.of(prompt.id, name, "help", [[one.id] for one in (good, cut, bad, doubtful) if one.id not in ids], ids)
        for name, ids in marked.items()
    ]
    write_records(tmp_path / "rankings.jsonl", rankings)
    assert read_demonstrations(FromFeedback(), 0, tmp_path) == [("Ask", "a"), ("Ask", "d")]
    assert read_texts(FromFeedback(), 0, tmp_path) == ["Ask\na", "Ask\nb", "Ask\nc", "Ask\nd"], "text to pretrain on"


def test_a_hub_dataset_is_read_from_a_local_folder_too(tmp_path):
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "train-00000-of-00001.jsonl"
    write(file, [("one", "1"), ("two", "2")], columns=("body", "answer"))
    assert read_prompts(TextHub(name=str(tmp_path), column="body"), seed=0) == ["one", "two"]
    demonstrations = DemonstrationHub(name=str(tmp_path), prompt_column="body", completion_column="answer")
    assert read_demonstrations(demonstrations, 0, None) == [("one", "1"), ("two", "2")]
    with pytest.raises(DataError, match=r": column: no column 'text'; there are 'body', 'answer'"):
        read_prompts(TextHub(name=str(tmp_path)), seed=0)


def test_feedback_is_no_source_before_there_is_any():
    with pytest.raises(ConfigError, match="it is for flow learn"):
        read_texts(FromFeedback(), 0, None)


def test_a_folder_without_data_is_named(tmp_path):
    with pytest.raises(DataError, match="cannot be loaded"):
        read_prompts(TextHub(name=str(tmp_path)), seed=0)


@pytest.fixture
def hub(monkeypatch) -> Iterator[dict[str, str]]:
    """Stands for the hub, which cannot be had in tests: it answers one question as the hub does. Revision -> commit."""
    commits = {}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            revision = self.path.partition("/revision/")[2] or "main"
            found = self.path.startswith("/api/datasets/org/rows") and commits.get(revision)
            body = json.dumps({"id": "org/rows", "sha": found} if found else {"error": "Revision not found"}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield commits
    server.shutdown()
    server.server_close()


def test_a_revision_is_the_commit_that_it_is_now(hub, tmp_path):
    hub |= {"main": "a" * 40, "v1": "b" * 40}
    config = PretrainingConfig(source=TextHub(name="org/rows"))
    assert pin_revisions(config).source == TextHub(name="org/rows", revision="a" * 40)
    assert pin_revisions(TextHub(name="org/rows", revision="v1")).revision == "b" * 40
    before = input_identity(pin_revisions(config))
    hub["main"] = "c" * 40
    assert input_identity(pin_revisions(config)) != before, "the rows may be others, so nothing is taken from the cache"
    whole = DemonstrationHub(name="org/other", revision="d" * 40)
    assert pin_revisions(whole) == whole, "a commit is not asked about"
    with pytest.raises(DataError, match=r"dataset 'org/rows' at v2: the hub does not say its commit"):
        pin_revisions(TextHub(name="org/rows", revision="v2"))


def test_a_local_folder_has_no_revision(tmp_path):
    folder = TextHub(name=str(tmp_path))
    assert pin_revisions(folder) is folder
    with pytest.raises(ConfigError, match="revision: a local folder has none"):
        pin_revisions(folder.model_copy(update={"revision": "main"}))


def test_a_hub_that_is_away_is_named(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(DataError, match=r"dataset 'org/rows': the hub does not say its commit .*name a local folder"):
        pin_revisions(TextHub(name="org/rows"))
