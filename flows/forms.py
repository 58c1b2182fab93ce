"""The flows as deployments start them: each is filled in as a form, says in its name what was changed, and is otherwise the flow of that name.

What a form leaves out, and how its fields become settings, stands in models/settings/forms/form.py. A form that does not fit ends its run as
Failed with one sentence, before anything is imported that takes seconds.
"""

from typing import Any

import prefect.runtime
from prefect import State, flow
from prefect.states import Failed

from models.errors import ConfigError
from models.settings.forms.by_flow import (
    CollectForm,
    EvaluateForm,
    IterateForm,
    LearnForm,
    RetrainForm,
    RewardForm,
    RlhfForm,
)
from models.settings.forms.form import Form
from models.settings.pipeline import PipelineConfig
from tasks.running.run_name import name_by_changes


def _name() -> str:
    form: Form = prefect.runtime.flow_run.parameters["form"]
    return name_by_changes(form.preset, form.changes)


def _read(form: Form) -> PipelineConfig | State:
    try:
        return form.config()
    except ConfigError as error:
        return Failed(message=str(error))


@flow(name="collect", flow_run_name=_name)
def collect(form: CollectForm) -> Any:
    """Samples prompts, lets the base model complete them, and publishes a batch to rank."""
    if isinstance(config := _read(form), State):
        return config
    from flows.collect import collect as run

    return run.fn(config)


@flow(name="rlhf", flow_run_name=_name)
def rlhf(form: RlhfForm) -> Any:
    """From prompts to a tuned policy without a pause for people."""
    if isinstance(config := _read(form), State):
        return config
    from flows.rlhf import rlhf as run

    return run.fn(config)


@flow(name="learn", flow_run_name=_name)
def learn(form: LearnForm) -> Any:
    """Learns a policy from rankings that exist already, and reports on it."""
    if isinstance(config := _read(form), State):
        return config
    from flows.learn import learn as run

    return run.fn(config)


@flow(name="iterate", flow_run_name=_name)
def iterate(form: IterateForm) -> Any:
    """A round of collecting and learning with people, or all rounds where labels answer at once."""
    if isinstance(config := _read(form), State):
        return config
    from flows.iterate import iterate as run

    return run.fn(config)


@flow(name="reward", flow_run_name=_name)
def reward(form: RewardForm) -> Any:
    """Learns a reward model from rankings that exist already, and reports on it."""
    if isinstance(config := _read(form), State):
        return config
    from flows.reward import reward as run

    return run.fn(config)


@flow(name="retrain", flow_run_name=_name)
def retrain(form: RetrainForm) -> Any:
    """Retrains on what people have said since, and keeps the better of champion and challenger."""
    if isinstance(config := _read(form), State):
        return config
    from flows.retrain import retrain as run

    return run.fn(config)


@flow(name="evaluate", flow_run_name=_name)
def evaluate(form: EvaluateForm, policy: str = "challenger", opponent: str = "champion") -> Any:
    """Compares two versions of the policy, each a number or an alias of the model registry, on the first one's held-out prompts."""
    if isinstance(config := _read(form), State):
        return config
    from flows.evaluate import evaluate as run

    return run.fn(config, policy, opponent)
