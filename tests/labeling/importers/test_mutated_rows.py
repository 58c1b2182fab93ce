"""Rows that something happened to: each is imported exactly as it says, or refused by its line. More than 10,000 of them each night."""

import copy
import csv
import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labeling.importers.read_feedback import read_feedback
from models.errors import DataError
from models.records import write_records
from tests.labeling.importers.feedback_files import SEED, SPLIT
from tests.labeling.importers.row_kinds import COMPLETIONS, PROMPTS, Kind, kinds

NUM_ROWS = 17  # 8 kinds x 120 files x 17 rows = 16,320 rows, seven in eight of them mutated
LINE_KINDS = [name for name in kinds("") if "CSV" not in name]
CSV_KINDS = [name for name in kinds("") if "CSV" in name]

SCALARS = [
    None,
    True,
    False,
    0,
    1,
    2,
    -1,
    10**400,
    1.0,
    2.5,
    -0.0,
    float("nan"),
    float("inf"),
    "",
    " ",
    "a",
    "b",
    "a ",
    "1",
]
SCALARS += [
    "true",
    "FALSE",
    "nan",
    "1e999",
    "\0",
    "\u2028",
    "e\u0301",
    "\ufeff",
    "\ud83d",
    "x\udc00",
    "\U0001f600",
    "a\n\nHuman: b",
]
SCALARS += ["user", "assistant", "tool", "helpfulness", PROMPTS[0].id, PROMPTS[1].id, COMPLETIONS[0][0].id]
TEXTS = [one for one in SCALARS if isinstance(one, str)]


def weird(random: Random) -> Any:
    """A value that may or may not belong where it is put."""
    match random.randrange(12):
        case 0:
            return [weird(random) for _ in range(random.randrange(3))]
        case 1:
            return {random.choice(["role", "content", "a"]): weird(random) for _ in range(random.randrange(3))}
        case 2:
            return "".join(chr(random.randrange(0x11_0000)) for _ in range(random.randrange(4)))
        case 3:
            return random.uniform(-3, 3)
        case _:
            return random.choice(SCALARS)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The path to every node inside a row."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, one in inside for found in [(*path, key), *places(one, (*path, key))]]


def change(random: Random, row: dict[str, Any]) -> None:
    """Something else, nothing, more, or the same once more, somewhere in the row."""
    *path, last = random.choice(places(row) or [("prompt",)])
    node: Any = row
    for key in path:
        node = node[key]
    what = random.choice(["set", "set", "set", "drop", "add", "wrap"])
    if what == "set" or last not in (node if isinstance(node, dict) else range(len(node))):
        node[last] = weird(random)
    elif what == "drop":
        del node[last]
    elif what == "wrap":
        node[last] = [node[last]]
    elif isinstance(node, list):
        node.insert(last, copy.deepcopy(node[last]))
    else:
        node[random.choice(["id", "score", "unusable", "\ud83d"])] = weird(random)


def damage(random: Random, line: bytes) -> bytes:
    """The line with bytes in it that make it no JSON object, whatever it says."""
    place = random.randrange(1, len(line))
    match random.choice(["cut", "\xff", "\0", "\xed\xa0\x80", "twice", "deep", "long number"]):
        case "cut":
            return line[:place]
        case "twice":
            return b'{"a": 1, "a"' + line[line.index(b":") :] if b":" in line else b"{"
        case "deep":
            return b'{"prompt": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"
        case "long number":
            return b'{"prompt": ' + b"1" * 5000 + b"}"
        case some:
            return line[:place] + some.encode("latin-1") + line[place:]


def has_half_characters(row: dict[str, Any]) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def mutated_lines(random: Random, kind: Kind) -> tuple[bytes, list]:
    """A JSON Lines file, and what each of its lines means (None: to be refused)."""
    lines, meanings = [], []
    for number in range(NUM_ROWS):
        row = json.loads(json.dumps(kind.row(number)))  # no two places share a list
        how_often = random.choice([0, 1, 1, 1, 1, 1, 1, 2])
        for _ in range(how_often):
            change(random, row)
        line = json.dumps(row).encode()
        meaning = None if has_half_characters(row) else kind.meaning(row)
        if random.randrange(8) == 0:
            line, meaning = damage(random, line), None
        lines.append(line)
        meanings.append(meaning)
    mark = random.choice([b"", b"\xef\xbb\xbf"])
    return mark + random.choice([b"\n", b"\r\n"]).join(lines), meanings


def mutated_table(random: Random, kind: Kind) -> tuple[bytes, list]:
    """A CSV file, and what each of its rows means."""
    names = list(kind.row(0))
    text, meanings = io.StringIO(), []
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=random.choice(["\n", "\r\n"]))
    writer.writerow(names)
    for number in range(NUM_ROWS):
        row = {name: str(value) for name, value in kind.row(number).items()}
        for _ in range(random.choice([0, 1, 1, 1, 1, 2])):
            row[random.choice(names)] = str(weird(random)).encode(errors="replace").decode()
        cells, meaning = list(row.values()), kind.meaning(row)
        what = random.choice(["whole"] * 8 + ["short", "long", "\udcff"])
        if what != "whole":
            meaning = None
            cells = cells[:-1] if what == "short" else [*cells, ""] if what == "long" else [what, *cells[1:]]
        writer.writerow(cells)
        meanings.append(meaning)
    mark = random.choice([b"", b"\xef\xbb\xbf"])
    return mark + text.getvalue().encode(errors="surrogateescape"), meanings


def later_repeats_refused(meanings: list) -> list:
    """Rows may come to speak of the same by mutation; then the first one counts."""
    seen: set[str] = set()
    found = []
    for meaning in meanings:
        keys = [repeat_key(one) for one in meaning or []]
        found.append(None if meaning is None or seen & set(keys) else meaning)
        seen |= set(keys) if found[-1] is not None else set()
    return found


def repeat_key(one: tuple) -> str:
    """What a labeler can say only once: the prompt and what is compared in it, and by whom."""
    if isinstance(one[-1], bool):
        return repr(one[:-1])
    return repr((*one[:2], sorted(text for level in (*one[2], *one[3:]) for text in level)))


def check(kind: Kind, file: Path, content: bytes, meanings: list) -> None:
    """Nothing is raised but DataError; bad rows are named; what is taken is what the good rows say."""
    file.write_bytes(content)
    meanings = later_repeats_refused(meanings)
    expected = sorted((one for meaning in meanings for one in meaning or []), key=repr)
    num_bad = sum(meaning is None for meaning in meanings)
    rejected = file.parent / "rejected.jsonl"
    if num_bad or not expected:
        with pytest.raises(DataError) as caught:
            read_feedback(kind.config, SPLIT, SEED)
        message = str(caught.value)
        message.encode()
        assert (f"(bad rows: {num_bad})" in message) == (num_bad > 0), message
        assert message.count(f"  {file}:") == num_bad
    else:
        assert sorted(kind.said(read_feedback(kind.config, SPLIT, SEED)), key=repr) == expected
    if num_bad and expected:
        assert sorted(kind.said(read_feedback(kind.config, SPLIT, SEED, set_aside=rejected)), key=repr) == expected
        lines = [json.loads(line) for line in rejected.read_text(encoding="ascii").splitlines()]
        assert all(reason["reason"] for one in lines for reason in one["reasons"])
        if file.suffix == ".jsonl":  # a CSV row may have several lines
            assert [one["line"] - 1 for one in lines] == [n for n, meaning in enumerate(meanings) if meaning is None]


@pytest.mark.parametrize("num_files", [30, pytest.param(120, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", LINE_KINDS + CSV_KINDS)
def test_a_mutated_row_is_imported_exactly_or_refused(tmp_path, name, num_files):
    kind = kinds(str(tmp_path))[name]
    file = tmp_path / f"{name}.jsonl" if kind.config.kind == "folder" else Path(kind.config.path)
    write_records(tmp_path / "prompts.jsonl", PROMPTS)
    write_records(tmp_path / "completions.jsonl", [one for shown in COMPLETIONS for one in shown])
    mutated = mutated_lines if name in LINE_KINDS else mutated_table
    distinct = set()

    @settings(max_examples=num_files, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=True))
    def run(random):
        content, meanings = mutated(random, kind)
        distinct.update(content.splitlines())
        check(kind, file, content, meanings)

    run()
    assert len(distinct) > num_files * NUM_ROWS / 2, "mutations repeat themselves"
