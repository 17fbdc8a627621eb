"""The exceptions that end a command with one line for its user."""

from __future__ import annotations


class UserError(Exception):
    """Bad input: the command line prints the message and the remedy in one line and exits with 2."""

    exit_code = 2

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}. {remedy}")
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str]]:
        """Rebuild from both parts: it must survive the way back from another process."""
        return type(self), (self.message, self.remedy)


class RunError(UserError):
    """A run that began well had to be stopped: likewise, with 1."""

    exit_code = 1
