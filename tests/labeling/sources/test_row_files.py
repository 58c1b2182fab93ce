"""Rows of JSON Lines, CSV and Parquet files: read as they stand, or named as bad."""

import json

import pyarrow
import pytest
from pyarrow.parquet import write_table

from labeling.sources.bad_rows import BadRows, Row, shown
from labeling.sources.row_files import read_rows
from models.errors import DataError


def rows_of(file, content: bytes) -> tuple[list[tuple[int, dict]], list[str]]:
    """(line, values) of the good rows, and the complaints `line: reason` about the others."""
    file.write_bytes(content)
    bad = BadRows()
    good = [(row.line, row.values) for row in read_rows(file, bad)]
    if not bad:
        return good, []
    with pytest.raises(DataError) as caught:
        bad.refuse("it")
    return good, [line.removeprefix(f"  {file}:") for line in str(caught.value).splitlines()[1:]]


def test_lines_are_counted_and_blank_ones_skipped(tmp_path):
    good, bad = rows_of(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"a": "\xe2\x80\xa8"}')
    assert good == [(1, {"a": 1}), (4, {"a": "\u2028"})]
    assert bad == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON (Expecting property name enclosed in double quotes at column 2)"),
        (b'{"a": 1', "not JSON (Expecting ',' delimiter at column 8)"),
        (b'"a"', "expected a JSON object, found str"),
        (b'{"a": "\xff"}', "not UTF-8 (invalid start byte at byte 8)"),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON (Expecting value at column 1)"),
        (b'{"a": "\\ud83d"}', "a: holds half of a surrogate pair, which is no character"),
        (b'{"\\ud83d": 1}', "\\ud83d: holds half of a surrogate pair, which is no character"),
        (b'{"a": [{"b": "\\uDC00"}]}', "a: holds half of a surrogate pair, which is no character"),
        (b'{"a": 1, "a": 2}', "the same field stands in it more than once: a"),
        (b'{"a": {"b": 1, "b": 1}}', "the same field stands in it more than once: b"),
        (b'{"a": ' + b"1" * 5000 + b"}", "not JSON (a number is too long)"),
        (b"[" * 100_000, "not JSON (nested too deeply)"),
        (b'{"a": "\x00"}', "not JSON (Invalid control character at at column 8)"),
        (b"\x00", "not JSON (Expecting value at column 1)"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path, line, reason):
    good, bad = rows_of(tmp_path / "a.jsonl", b'{"a": "\\ud83d\\ude00"}\n' + line + b'\n{"a": "\\u0000"}\n')
    assert good == [(1, {"a": "\U0001f600"}), (3, {"a": "\0"})]
    assert bad == [f"2: {reason}"]


def test_csv_keeps_texts_as_they_stand(tmp_path):
    content = b'\xef\xbb\xbfa,b\r\n1,"x\ny"\r\n\r\n" 2 ","""" '.removesuffix(b" ") + b"\r\n"
    good, bad = rows_of(tmp_path / "a.csv", content)
    assert good == [(2, {"a": "1", "b": "x\ny"}), (5, {"a": " 2 ", "b": '"'})]
    assert bad == []


def test_csv_rows_of_another_width_or_encoding_are_named(tmp_path):
    good, bad = rows_of(tmp_path / "a.csv", b'a,b\n1\n1,2,3\n"x\n\xff",1\n1,2\n')
    assert good == [(6, {"a": "1", "b": "2"})]
    assert bad == ["2: expected 2 fields, found 1", "3: expected 2 fields, found 3", "4: not UTF-8"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "it is empty; its first line should name the columns"),
        (b"a,b,a\n", "two columns have the same name: a"),
        (b"a,\xff\n", ":1: not UTF-8"),
        (b'a\n1\n"2\n3\n', ":3: not CSV (unexpected end of data), so it is not known where the next row begins"),
        (b'a\n"1" 2\n', ":2: not CSV (',' expected after '\"')"),
    ],
)
def test_a_csv_file_whose_form_is_broken_is_refused(tmp_path, content, complaint):
    with pytest.raises(DataError) as caught:
        rows_of(tmp_path / "a.csv", content)
    assert str(tmp_path / "a.csv") in str(caught.value)
    assert complaint in str(caught.value)


def parquet(file, columns: dict) -> bytes:
    write_table(pyarrow.table(columns), file)
    return file.read_bytes()


def test_parquet_keeps_lists_numbers_and_nothing(tmp_path):
    file = tmp_path / "a.parquet"
    content = parquet(file, {"a": ["x", None], "b": [[{"role": "user", "content": "Hi"}], []], "c": [True, False]})
    good, bad = rows_of(file, content)
    assert good == [
        (1, {"a": "x", "b": [{"role": "user", "content": "Hi"}], "c": True}),
        (2, {"a": None, "b": [], "c": False}),
    ]
    assert bad == []


def test_a_parquet_text_that_is_not_utf8_is_named(tmp_path):
    file = tmp_path / "a.parquet"
    texts = pyarrow.array([b"x", b"\xff", b"y"]).cast(pyarrow.binary()).view(pyarrow.string())
    good, bad = rows_of(file, parquet(file, {"a": texts}))
    assert good == [(1, {"a": "x"}), (3, {"a": "y"})]
    assert len(bad) == 1
    assert bad[0].startswith("2: cannot be read ('utf-8' codec can't decode byte 0xff")


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    file = tmp_path / "a.parquet"
    whole = parquet(file, {"a": ["x"] * 1000})
    for content in (b"", b"PAR1", whole[:-20], b"x" * 1000):
        with pytest.raises(DataError, match="cannot be read as Parquet after row 0"):
            rows_of(file, content)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"a\.xlsx: unknown ending; use one of \.jsonl, \.json, \.csv, \.tsv, \.parquet"
    ):
        read_rows(tmp_path / "a.xlsx", BadRows())
    with pytest.raises(DataError, match=r"a\.csv: no such file"):
        read_rows(tmp_path / "a.csv", BadRows())


# --- bad rows


def test_bad_rows_are_told_and_written_in_order(tmp_path):
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    bad = BadRows()
    bad.add(Row(one, 9, {"a": float("nan")}), "a", "no number")
    bad.add(Row(other, 1, {"b": b"\xff"}), "", "no row")
    bad.add(Row(one, 2, {"c": "ü"}), "c", "first")
    bad.add(Row(one, 2, {"c": "ü"}), "d", "second")
    assert len(bad) == 3
    assert Row(one, 2, None) in bad
    assert Row(other, 2, None) not in bad
    with pytest.raises(DataError) as caught:
        bad.refuse("my files")
    assert str(caught.value) == (
        "my files does not fit (bad rows: 3):\n"
        f"  {one}:2: c: first; d: second\n"
        f"  {one}:9: a: no number\n"
        f"  {other}:1: no row"
    )
    assert bad.write(tmp_path / "rejected.jsonl") == 3
    lines = (tmp_path / "rejected.jsonl").read_text(encoding="ascii").splitlines()
    assert [json.loads(line, parse_constant=pytest.fail) for line in lines] == [
        {
            "file": "one.jsonl",
            "line": 2,
            "reasons": [{"field": "c", "reason": "first"}, {"field": "d", "reason": "second"}],
            "row": {"c": "ü"},
        },
        {"file": "one.jsonl", "line": 9, "reasons": [{"field": "a", "reason": "no number"}], "row": "{'a': nan}"},
        {"file": "other.jsonl", "line": 1, "reasons": [{"field": "", "reason": "no row"}], "row": {"b": "b'\\xff'"}},
    ]


def test_a_quoted_value_is_short_and_printable():
    deep = []
    for _ in range(5000):
        deep = [deep]
    for value in ("\ud800", "x" * 10**6, deep, {"a": [1] * 10**5}, 10**4000):
        assert len(shown(value)) < 200
        shown(value).encode()
    assert shown([1, 2, 3, 4]) == "[1, 2, 3, 4]"


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\n \t"])
def test_a_json_list_of_rows_is_read(tmp_path, name, mark):
    rows = [{"a": 1, "b": ["x, y]", {"c": '"}'}]}, {"a": "\u2028\n"}, {"a": None}]
    for content in (json.dumps(rows), json.dumps(rows, indent=2, ensure_ascii=False), f" {json.dumps(rows)}\r\n"):
        assert rows_of(tmp_path / name, mark + content.encode()) == ([*enumerate(rows, start=1)], [])


def test_json_lines_may_be_called_json(tmp_path):
    assert rows_of(tmp_path / "a.json", b'{"a": 1}\n\n{"a": 2}') == ([(1, {"a": 1}), (3, {"a": 2})], [])
    assert rows_of(tmp_path / "a.json", b'{"a": [1]}') == ([(1, {"a": [1]})], []), "a row, and the only one"
    assert rows_of(tmp_path / "a.json", b"[ ]") == ([], [])


def test_what_is_no_row_of_a_json_list_is_named_by_its_place(tmp_path):
    content = b'[{"a": 1}, "b", {"a": 1, "a": 2}, null, {"a": "\\ud83d"},\n {"a": {"b": 1, "b": 2}}, [], {"a": 2}]'
    good, bad = rows_of(tmp_path / "a.json", content)
    assert good == [(1, {"a": 1}), (8, {"a": 2})]
    assert bad == [
        "2: expected a JSON object, found str",
        "3: the same field stands in it more than once: a",
        "4: expected a JSON object, found NoneType",
        "5: a: holds half of a surrogate pair, which is no character",
        "6: the same field stands in it more than once: b",
        "7: expected a JSON object, found list",
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'[{"a": 1},\n {"a": 2}', r"a\.json:2: not JSON \(Expecting ',' delimiter at column 10\)"),
        (b'[{"a": 1}\n {"a": 2}]', r"a\.json:2: not JSON \(Expecting ',' delimiter at column 2\)"),
        (b'[{"a": "\xff"}]', r"a\.json: not UTF-8 \(invalid start byte at byte 9\)"),
        (b'[{"a": 1}]\n[{"a": 2}]', r"a\.json:2: not JSON \(Extra data at column 1\)"),
        (b"[" * 100_000, r"a\.json: not JSON \(nested too deeply\)"),
        (
            b'{\n "data": [\n  {"a": 1}],\n "n": 1}',
            r"a\.json: it is one JSON object \(data, n\); write a list of objects, or",
        ),
        (b"\n{\n}", r"a\.json: it is one JSON object \(\); write a list of objects, or"),
    ],
)
def test_a_json_file_without_rows_is_one_line(tmp_path, content, complaint):
    with pytest.raises(DataError, match=complaint) as caught:
        rows_of(tmp_path / "a.json", content)
    assert "\n" not in str(caught.value)


def test_tsv_keeps_texts_as_they_stand(tmp_path):
    content = b'\xef\xbb\xbfa\tb, c\r\n1\t"x\ty\nz"\r\n\r\nsay ""hi""\t"""q"""\n,\t\n'
    good, bad = rows_of(tmp_path / "a.tsv", content)
    assert good == [
        (2, {"a": "1", "b, c": "x\ty\nz"}),
        (5, {"a": 'say ""hi""', "b, c": '"q"'}),  # quotes count only where a field begins with one
        (6, {"a": ",", "b, c": ""}),
    ]
    assert bad == []
    good, bad = rows_of(tmp_path / "a.tsv", b"a\tb\n1\n1\t2\t3\n1\t2\n")
    assert good == [(4, {"a": "1", "b": "2"})]
    assert bad == ["2: expected 2 fields, found 1", "3: expected 2 fields, found 3"]


def test_a_tsv_that_is_another_table_or_broken_is_refused(tmp_path):
    file = tmp_path / "a.tsv"
    for content, complaint in [
        (
            b"prompt,chosen\n1,2\n",
            r":1: the only column is 'prompt,chosen'; fields are separated by tabs here, not by commas",
        ),
        (b'a\tb\na\t"b" c\n', r":2: not TSV \("),
        (b"a\ta\n", "two columns have the same name: a"),
    ]:
        with pytest.raises(DataError, match=complaint):
            rows_of(file, content)


@pytest.mark.parametrize(("sign", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_another_separator_is_told_with_the_columns_seen(tmp_path, sign, name):
    file = tmp_path / "a.csv"
    file.write_text(f"prompt{sign}chosen\n1{sign}2\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=rf"a\.csv:1: the only column is .*prompt.*chosen.*by commas here, not by {name}"
    ):
        list(read_rows(file, BadRows()))


def test_a_text_may_be_long(tmp_path):
    long = "x" * 300_000
    good, bad = rows_of(tmp_path / "a.csv", f"a,b\n{long},2\n".encode())
    assert good == [(2, {"a": long, "b": "2"})] and not bad
