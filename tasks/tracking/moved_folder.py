"""A local MLflow database follows its folder: a project folder that was moved or copied goes on in the new place.

MLflow keeps the place of every file as an absolute address, and has no call that changes one. So they are written anew in its
database, all or none.

    python -m tasks.tracking.moved_folder DATABASE
"""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

FILES = "mlflow-artifacts"
"""The folder beside a local database that MLflow's files lie in."""
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def files_beside(database: Path) -> Path:
    """The folder of MLflow's files that belongs to a local database."""
    return database.resolve().parent / FILES


def follow_moved_folder(database: Path) -> int:
    """Where the database was moved together with its files, lets every address in it point to where they lie now.

    Gives back how many addresses have changed. Those of a folder that still lies in its old place without a database beside it
    stay: somebody has put the files there on purpose.
    """
    files = files_beside(database)
    if not (database.is_file() and files.is_dir()):
        return 0
    num_changed = 0
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for old in _old_folders(connection, files.as_uri()):
            place = Path(unquote(urlsplit(old).path))
            if place.exists() and not (place.parent / database.name).exists():
                continue
            for table, column in ADDRESSES:
                changed = connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column} || '/', 1, ?) = ? || '/'",
                    (files.as_uri(), len(old) + 1, len(old) + 1, old),
                )
                num_changed += changed.rowcount
    return num_changed


def _old_folders(connection: sqlite3.Connection, now: str) -> set[str]:
    """Addresses of folders with our name that experiments write to, and that are not the one beside the database."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables.issuperset(table for table, _ in ADDRESSES):  # MLflow has not made them yet
        return set()
    found = set()
    for (address,) in connection.execute(
        "SELECT artifact_location FROM experiments WHERE artifact_location LIKE 'file:///%'"
    ):
        before, name, _ = f"{address}/".rpartition(f"/{FILES}/")
        if name:
            found.add(f"{before}/{FILES}")
    return found - {now}


if __name__ == "__main__":
    print(f"{follow_moved_folder(Path(sys.argv[1]))} addresses of MLflow's files have changed")
