"""Whether a run fits into memory and onto the disk, told before anything is trained or labelled."""

from pathlib import Path

from models.errors import ConfigError
from models.footprint import NetworkSize, disk_needed, memory_needed
from models.free_space import free_disk, free_memory
from models.settings.pipeline import PipelineConfig
from models.settings.training import LoRA, ScratchBase
from models.settings.tuning import TuningLoRA

GIGABYTE = 1e9


def describe_needs(config: PipelineConfig, size: NetworkSize) -> list[str]:
    """Lines for people: the least that a run takes of memory in each stage, and of the disk."""
    memory = ", ".join(f"{stage} {in_gigabytes(needed)}" for stage, needed in memory_needed(config, size).items())
    disk = ", ".join(f"{what} {in_gigabytes(needed)}" for what, needed in disk_needed(config, size).items())
    return [f"memory for weights, gradients and moments: {memory or 'not known'}", f"disk: {disk}"]


def require_space(config: PipelineConfig, size: NetworkSize, unread: tuple[str, ...] = ()) -> None:
    """Raises ConfigError, naming settings, when the weights alone of some stage do not fit into the memory that is free, or what is kept
    onto the disk. `unread`: stages that the flow leaves out.

    What lies below `storage.root` already counts as room: it may be the very run that is called again.
    """
    _require_memory(config, size, unread)
    _require_disk(config, size, unread)


def _require_memory(config: PipelineConfig, size: NetworkSize, unread: tuple[str, ...]) -> None:
    room, share = _free_memory(config), _share(config)
    for stage, needed in memory_needed(config, size).items():
        if stage in unread or room is None or needed * share <= room:
            continue
        ways = [] if share <= 1 else ["compute.sharding=fsdp2"]
        if lighter := _with_lora(config, stage):
            ways.append(f"{stage}.lora={{}} (then {in_gigabytes(memory_needed(lighter, size)[stage] * share)})")
        raise ConfigError(
            f"{stage} needs at least {in_gigabytes(needed * share)} of memory for weights, gradients and moments; {in_gigabytes(room)} are "
            f"free: set {', '.join([*ways, 'a smaller base.model'])}"
        )


def _require_disk(config: PipelineConfig, size: NetworkSize, unread: tuple[str, ...]) -> None:
    root = Path(config.storage.root)
    held, room = disk_needed(config, size), free_disk(root) + _kept(root)
    if "tuning" in unread:
        held.pop("checkpoints", None)
    if sum(held.values()) <= room:
        return
    ways = ["storage.root on a larger disk", "a smaller base.model"]
    if "checkpoints" in held and (lighter := _with_lora(config, "tuning")):
        ways.insert(1, f"tuning.lora={{}} (then {in_gigabytes(sum(disk_needed(lighter, size).values()))})")
    parts = ", ".join(f"{what} {in_gigabytes(needed)}" for what, needed in held.items())
    raise ConfigError(
        f"a run keeps {in_gigabytes(sum(held.values()))} below {root} ({parts}); there is room for {in_gigabytes(room)}: set "
        f"{', '.join(ways)}"
    )


def _with_lora(config: PipelineConfig, stage: str) -> PipelineConfig | None:
    """The same settings, where that stage learns through an adapter; None where it does already, has been told otherwise, or cannot."""
    settings = getattr(config, stage, None)  # of the judge that is trained beside them there are none by that name
    is_new = stage == "pretraining" and isinstance(config.base, ScratchBase)
    can_shrink = not is_new and config.compute.sharding == "none"
    if settings is None or not can_shrink or getattr(settings, "lora", settings) is not None:
        return None
    if getattr(settings, "trainable_layers", None) is not None:
        return None
    adapter = TuningLoRA() if stage == "tuning" else LoRA()
    return config.model_copy(update={stage: settings.model_copy(update={"lora": adapter})})


def in_gigabytes(num_bytes: float) -> str:
    """As people are told."""
    return f"{num_bytes / GIGABYTE:.1f} GB" if num_bytes >= GIGABYTE / 10 else f"{num_bytes / 1e6:.1f} MB"


def _free_memory(config: PipelineConfig) -> int | None:
    """Where the networks are: on a GPU each process has one."""
    from models.network.precision import pick_device

    if pick_device(config.compute).type != "cuda":
        return free_memory()
    import torch

    return torch.cuda.mem_get_info()[0]


def _share(config: PipelineConfig) -> float:
    """How often what one process holds is held where memory is counted: on the machine, or on one of its GPUs."""
    from models.network.precision import pick_device

    compute = config.compute
    if pick_device(compute).type == "cuda":
        return 1 / compute.num_processes if compute.sharding == "fsdp2" else 1
    return 1 if compute.sharding == "fsdp2" else compute.num_processes


def _kept(root: Path) -> int:
    """Bytes of artifacts and checkpoints below a root."""
    folders = (root / "artifacts", root / "checkpoints")
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
