"""What a person triggers. A flow file only wires stages."""

from tasks.running.told_errors import tell_errors_in_one_line

tell_errors_in_one_line()
