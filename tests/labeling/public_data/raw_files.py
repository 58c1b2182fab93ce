"""Tables as the public repositories hold them, in their real columns, with rows that were made up."""

import csv
import io
import zipfile
from pathlib import Path

RIVER = "name[The Kettle], eatType[pub], area[riverside]"
CENTRE = "name[The Kettle], eatType[pub], area[city centre]"
OF_PLATFORM = ("_created_at", "_id", "_started_at", "_tainted", "_channel", "_trust")
"""What stands in the tables and is dropped, as are _country, _region, _city and _ip."""
SYSTEMS = ("tgen", "slug", "tr1", "zhaw2", "slug-alt")
TEXTS = ("By the river: The Kettle.", "The Kettle is a pub.", 'A "pub", The Kettle. ', "Pub!", "The Kettle is a pub.")


def csv_of(columns: list[str], rows: list[dict], **form) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", **form)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def rating(
    prefix: str, unit: int, worker: str, scores, checks=None, prompt=RIVER, number=2, texts=TEXTS, systems=SYSTEMS
) -> dict:
    """A line of the E2E ratings."""
    places = range(1, 6)
    return {
        **dict.fromkeys(OF_PLATFORM, "11/28/2017 14:51:43"),
        **{"_unit_id": unit, "_worker_id": worker, "_country": "GBR", "_city": "Leith", "_ip": "192.0.2.7"},
        **{"mr": prompt, "mr_id": number},
        **{f"ref{place}": text for place, text in zip(places, texts, strict=True)},
        **{f"sys{place}": system for place, system in zip(places, systems, strict=True)},
        **{f"{prefix}{place}": score for place, score in zip(places, scores, strict=True)},
        **{f"check{place}": check for place, check in zip(places, checks or (), strict=False)},
    }


def ratings(prefix: str, rows: list[dict], without: str = "") -> bytes:
    """human_ratings/quality.csv or naturalness.csv: the columns in their real order."""
    numbers = range(1, 6)
    checks = [f"check{number}" for number in numbers] if prefix == "quality" else []
    scores = [f"{prefix}{number}" for number in numbers]
    columns = ["_unit_id", *OF_PLATFORM, "_worker_id", "_country", "_region", "_city", "_ip", *checks, *scores]
    columns += [f"{one}_gold" for one in checks] + [f"dupl_ref{number}" for number in numbers]
    columns += ["mr", "mr_id", *(f"{one}_gold" for one in scores)]
    columns += [f"ref{number}" for number in numbers] + [f"sys{number}" for number in numbers]
    kept = [one for one in columns if one != without]
    return csv_of(kept, [{name: value for name, value in row.items() if name != without} for row in rows])


QUALITY = [
    rating("quality", 70, "30011", (60, 100, 100, 90, 100), ("missing", "ok", "ok", "added\nmissing", "ok")),
    rating("quality", 70, "20022", (95, 95, 95, 95, 95), ("ok",) * 5),
    rating("quality", 71, "20022", (1, 2, 3, 4, 5), ("ok",) * 5, prompt=CENTRE, number=1),
]
NATURALNESS = [
    rating("natur", 90, "40033", (10, 20, 30, 40, 111111)),
    rating("natur", 90, "30011", (50, 50, 7, 50, 50)),
    rating("natur", 91, "40033", (1, 2, 3, 4, 5), prompt=CENTRE, number=1),
]
OUTPUTS = {
    "all/adapt/primary_1.1.tsv": f'"{RIVER}"\tAdult only .\n"{CENTRE}"\tIn the centre .\n',
    "all/tnt/System 1/Primary.tsv": f"'{RIVER}'\t'It is n 't far: The Kettle.'\n'{CENTRE}'\t'In the centre .'\n",
    "all/tnt/System 1/Primary.segscores.tsv": f"src\tsys_out\tBLEU\n{RIVER}\tNot a text.\t0.5774\n",
    "all/dangnt/final.tsv": f'MR\tREF\r\n"{RIVER}"\tThe Kettle is there. \r\n',
    "primary/slug-alt.tsv": f'MR\toutput\n"{RIVER}"\t"By the river, a pub."\n"name[Elsewhere]"\tNot rated.\n',
    "primary/tr2.tsv": f"MR\toutput\n{CENTRE}\tCheck it out.\n",
}
DEV = csv_of(["mr", "ref"], [{"mr": RIVER, "ref": 'A pub, "The Kettle".'}, {"mr": RIVER, "ref": "Café by the river "}])
TEST = csv_of(["mr", "ref"], [{"mr": CENTRE, "ref": "A pub in the centre."}], quoting=csv.QUOTE_ALL)


def e2e_files() -> dict[str, dict[str, bytes]]:
    """Repository -> path -> content."""
    return {
        "e2e-dataset": {"README.md": b"", "devset.csv": DEV, "testset_w_refs.csv": TEST},
        "e2e-eval": {
            "human_ratings/quality.csv": ratings("quality", QUALITY),
            "human_ratings/naturalness.csv": ratings("natur", NATURALNESS),
            **{f"system_outputs/{path}": text.encode() for path, text in OUTPUTS.items()},
        },
    }


def rankme_row(
    worker: str, columns: tuple[str, ...], scores, systems=("baseline", "slug2slug", "sheffield_v2")
) -> dict:
    """A line of a RankME table: the same scores for each of the columns."""
    texts = {"baseline": "A pub.", "sheffield_v2": "The Kettle, pub.", "slug2slug": "It is a pub."}
    return {
        **{"_unit_id": 1, "_worker_id": worker, "_country": "GBR", "mr": RIVER},
        **{f"sys{place}": system for place, system in enumerate(systems, start=1)},
        **{f"ref{place}": texts[system] for place, system in enumerate(systems, start=1)},
        **{f"{one}{place}": score for one in columns for place, score in enumerate(scores, start=1)},
    }


def rankme_files() -> dict[str, dict[str, bytes]]:
    """Repository -> path -> content: zips with a table each."""
    joint = ("informativeness", "naturalness", "quality")
    tables = {"stp2_rankME_qual": ("quality",), "stp2_rankME_nat": ("naturalness",), "stp2_rankME_inf": ("inf",)}
    files = {}
    for name, columns in (tables | {"stp1_rankME": joint}).items():
        rows = [
            rankme_row("51", columns, (100, 50, 70)),
            rankme_row("52", columns, (80, 80, 30), ("slug2slug", "baseline", "sheffield_v2")),
        ]
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr(f"{name}.csv", csv_of(list(rows[0]), rows))
            archive.writestr(f"__MACOSX/._{name}.csv", b"\x00")
        files[f"data/data/{name}.zip"] = content.getvalue()
    return {"RankME": files}


def as_folders(repositories: dict[str, dict[str, bytes]], place: Path) -> Path:
    """A folder for each repository, as git clone makes it."""
    for name, files in repositories.items():
        for path, content in files.items():
            file = place / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    return place


def as_archive(name: str, files: dict[str, bytes], commit: str) -> bytes:
    """A zip as GitHub makes it: everything in one folder, the commit as its comment."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.comment = commit.encode()
        archive.mkdir(f"{name}-{commit}")
        for path, one in files.items():
            archive.writestr(f"{name}-{commit}/{path}", one)
    return content.getvalue()
