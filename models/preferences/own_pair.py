"""What one labeler's own ranking says of two completions. Needs little, so that whatever learns can know it."""

from models.labeler_names import LabelerName
from models.records import Pair


class OwnPair(Pair):
    """A pair as one labeler's own ranking has it, whatever others say."""

    labeler: LabelerName
