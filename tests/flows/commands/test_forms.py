"""Flows as deployments start them: a form that does not fit ends its run in a sentence, another one runs the flow of its name."""

import re
import shlex

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow

from flows.forms import rlhf
from tasks.reporting.page.compare import find_report
from tasks.running.run_name import own_name
from tests.flows.conftest import Workplace


def run_of(workplace: Workplace, **fields: object) -> FlowRun:
    """Runs what was submitted, to its end."""
    form = {"preset": "smoke", "places": shlex.join(workplace.where(("rlhf",)))} | fields
    with workplace.prefect(), get_client(sync_client=True) as client:
        run = client.create_flow_run(rlhf, parameters={"form": form})
        run_flow(rlhf, flow_run=run, parameters=run.parameters, return_type="state")
        return client.read_flow_run(run.id)


def test_a_form_that_does_not_fit_ends_its_run_in_one_sentence(workplace):
    run = run_of(workplace, overrides="tuning.num_minibatches=3 seed=1", **{"tuning.kl.coef": 0.1})
    assert run.state.is_failed()
    assert run.state.message == "preset smoke, as changed, does not fit: tuning: num_minibatches must divide batch_size"
    assert re.fullmatch(r"smoke: tuning\.kl\.coef 0\.1, tuning\.num_minibatches 3, seed 1 \(\w+-\w+\)", run.name)


def test_a_form_runs_the_flow_and_the_two_words_of_its_name_find_its_report(workplace):
    run = run_of(workplace, overrides="pairs={weight: confidence}", **{"evaluation.num_prompts": 4})
    assert run.state.is_completed(), run.state.message
    assert run.name.startswith("smoke: evaluation.num_prompts 4, pairs {weight: confidence} (")
    for named in (own_name(run.name), run.name):
        assert find_report(named, workplace.root) == workplace.root / "reports" / str(run.id)


def test_the_command_calls_its_runs_likewise(first_report):
    assert re.fullmatch(r"smoke \(\w+-\w+\)", first_report["prefect_flow_run_name"])
