"""benchmarks/gpu.py on a CPU: that all of it runs where little is installed, what it writes, and its arithmetic."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_figures, scenario
from benchmarks.gpu import lend, main, rows_at_once
from models.errors import ConfigError
from tests.tolerances import close

PROJECT = Path(__file__).resolve().parents[2]
MISSING = ["prefect", "mlflow", "sqlalchemy", "datasets", "jaxtyping", "beartype", "pandas", "trl", "accelerate", "ray"]
SETTINGS = [(4, 16), (4, 32), (8, 16), (8, 32)]
PARTS = {
    "decode": {
        *("seconds", "prompt_seconds", "step_seconds", "tokens_per_second"),
        *("bytes_per_step", "bytes_per_second", "share_of_copy"),
    },
    "learning": {"seconds", "flops", "flops_per_second", "share_of_matrix"},
    "update": {"seconds", "episodes_per_second"},
}
# a layer: q and o 32 x 32, k and v 32 x 16, three matrices 32 x 64, two norms; the body: two layers and a norm
BODY = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64 + 2 * 32) + 32
HEAD, VALUE_HEAD = 32 * 64 + 64, 32
AFTER_ATTENTION = 32 * 32 + 3 * 32 * 64  # of a layer: o and the three


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict:
    """Of the whole script, in an interpreter that has none of `MISSING`."""
    file = tmp_path_factory.mktemp("gpu") / "gpu.json"
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({MISSING})); from benchmarks.gpu import main; "
        f"main(['--device', 'cpu', '--tiny', '--out', {str(file)!r}, '--activation-checkpointing'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text(encoding="utf-8"))


def figures(results: dict, part: str, batch_size: int, completion_tokens: int) -> dict:
    return results[f"{part}_batch_{batch_size}_tokens_{completion_tokens}"]


def test_every_figure_is_there_and_positive(results):
    assert results["copy"].keys() == {"seconds", "bytes_per_second"}
    assert results["matrix"].keys() == {"seconds", "flops_per_second"}
    measured = [results["copy"], results["matrix"]]
    for part, names in PARTS.items():
        for setting in SETTINGS:
            assert figures(results, part, *setting).keys() == names
            measured.append(figures(results, part, *setting))
    assert all(figure > 0 for one in measured for figure in one.values())


def test_rates_and_shares_follow_from_the_seconds(results):
    copied, multiplied = results["copy"], results["matrix"]
    assert close(copied["bytes_per_second"] * copied["seconds"], 2 * 2**20, tolerance=1e-3)
    assert close(multiplied["flops_per_second"] * multiplied["seconds"], 2 * 64**3, tolerance=1e-3)
    decoded, learned = figures(results, "decode", 8, 32), figures(results, "learning", 8, 32)
    assert close(decoded["tokens_per_second"] * decoded["seconds"], 8 * 32, tolerance=1e-6)
    assert close(decoded["prompt_seconds"] + 31 * decoded["step_seconds"], decoded["seconds"], tolerance=1e-9)
    steps_bytes = decoded["share_of_copy"] * copied["bytes_per_second"] * decoded["step_seconds"]
    assert close(steps_bytes, decoded["bytes_per_step"], tolerance=1e-3)
    flops = learned["share_of_matrix"] * multiplied["flops_per_second"] * learned["seconds"]
    assert close(flops, learned["flops"], tolerance=1e-1)
    update = figures(results, "update", 8, 32)
    assert close(update["episodes_per_second"] * update["seconds"], 8.0, tolerance=1e-9)


def test_bytes_and_operations_are_those_of_the_tiny_shape(results):
    """Tokens of keys and values: 2 layers, 2 heads, width 8, keys and values, 4 bytes on a CPU; on average P + T / 2 of them."""
    token = 2 * 2 * 2 * 8 * 4
    assert figures(results, "decode", 4, 16)["bytes_per_step"] == 2 * (BODY + HEAD) + 4 * (8 + 8) * token == 57792
    assert figures(results, "decode", 8, 32)["bytes_per_step"] == 2 * (BODY + HEAD) + 8 * (8 + 16) * token
    tokens, answers = 4 * (8 + 16), 4 * 16
    expected = 6 * (2 * (BODY - AFTER_ATTENTION) * tokens + (2 * AFTER_ATTENTION + HEAD + VALUE_HEAD) * answers)
    assert figures(results, "learning", 4, 16)["flops"] == expected == 19488768


def test_keys_and_weights_of_a_gpu_have_two_bytes():
    policy = scenario.build_policy(0.0, **gpu_figures.TINY.model).bfloat16().to("meta")
    assert gpu_figures.decode_bytes(policy, 4, 8, 16) == 2 * (BODY + HEAD) + 4 * (8 + 8) * 2 * 2 * 2 * 8 * 2


def test_the_full_model_has_about_a_billion_weights():
    with torch.device("meta"):
        policy = scenario.build_policy(0.0, **gpu_figures.FULL.model)
    # a layer: q, o 2048^2; k, v 2048 x 512; 3 x 2048 x 8192; two norms. Two tables of 32768 x 2048, a norm, the head's bias
    layer = 2 * 2048**2 + 2 * 2048 * 512 + 3 * 2048 * 8192 + 2 * 2048
    total = 16 * layer + 2 * 32768 * 2048 + 2048 + 32768
    assert sum(weight.numel() for weight in policy.parameters()) == total and 1.0e9 < total < 1.2e9
    assert list(gpu_figures.FULL.settings) == [(64, 128), (64, 512), (256, 128), (256, 512)]
    assert gpu_figures.FULL.prompt_tokens + 512 + 1 <= policy.config.max_position_embeddings


@pytest.mark.parametrize(
    ("minibatch_size", "tokens_per_row", "limit", "expected"),
    [(16, 256, 8192, 16), (64, 640, 8192, 8), (64, 256, 8192, 32), (4, 100, 50, 1), (12, 10, 59, 4)],
)
def test_a_peer_gets_as_many_rows_at_once_as_fit(minibatch_size, tokens_per_row, limit, expected):
    assert rows_at_once(minibatch_size, tokens_per_row, limit) == expected


def test_what_trl_misses_is_said_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "trl", None)
    assert "trl" in lend([], str(tmp_path))


def test_a_gpu_is_asked_for_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA GPU"):
        main(["--out", str(tmp_path / "gpu.json"), "--tiny"])
