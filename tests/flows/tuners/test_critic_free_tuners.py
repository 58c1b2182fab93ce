"""Whole runs of the smallest preset with the tuners that go without a value model: RLOO and GRPO."""

import pytest
from mlflow.tracking import MlflowClient

from tests.flows.conftest import SMOKE


@pytest.mark.parametrize("kind", ["rloo", "grpo"])
def test_a_policy_is_tuned_without_a_value_model(apart, first_report, kind):
    tuning = f"{{kind: {kind}, num_updates: 2, batch_size: 8, num_samples: 4, min_reward_accuracy: 0, keep: last}}"
    report = apart.report("rlhf", SMOKE, f"tuning={tuning}")
    assert report["stages_run"] == ["tuning", "matches", "evaluation"] and report["kl_nats"] != 0
    client = MlflowClient(tracking_uri=apart.tracking_uri)
    for name in ("objective/kl", "objective/scores", "policy/approxkl_avg"):
        assert [point.step for point in client.get_metric_history(report["mlflow_run_id"], name)] == [0, 1], name
