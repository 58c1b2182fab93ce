"""What MLflow wants beside a model's files, so that `mlflow.transformers.load_model` gives a pipeline: MLmodel, and the tokenizer by itself."""

import json
import shutil
from pathlib import Path

from mlflow.models import Model

GENERATION = ("text-generation", "TextGenerationPipeline")
CLASSIFICATION = ("text-classification", "TextClassificationPipeline")
NOT_OF_THE_TOKENIZER = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "README.md",
)


def describe_model(folder: Path, into: Path, model_id: str) -> None:
    """Writes what is to lie beside the model's own files, which stay as they are: no weights.

    Nothing for a reward that is no network, or one that transformers has no class for: MLflow could not load it.
    """
    import transformers

    if not (folder / "config.json").exists():
        return
    network = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0]
    if not hasattr(transformers, network):
        return
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["tokenizer_class"]
    task, pipeline = CLASSIFICATION if network.endswith("ForSequenceClassification") else GENERATION
    model = Model(model_id=model_id)
    model.add_flavor(
        "transformers",
        task=task,
        instance_type=pipeline,
        pipeline_model_type=network,
        source_model_name=network,
        model_binary=".",  # the folder of MLmodel itself
        components=["tokenizer"],
        tokenizer_type=tokenizer,
    )
    model.save(into / "MLmodel")
    ignored = shutil.ignore_patterns(*NOT_OF_THE_TOKENIZER)
    shutil.copytree(folder, into / "components" / "tokenizer", ignore=ignored)
