"""With REIN_ALLOWED_ROOTS set, no setting leads outside of them."""

import re

import pytest

from models.errors import ConfigError
from models.evaluation.promotion import PromotionRequest
from models.settings.allowed_roots import require_allowed
from models.settings.base import Settings
from models.settings.pipeline import PipelineConfig
from models.settings.presets import load_config
from tests.test_presets import SMOKE

INSIDE = {
    "storage": {"root": "{root}/work", "mirror": "file://{root}/mirror"},
    "tracking": {"uri": "sqlite:///{root}/mlflow.db"},
    "feedback": {"url": "sqlite:///{root}/feedback.db"},
}
OUTSIDE = [
    "storage.root=/srv/other",
    "storage.root={root}/../other",
    "storage.root={root}/out/deeper",
    "storage.root=.rein",
    "storage.root={root}-beside",
    "storage.mirror=file:///srv/other",
    "storage.mirror=file://{root}/%2e%2e/other",
    "storage.mirror=local:///srv/other",
    "storage.mirror=smb:///srv/other",
    "tracking.uri=sqlite:////srv/mlflow.db",
    "tracking.uri=sqlite:///mlflow.db",
    "tracking.uri=file:/srv/mlruns",
    "tracking.uri=mlruns",
    "feedback.url=sqlite:////srv/feedback.db",
    "feedback.url=sqlite+pysqlite:////srv/feedback.db",
    "feedback.url=sqlite:///file:/srv/feedback.db?uri=true",
    "base={{kind: pretrained, model: /srv/model}}",
    "base={{kind: pretrained, model: ../model}}",
    "base={{kind: pretrained, model: '{root}/out/model'}}",
    "prompts.source={{kind: file, path: /etc/passwd}}",
    "prompts.source={{kind: hub, name: /srv/prompts}}",
    "sft.source={{kind: file, path: '{root}/../demonstrations.jsonl'}}",
    "pretraining.source={{kind: hub, name: './text'}}",
    "tuning.ptx={{coef: 1, source: {{kind: file, path: /srv/text.txt}}}}",
    "labels={{kind: folder, path: /srv/batch}}",
    "batch.instructions=/etc/hostname",
    "batch.gold=/srv/gold.jsonl",
    "batch.choose={{reward: /srv/reward, num_prompts: 5}}",
    "evaluation.judges=[{{kind: own_reward}}, {{kind: people, instructions: /srv/how.md}}]",
    "evaluation.references={{kind: file, path: /srv/references.jsonl}}",
    "reward={{kind: mixture, parts: {{a: {{}}, b: {{labels: {{kind: folder, path: /srv/batch}}}}}}}}",
    "reward={{kind: mixture, parts: {{a: {{}}, b: {{}}}}, combine: {{kind: safety_first, safety: a, safety_prompts: /srv/p.jsonl}}}}",
]
ALLOWED = [
    "tracking.uri=https://mlflow.example",
    "feedback.url=postgresql+psycopg://rein@db/rein",
    "storage.mirror=s3://rein/artifacts",
    "base={{kind: pretrained, model: org/model}}",
    "base={{kind: pretrained, model: '{root}/model'}}",
    "prompts.source={{kind: hub, name: org/prompts}}",
    "labels={{kind: folder, path: '{root}/in/batch'}}",
    "batch.instructions={root}/deep/../how.md",
    "evaluation.judges=[{{kind: people, instructions: '{root}/how.md'}}]",
]
# Settings that are texts and name no place: they are shown, compared or looked up.
NO_PLACES = {
    *("PretrainedBase.revision", "PretrainedBase.chat_template", "PretrainedBase.system_prompt", "RayRunner.address"),
    *("PretrainedBase.template_arguments", "PretrainedBase.end_tokens"),
    *("TrackingConfig.experiment", "TrackingConfig.reward_name", "TrackingConfig.policy_name"),
    *("TextFile.column", "TextHub.column", "TextHub.subset", "TextHub.split"),
    *("DemonstrationFile.prompt_column", "DemonstrationFile.completion_column"),
    *("DemonstrationHub.prompt_column", "DemonstrationHub.completion_column"),
    *("DemonstrationHub.subset", "DemonstrationHub.split"),
    *(
        "LabelerKind.name",
        "SimulatedLabeler.name",
        "SimulatedLabels.criterion",
        "BatchConfig.completion_code",
        "BatchConfig.criterion",
        "People.criterion",
        "Votes.batch",
        "YesNoTask.question",
    ),
    *("StoredFeedback.criterion", "StoredFeedback.batches", "FeedbackFolder.criterion", "LabelStudioExport.criterion"),
    *("AnnotatedFile.criterion", "AnnotatedFile.where", "AnnotatedFile.session_column"),
    *("AnnotatedFile.held_out_column", "PairFile.criterion", "PairFile.labeler", "PairFile.labeler_column"),
    *("AnnotatedFile.systems_column", "PairFile.first_system_column", "PairFile.second_system_column"),
    *("HubDataset.revision", "HubDataset.subset", "HubDataset.split", "TextHub.revision", "DemonstrationHub.revision"),
    *("PairColumns.prompt", "PairColumns.chosen", "PairColumns.rejected", "PairFile.winner_column"),
    *("ThumbColumns.prompt", "ThumbColumns.completion", "ThumbColumns.label"),
    *("AnnotatedColumns.prompt", "AnnotatedColumns.completions", "AnnotatedColumns.annotations"),
    *("AnnotatedColumns.completion", "AnnotatedColumns.annotator", "AnnotatedColumns.rank", "AnnotatedColumns.score"),
    *("PairFile.first_wins", "PairFile.second_wins", "PairFile.tie", "PairFile.degree_column"),
    *("PairFile.first_wins", "PairFile.second_wins", "PairFile.tie"),
    *("PersonalReward.person", "PersonalReward.groups"),
    *("ClassColumns.text", "ClassColumns.prompt", "ClassVoteFile.votes", "ClassVoteFile.class_column"),
    *("ClassVoteFile.names", "ClassifierReward.wanted", "SimulatedAnnotator.name"),
    *("ThumbFile.criterion", "ThumbFile.labeler", "ThumbFile.labeler_column"),
    *("LoRA.target_modules", "TuningLoRA.target_modules"),
    *("ConsensusConfig.held_out_labelers", "PromotionRequest.made_by", "PromotionRequest.reason"),
    "PromotionRequest.version",
    "FunctionReward.function",  # what may be imported has a variable of its own
    *("EndpointModel.address", "EndpointModel.model", "EndpointModel.key_variable", "AskedModel.preamble"),
    *(
        "AILabeler.name",
        "AILabeler.preamble",
        "AIJudge.preamble",
        "AIJudge.criterion",
        "JudgeReward.preamble",
        "JudgeReward.criterion",
        "AILabels.criterion",
    ),
    *("MixtureReward.parts", "WeightedSum.weights", "SafetyFirst.safety"),
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An allowed folder with a link out of it and a link within; the working directory is elsewhere."""
    folder = tmp_path / "allowed"
    (folder / "real").mkdir(parents=True)
    (folder / "out").symlink_to("/srv")
    (folder / "in").symlink_to(folder / "real")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "org").mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("REIN_ALLOWED_ROOTS", f"/nowhere:{folder}")
    return folder


def configured(root, *overrides: str) -> PipelineConfig:
    inside = [f"{part}={settings}" for part, settings in INSIDE.items()]
    texts = [text.replace("{root}", str(root)).replace("{{", "{").replace("}}", "}") for text in (*inside, *overrides)]
    return load_config(SMOKE, texts)


@pytest.mark.parametrize("override", OUTSIDE)
def test_a_path_outside_is_named_with_its_key(root, override, monkeypatch):
    config = configured(root, override)
    key = override.partition("=")[0]
    with pytest.raises(ConfigError, match=r"REIN_ALLOWED_ROOTS allows only what lies below") as caught:
        require_allowed(config)
    complaints = str(caught.value).partition("outside: ")[2].split("; ")
    assert len(complaints) == 1
    assert complaints[0].startswith(key)
    monkeypatch.delenv("REIN_ALLOWED_ROOTS")
    require_allowed(config)


@pytest.mark.parametrize("override", ALLOWED)
def test_what_lies_below_or_on_another_machine_is_allowed(root, override):
    require_allowed(configured(root, override))


def test_a_folder_here_with_the_name_of_a_model_on_the_hub_is_a_path(root):
    config = configured(root, "base={{kind: pretrained, model: org}}")
    with pytest.raises(ConfigError, match=r"outside: base\.model: org$"):
        require_allowed(config)


@pytest.mark.parametrize("value", ["", ":", "relative/folder"])
def test_a_variable_that_names_no_folders_allows_nothing(root, value, monkeypatch):
    monkeypatch.setenv("REIN_ALLOWED_ROOTS", value)
    with pytest.raises(ConfigError, match="expected absolute paths"):
        require_allowed(configured(root))


def settings_below(model: type[Settings]) -> set[type[Settings]]:
    """All kinds of settings of the project."""
    return {model}.union(*(settings_below(one) for one in model.__subclasses__()))


def test_a_request_for_promotion_stays_below_the_allowed_roots(root):
    outside = {"tracking": {"uri": "sqlite:////srv/mlflow.db"}}
    with pytest.raises(ConfigError, match=r"tracking\.uri: /srv/mlflow\.db"):
        require_allowed(PromotionRequest(made_by="ann", reason="better", **outside))


def test_every_text_among_the_settings_is_checked_or_known_to_be_no_place():
    unchecked = {
        f"{model.__name__}.{name}"
        for model in settings_below(Settings)
        if model.__module__.startswith("models.")  # not those of tests
        for name, field in model.model_fields.items()
        if re.search(r"\bstr\b", repr(field.annotation)) and name not in (*model.local_fields, *model.place_fields)
    }
    assert unchecked == NO_PLACES, "a new text: name it in place_fields or local_fields, or here"
