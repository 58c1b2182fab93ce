"""How near decoding and learning come to what a CUDA GPU can do: shares of its copy bandwidth and of its matrix rate, for a
Llama-style model of 1.1 billion weights (random ones), bfloat16, batch 64 and 256, prompts of 128 and completions of 128 and 512 tokens.

    python -m benchmarks.gpu --out gpu.json
    python -m benchmarks.gpu --out gpu.json --activation-checkpointing --microbatch-tokens 32768
    python -m benchmarks.gpu --out gpu.json --trl-wheel trl.whl --trl-wheel accelerate.whl --trl-wheel datasets.whl
    python -m benchmarks.gpu --out gpu.json --device cpu --tiny

**It has not been run on a GPU yet**: what is tested is that all of it runs on a CPU, and its arithmetic. It needs torch, transformers and
pydantic alone; a wheel of TRL 1.12.0 (and of what else TRL needs) may be lent to it, and each update is then compared with TRL's.

The file is written anew after each figure. A figure that does not fit into memory is left out, and the file says so.
"""

import argparse
import datetime
import gc
import json
import shutil
import statistics
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import __version__ as transformers_version

from benchmarks.bench import commit, machine
from benchmarks.gpu_figures import (
    FULL,
    TINY,
    Bench,
    measure_copy,
    measure_decoding,
    measure_learning,
    measure_matrix,
    measure_update,
)
from benchmarks.scenario import build_networks, build_policy, build_scorer, build_tokenizer
from models.network.networks import RewardModel, freeze
from models.network.precision import pick_device
from models.settings.compute import Compute


def rows_at_once(minibatch_size: int, tokens_per_row: int, microbatch_tokens: int) -> int:
    """The most rows that divide a minibatch and have no more than these tokens together; one at least."""
    fitting = [
        rows
        for rows in range(1, minibatch_size + 1)
        if minibatch_size % rows == 0 and rows * tokens_per_row <= microbatch_tokens
    ]
    return max(fitting, default=1)


def measure_trl(bench: Bench, batch_size: int, completion_tokens: int) -> dict[str, float]:
    """One whole update of TRL's PPOTrainer, weights in bfloat16, as many rows at once as `--microbatch-tokens` hold."""
    from benchmarks.peers.trl_ppo import StopWatch, build_trainer

    watch = StopWatch(bench.wait)
    with bench.device:
        networks = build_networks(0.0, **bench.size.model)
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(
            {name: network.bfloat16() for name, network in networks.items()},
            build_tokenizer(bench.size.model["vocab_size"]),
            bench.prompts(4 * batch_size),
            folder,
            watch,
            num_updates=1 + bench.repetitions,
            batch_size=batch_size,
            rows_at_once=rows_at_once(
                batch_size // 4, bench.size.prompt_tokens + completion_tokens, bench.microbatch_tokens
            ),
            rollout_batch_size=min(64, batch_size),
            max_new_tokens=completion_tokens,
            use_cpu=bench.device.type == "cpu",
            gradient_checkpointing=bench.compute.activation_checkpointing,
        )
        trainer.train()
    return {"seconds": statistics.median(watch.seconds[1:])}


def lend(wheels: Sequence[Path], folder: str) -> str | None:
    """Makes the wheels importable; gives what TRL's PPO misses nevertheless, None when nothing is missing."""
    for number, wheel in enumerate(wheels):
        target = Path(folder) / str(number)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
        sys.path.insert(0, str(target))
    try:
        import benchmarks.peers.trl_ppo  # noqa: F401
    except ImportError as error:
        return str(error)
    return None


def measure_all(bench: Bench, with_trl: bool, keep: Callable[[dict], None]) -> None:
    """Hands each part of the results to `keep`."""
    copied, multiplied = measure_copy(bench), measure_matrix(bench)
    keep({"copy": copied})
    keep({"matrix": multiplied})
    with bench.device:
        policy = build_policy(0.0, **bench.size.model)
        reward_model = RewardModel(build_scorer(1, **bench.size.model)).eval()
    reward_model.set_normalisation(mean=0.0, std=1.0)
    freeze(reward_model)
    own: dict[tuple[int, int], dict] = {}
    for setting in bench.size.settings:
        decoded = attempt(measure_decoding, bench, policy, *setting, copied["bytes_per_second"])
        learned = attempt(measure_learning, bench, policy, reward_model, *setting, multiplied["flops_per_second"])
        own[setting] = attempt(measure_update, bench, policy, reward_model, *setting)
        for name, figures in (("decode", decoded), ("learning", learned), ("update", own[setting])):
            keep({name_of(name, *setting): figures})
    del policy, reward_model
    for setting in bench.size.settings if with_trl else ():
        theirs = attempt(measure_trl, bench, *setting)
        if "seconds" in theirs and "seconds" in own[setting]:
            theirs["ratio"] = theirs["seconds"] / own[setting]["seconds"]
        keep({name_of("trl_update", *setting): theirs})


def name_of(part: str, batch_size: int, completion_tokens: int) -> str:
    """The key of a part's figures in the file."""
    return f"{part}_batch_{batch_size}_tokens_{completion_tokens}"


def attempt(measure: Callable[..., dict], *inputs: object) -> dict:
    """The figures, or why there are none. Memory that is free afterwards is given back."""
    try:
        return measure(*inputs)
    except torch.OutOfMemoryError:
        return {"failed": "out of memory; try --activation-checkpointing or fewer --microbatch-tokens"}
    finally:
        gc.collect()
        torch.cuda.empty_cache()


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line, measures, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a very small model, to see whether all of this runs")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--microbatch-tokens", type=int, default=8192, help="tokens in memory at once while learning")
    parser.add_argument("--activation-checkpointing", action="store_true")
    parser.add_argument("--trl-wheel", type=Path, action="append", default=[], help="of TRL 1.12.0 or of what it needs")
    given = parser.parse_args(arguments)
    compute = Compute(
        device=given.device, precision="bfloat16", activation_checkpointing=given.activation_checkpointing
    )
    device, size = pick_device(compute), TINY if given.tiny else FULL
    bench = Bench(size, compute, device, given.repetitions, given.microbatch_tokens)
    results: dict = {
        "machine": torch.cuda.get_device_name(device) if device.type == "cuda" else machine(),
        "versions": {"torch": torch.__version__, "transformers": transformers_version, "cuda": torch.version.cuda},
        "commit": commit() if shutil.which("git") else "",
        "date": datetime.date.today().isoformat(),
        "model": size.model,
        "prompt_tokens": size.prompt_tokens,
        "repetitions": given.repetitions,
        "microbatch_tokens": given.microbatch_tokens,
        "activation_checkpointing": given.activation_checkpointing,
    }

    def keep(part: dict) -> None:
        results.update(part)
        given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        for name, figures in part.items():
            shown = (
                f"{key} {figure:.4g}" if isinstance(figure, float) else f"{key} {figure}"
                for key, figure in figures.items()
            )
            print(f"{name}: {', '.join(shown)}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        missing = lend(given.trl_wheel, folder) if given.trl_wheel else None
        if missing:
            keep({"trl": {"missing": missing}})
        measure_all(bench, bool(given.trl_wheel) and not missing, keep)


if __name__ == "__main__":
    main()
