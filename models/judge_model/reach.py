"""Whether the judge models that settings name can be asked, said before anything is made that would wait for them in vain."""

from collections.abc import Callable

from models.errors import ConfigError
from models.settings.asked.labels import asked_models
from models.settings.base import Settings


def reaching(*settings: Settings) -> Callable[[], None]:
    """What asks each of their judge models a short question when it is first called, and does nothing after.

    It raises as the model does that is away, and ConfigError for one that tells no probabilities where these are needed.
    """
    waiting = [asked for one in settings for asked in asked_models(one)]

    def reach() -> None:
        while waiting:
            asked = waiting[0]
            if not asked.model.load_module().tells_probabilities(asked.model) and asked.needs_probabilities:
                raise ConfigError(
                    f"model {asked.model.named!r} tells no log-probabilities of its answers, from which this is computed; take a server that "
                    "does, or model.kind local"
                )
            waiting.pop(0)

    return reach
