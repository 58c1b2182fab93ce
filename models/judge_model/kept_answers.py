"""Answers that were paid for, in a file to which each is added as it comes: a kill loses none of them."""

import json
import threading
from pathlib import Path
from typing import Any


class KeptAnswers:
    """What was answered, by the key of its question. Without a file it is kept in memory alone."""

    def __init__(self, file: Path | None = None) -> None:
        """Reads what the file holds. A last line that was cut off by a kill is taken out of it."""
        self._file = file
        self._lock = threading.Lock()
        self._said: dict[str, Any] = {}
        if file is not None and file.exists():
            text = file.read_bytes()
            whole = text[: text.rfind(b"\n") + 1]
            if len(whole) < len(text):
                file.write_bytes(whole)
            self._said = {row["key"]: row["said"] for row in map(json.loads, whole.splitlines())}

    def find(self, key: str) -> Any:
        """What was said to the question; None where it was not asked."""
        return self._said.get(key)

    def keep(self, key: str, said: Any) -> None:
        """Adds an answer, in the file before it returns. Called from several threads."""
        with self._lock:
            self._said[key] = said
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "said": said}) + "\n")
