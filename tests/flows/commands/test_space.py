"""What cannot fit into memory or onto the disk is refused before anybody labels and before anything is trained."""

import pytest

from models.settings.presets import load_config
from tasks.running import space
from tests.flows.conftest import SMOKE


@pytest.mark.parametrize("flow", ["collect", "rlhf"])
@pytest.mark.parametrize(
    ("what", "answer", "expected"),
    [
        (
            "free_memory",
            lambda: 10**6,
            "of memory for weights, gradients and moments; 1.0 MB are free: set tuning.lora={}",
        ),
        ("free_disk", lambda folder: -(10**9), "there is room for"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_prompt_is_drawn(workplace, monkeypatch, flow, what, answer, expected):
    monkeypatch.setattr(space, what, answer)
    made = set((workplace.root / "artifacts").glob("*"))
    done = workplace.rein(flow, SMOKE, "seed=11", "pretraining.num_epochs=0.1")
    assert done.returncode == 1 and "ConfigError: " in done.stderr and expected in done.stderr
    kinds = {path.name.partition("-")[0] for path in set((workplace.root / "artifacts").glob("*")) - made}
    assert kinds <= {"texts", "base"}


def test_check_of_a_flow_tells_what_the_weights_take(workplace):
    """vocabulary 512 x 32, two layers of 4 x 32 x 32 + 3 x 32 x 96 + 64, a norm of 32: 43,168 weights, all of them in the body."""
    size = 512 * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 96 + 64) + 32
    assert space.in_gigabytes(16 * size) == "0.7 MB"
    said = workplace.rein("rlhf", SMOKE, "--check", "compute.precision=float32").stdout
    # policy and value model 16, reference and reward 4 a weight, and the best policy so far where a judge chooses; SMOKE keeps the last
    assert load_config(SMOKE).chooser is None
    tuning = space.in_gigabytes((2 * 16 + 2 * 4) * size)
    assert (
        f"memory for weights, gradients and moments: pretraining 0.7 MB, sft 0.7 MB, reward 0.7 MB, tuning {tuning}\n"
        in said
    )
