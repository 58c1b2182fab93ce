"""Whether a base is there at all, said in a second: what lies in its folder, or what the hub says. Loads no torch, downloads nothing."""

import json
import os
from pathlib import Path

from models.errors import ConfigError
from models.settings.allowed_roots import is_hub_name
from models.settings.training import PretrainedBase

HUB_SECONDS = 8.0
TOKENIZER_FILES = ("tokenizer*", "vocab*", "*.model", "*.tiktoken")


def require_there(base: PretrainedBase) -> None:
    """Raises ConfigError for a folder that holds no model, and for a name that neither this machine's cache nor the hub knows.

    That the model can serve is seen when it is loaded (models/network/base.py).
    """
    folder = Path(base.model)
    if folder.exists():
        if reason := _why_no_model(folder):
            raise ConfigError(f"base.model {base.model!r} cannot be loaded: {reason}")
    elif not is_hub_name(base.model):
        raise ConfigError(f"base.model {base.model!r} cannot be loaded: there is no such folder")
    else:
        _require_on_hub(base)


def _why_no_model(folder: Path) -> str:
    """What a folder lacks; empty for an adapter too, of which more is said when it is loaded."""
    if not folder.is_dir():
        return "it is a file; name the folder of a model"
    if (folder / "adapter_config.json").exists():
        return ""
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "the folder has no config.json, so that it holds no model"
    except (OSError, ValueError):
        return "its config.json cannot be read as JSON"
    weights = [file for file in folder.glob("*.safetensors") if file.stat().st_size]
    if not weights:
        return "the folder has no weights in *.safetensors; save it anew with `save_pretrained`"
    if not any(any(folder.glob(name)) for name in TOKENIZER_FILES):
        return "the folder has no tokenizer; save it there with `save_pretrained`"
    return ""


def _require_on_hub(base: PretrainedBase) -> None:
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    at = f" at revision {base.revision}" if base.revision else ""
    named = f"base.model {base.model!r}{at} cannot be loaded: there is no such folder, and"
    try:
        if isinstance(try_to_load_from_cache(base.model, "config.json", revision=base.revision), str):
            return
        if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
            raise ConfigError(f"{named} the hub is not asked, since HF_HUB_OFFLINE is set")
        HfApi().model_info(base.model, revision=base.revision, timeout=HUB_SECONDS)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise ConfigError(
            f"{named} the hub has no such model (of a private one it says so without HF_TOKEN, too)"
        ) from None
    except HFValidationError:
        raise ConfigError(f"{named} it is no name that the hub could have") from None
    except HfHubHTTPError as error:
        raise ConfigError(f"{named} the hub refuses it: {_first_line(error)}") from None
    except ConfigError:
        raise
    except Exception as error:  # of its transport, which is of whichever package
        raise ConfigError(
            f"{named} the hub cannot be reached: {_first_line(error)}; name a folder with the model"
        ) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
