"""Where an operator's secrets come from: the environment, a file that a variable names, or a folder of mounted files.

For a variable `GROQ_API_KEY`: its value, else the text of the file that `GROQ_API_KEY_FILE` names, else the text of
`GROQ_API_KEY` in the folder that `GATEWAY_CREDENTIALS_DIR` names. Files are read again with every snapshot, so that a
secret that is changed where it is mounted takes effect without a restart.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr


class Secrets:
    """Looks secrets up by the name of their variable."""

    def __init__(self, environment: Mapping[str, str], folder: Path | None = None) -> None:
        self._environment = environment
        self._folder = folder

    def text(self, name: str) -> str | None:
        """The value; ``None`` where there is none, or where its file cannot be read."""
        if value := self._environment.get(name):
            return value
        if named := self._environment.get(f"{name}_FILE"):
            return self.file(named)
        return None if self._folder is None else self.file(str(self._folder / name))

    def secret(self, name: str) -> SecretStr | None:
        """As :meth:`text`, covered."""
        value = self.text(name)
        return None if value is None else SecretStr(value)

    def file(self, path: str) -> str | None:
        """The text of a file without the line end that editors add."""
        try:
            return Path(path).read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError):
            return None
