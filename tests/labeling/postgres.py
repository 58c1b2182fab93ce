"""A real PostgreSQL cluster for tests: made in a temporary folder, on a socket in it, gone afterwards."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.waiting import CEILING_SECONDS


def missing() -> str:
    """Why no cluster can be started here; empty when one can."""
    if _programs() is None:
        return "PostgreSQL is not installed (Debian: postgresql)"
    if os.geteuid() == 0 and _postgres_user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres to run it as"
    return ""


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The URL of the `postgres` database of a running cluster, less the database's name."""
    data, programs = folder / "data", _programs()
    folder.mkdir(parents=True)
    prefix = []
    if os.geteuid() == 0:
        user = _postgres_user()
        os.chown(folder, user.pw_uid, user.pw_gid)
        prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        for parent in (folder, *folder.parents):
            if parent.stat().st_uid == 0 and parent != Path("/") and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    run = {"check": True, "capture_output": True, "cwd": folder}
    subprocess.run([*prefix, programs / "initdb", "-D", data, "-U", "rein", "-A", "trust", "-E", "UTF8", "-N"], **run)
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": folder,
        "max_connections": 200,
        "fsync": "off",  # a killed server loses nothing by it, and only a machine that dies would
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    with (folder / "log").open("wb") as log:
        start = [*prefix, programs / "pg_ctl", "-D", data, "-w", "-t", f"{CEILING_SECONDS:.0f}", "-o", options, "start"]
        subprocess.run(start, check=True, stdout=log, stderr=log, cwd=folder)
    try:
        yield f"postgresql+psycopg://rein@/{{name}}?host={folder}"
    finally:
        subprocess.run([*prefix, programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], **run)


def create_database(url: str, name: str, template: str = "template1") -> str:
    """The URL of a new database in a cluster: empty, or with what the template holds, to which nobody is connected."""
    folder = url.partition("host=")[2]
    with psycopg.connect(f"user=rein dbname=postgres host={folder}", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return url.format(name=name)


def _programs() -> Path | None:
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or ([Path(found).parent] if found else [])
    return folders[-1] if folders else None


def _postgres_user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None
