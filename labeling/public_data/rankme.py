"""RankME: three texts about a restaurant side by side, scored by three workers each.

Source: Novikova, Dušek and Rieser (2018), "RankME: Reliable Human Ratings for Natural Language Generation". `joint` workers scored all
criteria at once (setup 1 of the paper), `separate` ones a criterion each (setup 2). A table lies in a zip of its own. The names of the
scores' columns are those of the published forms; those of the systems (`sys1` ...) are those of the E2E ratings by the same authors.
"""

import io
import zipfile
from collections.abc import Sequence

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

RANKME_REPOSITORY = Repository(
    "jeknov/RankME",
    "8565f99210e7689e31843fc9d3c0833904ec1832",
    "CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/",
)

NUM_TEXTS = 3
TABLES = (
    ("separate", "stp2_rankME_qual.zip", {"quality": "quality"}),
    ("separate", "stp2_rankME_nat.zip", {"naturalness": "naturalness"}),
    ("separate", "stp2_rankME_inf.zip", {"informativeness": "inf"}),
    ("joint", "stp1_rankME.zip", {one: one for one in ("quality", "naturalness", "informativeness")}),
)
"""(setup, archive, criterion -> the columns of its scores)."""
FILE = "rankings/rankme_rankings.jsonl"


def convert(files: Sequence[RepositoryFiles]) -> dict[str, bytes]:
    """The content of the file, from the repository. Raises DataError for what is missing or cannot be read."""
    (repository,) = files
    workers = Workers()
    tables = []
    for setup, archive, criteria in TABLES:
        path = f"data/data/{archive}"
        columns = (WORKER, "mr", *(name for one in ("ref", "sys", *criteria.values()) for name in numbered(one, 3)))
        tables.append((setup, criteria, read_table(_only_table(repository.read(path), path), path, columns)))
    prompts = sorted({line.values["mr"] for *_, lines in tables for line in lines})
    numbers = {prompt: number for number, prompt in enumerate(prompts, start=1)}
    rows = Rows()
    for setup, criteria, lines in tables:
        for criterion, column in criteria.items():
            for line in lines:
                _add(rows, line, setup, criterion, column, numbers[line.values["mr"]], workers)
    return {FILE: json_lines(rows.in_order())}


def _add(rows: Rows, line: Line, setup: str, criterion: str, column: str, number: int, workers: Workers) -> None:
    """Texts may stand in another place for another worker; here they stand in the order of the systems' names."""
    systems = several(line, "sys", NUM_TEXTS)
    order = sorted(range(NUM_TEXTS), key=systems.__getitem__)
    texts, scores = several(line, "ref", NUM_TEXTS), scores_of(line, column, NUM_TEXTS)
    shown = {
        "id": f"rankme-{setup}-{criterion}-{number:03d}",
        "setup": setup,
        "criterion": criterion,
        "mr_id": number,
        "prompt": line.values["mr"],
        "systems": [systems[place] for place in order],
        "completions": [texts[place] for place in order],
    }
    rows.add(line, shown, annotation(line, [scores[place] for place in order], workers))


def _only_table(content: bytes, place: str) -> bytes:
    """The one CSV file in a zip; what macOS adds does not count."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [one for one in archive.namelist() if one.endswith(".csv") and not one.startswith("__MACOSX/")]
            if len(names) == 1:
                return archive.read(names[0])
    except zipfile.BadZipFile:
        raise DataError(f"{place}: it is no zip archive") from None
    raise DataError(f"{place}: expected one .csv in it, found {', '.join(names) or 'none'}")


RANKME = DataSet("rankme", (RANKME_REPOSITORY,), (FILE,), CHANGED, convert)
