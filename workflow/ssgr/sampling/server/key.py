"""The key of an endpoint: read from the environment, and struck out of all that is said.

Error messages quote servers, and a server may quote the key that it was sent.
"""

import json
import logging
import os
import re
from urllib.parse import quote, quote_plus

from ssgr.config import Server
from ssgr.errors import ConfigError

LIBRARIES = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
CREDENTIALS = re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;}<>]+")


class Key:
    """An API key that only the client library gets to see."""

    def __init__(self, variable: str) -> None:
        """Read the environment variable; "" stands for no key.

        Raises:
            ConfigError: a variable that the user chose is not set, or cannot be a key.
        """
        value = os.environ.get(variable, "").strip() if variable else ""
        if variable and not value and variable != Server.model_fields["api_key_env"].default:
            raise ConfigError(
                f"The environment variable {variable} (server.api_key_env) holds no key: set it, "
                'or write api_key_env: "" for a server that wants none.'
            )
        if not re.fullmatch(r"[!-~]*", value):
            raise ConfigError(
                f"The environment variable {variable} holds blanks or characters outside ASCII; "
                "no API key has them."
            )
        self.variable = variable
        self._value = value

    def __bool__(self) -> bool:
        """Whether there is a key."""
        return bool(self._value)

    def __repr__(self) -> str:
        return f"Key({self.variable!r})"

    def reveal(self) -> str:
        """Return what the client library sends; it insists on something."""
        return self._value or "none"

    def scrub(self, text: str) -> str:
        """Return ``text`` without the key, however it is escaped, and without credentials."""
        spellings = {self._value, quote(self._value), quote_plus(self._value)}
        spellings |= {json.dumps(self._value)[1:-1], repr(self._value)[1:-1]}
        for spelling in sorted(spellings - {""}, key=len, reverse=True):
            text = text.replace(spelling, f"<{self.variable}>")
        return CREDENTIALS.sub(r"\1 <hidden>", text)


def quiet_libraries() -> None:
    """Turn off the client libraries' debug logs (OPENAI_LOG too): they show headers."""
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        if logger.getEffectiveLevel() < logging.WARNING:
            logger.setLevel(logging.WARNING)
