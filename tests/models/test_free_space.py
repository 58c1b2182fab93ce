"""Memory that is free, on a system whose files are written by hand."""

from pathlib import Path

import pytest

from models.free_space import free_disk, free_memory

MEBIBYTE = 2**20


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MACHINE = {"proc/meminfo": "MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    8192 kB\n"}  # 8 MiB
SECOND = {"proc/self/cgroup": "0::/work/job\n"}
GROUP = "sys/fs/cgroup/work"


def group(folder: str, limit: str, used: int, files: int, names: tuple[str, str, str]) -> dict[str, str]:
    of_limit, of_used, of_files = names
    return {
        f"{folder}/{of_limit}": f"{limit}\n",
        f"{folder}/{of_used}": f"{used}\n",
        f"{folder}/memory.stat": f"anon 7\n{of_files} {files}\n",
    }


NEW = ("memory.max", "memory.current", "inactive_file")
OLD = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def test_without_limits_it_is_what_the_machine_has(tmp_path):
    assert free_memory(write(tmp_path, MACHINE)) == 8 * MEBIBYTE
    unlimited = group(f"{GROUP}/job", "max", MEBIBYTE, 0, NEW)
    assert free_memory(write(tmp_path, SECOND | unlimited)) == 8 * MEBIBYTE
    assert free_memory(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("folder", [f"{GROUP}/job", GROUP])
def test_a_limit_of_the_group_or_of_one_around_it_counts(tmp_path, folder):
    # 4 MiB less 3 MiB, of which one is files
    own = group(folder, str(4 * MEBIBYTE), 3 * MEBIBYTE, MEBIBYTE, NEW)
    assert free_memory(write(tmp_path, MACHINE | SECOND | own)) == 2 * MEBIBYTE


def test_the_limit_of_a_container_that_sees_itself_as_the_root(tmp_path):
    """Its group has another name outside."""
    first = {"proc/self/cgroup": "5:cpu:/\n4:memory:/docker/abc\n0::/\n"}
    own = group("sys/fs/cgroup/memory", str(6 * MEBIBYTE), 5 * MEBIBYTE, 0, OLD)
    assert free_memory(write(tmp_path, MACHINE | first | own)) == MEBIBYTE
    second = group("sys/fs/cgroup", str(3 * MEBIBYTE), 4 * MEBIBYTE, 0, NEW)
    assert free_memory(write(tmp_path, second)) == 0


def test_a_disk_is_asked_before_its_folder_is_made(tmp_path):
    assert free_disk(tmp_path / "not" / "there") == free_disk(tmp_path) > 0
