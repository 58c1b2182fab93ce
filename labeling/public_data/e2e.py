"""The E2E NLG Challenge: texts about restaurants, who wrote them and how people ranked them.

Sources: Novikova, Dušek and Rieser (2017), "The E2E Dataset"; Dušek, Novikova and Rieser (2019), "Evaluating the State-of-the-Art of
End-to-End Natural Language Generation". In the table of ratings a line has five texts (`ref1` to `ref5`) by five systems (`sys1` ...),
with the worker's scores in `quality1` ... or `natur1` ..., for quality also what they ticked (`check1` ...: ok, missing, added).
"""

import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any

from labeling.public_data.crowd_tables import (
    CHANGED,
    WORKER,
    Line,
    Rows,
    Workers,
    annotation,
    numbered,
    read_table,
    scores_of,
    several,
)
from labeling.public_data.data_set import DataSet, json_lines
from labeling.public_data.repositories import Repository, RepositoryFiles
from models.errors import DataError

TEXTS = Repository(
    "tuetschek/e2e-dataset",
    "2fcb23e9f43493ee395444b48b8f2cf84611e68c",
    "CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/",
    MappingProxyType(
        {
            "devset.csv": "fc26b78cdb849c80545f513b223d1e051138b43882eeb79e3eb153e689c864f9",
            "testset_w_refs.csv": "edc8db685e39bb9824d5bd70c18b1c9b0412d14b527aa960e2d1c8251ee15ccd",
        }
    ),
)
RATINGS = Repository(
    "tuetschek/e2e-eval",
    "1b1f94c7379c756355b8defabf7630b43124ba6f",
    "none stated: for trials only, not to be passed on",
)

NUM_TEXTS = 5
SCORES = {"quality": "quality", "naturalness": "natur"}
"""Criterion -> the columns of its scores."""


def convert(files: Sequence[RepositoryFiles]) -> dict[str, bytes]:
    """The content of each file, from TEXTS and RATINGS. Raises DataError for what is missing or cannot be read."""
    texts, ratings = files
    workers = Workers()  # the same people in both
    tables = {one: read_ratings(ratings.read(f"human_ratings/{one}.csv"), one, workers) for one in SCORES}
    prompts = {row["prompt"]: row["mr_id"] for rows in tables.values() for row in rows}
    rows = {
        **{f"rankings/e2e_{criterion}.jsonl": rows for criterion, rows in tables.items()},
        "e2e/system_outputs.jsonl": read_outputs(ratings, prompts),
        "e2e/demonstrations_dev.jsonl": read_references(texts.read("devset.csv"), "devset.csv"),
        "e2e/references_test.jsonl": read_references(texts.read("testset_w_refs.csv"), "testset_w_refs.csv"),
    }
    return {name: json_lines(of_file) for name, of_file in rows.items()}


def read_ratings(content: bytes, criterion: str, workers: Workers) -> list[dict[str, Any]]:
    """A row for every five texts that were shown together, with what each worker said of them."""
    of_texts = ("ref", "sys", SCORES[criterion], *(("check",) if criterion == "quality" else ()))
    columns = ("_unit_id", WORKER, "mr", "mr_id", *(name for one in of_texts for name in numbered(one, NUM_TEXTS)))
    rows = Rows()
    for line in read_table(content, f"human_ratings/{criterion}.csv", columns):
        shown = {
            "id": f"e2e-{criterion}-{line.values['_unit_id']}",
            "criterion": criterion,
            "mr_id": _whole(line, "mr_id"),
            "prompt": line.values["mr"],
            "systems": several(line, "sys", NUM_TEXTS),
            "completions": several(line, "ref", NUM_TEXTS),
        }
        said = annotation(line, scores_of(line, SCORES[criterion], NUM_TEXTS), workers)
        if criterion == "quality":
            said["checks"] = [ticked.split("\n") for ticked in several(line, "check", NUM_TEXTS)]
        rows.add(line, shown, said)
    return rows.in_order()


def read_outputs(ratings: RepositoryFiles, prompts: dict[str, int]) -> list[dict[str, Any]]:
    """Every text that a team handed in for one of the prompts (prompt -> its number), once: with the first team by alphabet.

    `system` is the team. Files have a heading or none, and cells in double quotes, in single ones or in none: what counts are lines that
    begin with a prompt. Raises DataError for a file without any.
    """
    handed_in: set[tuple[int, str, str, str]] = set()
    for path in ratings.below("system_outputs", ".tsv"):
        if path.endswith(".segscores.tsv"):
            continue
        _, collection, name = path.split("/", 2)
        label = name.removesuffix(".tsv") if collection == "primary" else name.partition("/")[0]
        team = re.sub(r"(-alt|\d+)$", "", label)
        cells = [(prompt, text) for prompt, text in _cells(ratings.read(path), path) if prompt in prompts and text]
        if not cells:
            raise DataError(f"{path}: no line of it begins with a prompt that was rated, then a tab and a text")
        handed_in |= {(prompts[prompt], team, text, prompt) for prompt, text in cells}
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for number, team, text, prompt in sorted(handed_in):
        rows.setdefault((number, text), {"mr_id": number, "prompt": prompt, "completion": text, "system": team})
    return list(rows.values())


def read_references(content: bytes, place: str) -> list[dict[str, Any]]:
    """Texts that people wrote, each with its prompt."""
    lines = read_table(content, place, ("mr", "ref"))
    return [{"prompt": line.values["mr"], "completion": line.values["ref"]} for line in lines]


def _cells(content: bytes, place: str) -> Iterator[tuple[str, str]]:
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not UTF-8 (at byte {error.start + 1})") from None
    for line in lines:
        prompt, _, text = line.partition("\t")
        yield _unquoted(prompt.strip()), _unquoted(text.strip())


def _unquoted(cell: str) -> str:
    return cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "\"'" else cell


def _whole(line: Line, column: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", line.values[column]):
        raise DataError(f"{line.place}: {column}: expected a whole number, found {line.values[column]!r}")
    return int(line.values[column])


E2E = DataSet(
    "e2e",
    (TEXTS, RATINGS),
    (
        *(f"rankings/e2e_{criterion}.jsonl" for criterion in SCORES),
        "e2e/system_outputs.jsonl",
        "e2e/demonstrations_dev.jsonl",
        "e2e/references_test.jsonl",
    ),
    CHANGED,
    convert,
)
