"""How much memory and disk there is for a run. Loads no torch."""

import shutil
from pathlib import Path

KIBIBYTE = 1024


def free_memory(system: Path = Path("/")) -> int | None:
    """Bytes that this process may still take: what the machine has to give or, where that is less, what the limits of its control groups
    (a container's, say) leave. None where the system does not tell.

    What a group holds of files is given back when it is needed, so that it counts as free. Sources: proc(5); the kernel's
    cgroup-v2.rst and cgroup-v1/memory.rst.
    """
    try:
        lines = (system / "proc/meminfo").read_text(encoding="utf-8").splitlines()
        available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    return min([available * KIBIBYTE, *_left_in_groups(system)])


def free_disk(folder: Path) -> int:
    """Bytes that can still be written below a folder, which need not be there yet."""
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _left_in_groups(system: Path) -> list[int]:
    """What each limit leaves, of the process's own group and of those around it."""
    try:
        lines = (system / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = system / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = system / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = root / path.lstrip("/")
        groups = [own, *own.parents] if own.is_relative_to(root) else [root]
        left += [room for group in groups if group.is_relative_to(root) and (room := _left(group, *names)) is not None]
    return left


def _left(group: Path, limit: str, used: str, files: str) -> int | None:
    """None where a group has no limit, or cannot be seen from inside a container."""
    try:
        most = (group / limit).read_text(encoding="utf-8").strip()
        if most == "max":
            return None
        taken = int((group / used).read_text(encoding="utf-8"))
        lines = (group / "memory.stat").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    held = next((int(line.split()[1]) for line in lines if line.split()[0] == files), 0)
    return max(0, int(most) - taken + held)
