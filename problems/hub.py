"""Files of the Hugging Face hub's data sets, by name: hub:OWNER/NAME/FILE."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contracts.errors import UserError
from problems.json_rows import ENDINGS

_PREFIX = "hub:"


def resolved(path: Path) -> Path:
    """The local file of a hub name, from the hub's own cache or else downloaded into it; any other path as it is.

    Raises UserError for a name that is none, for a kind of file that is not read, and where the file cannot be had.
    """
    if not str(path).startswith(_PREFIX):
        return path
    owner, name, file = [*str(path).removeprefix(_PREFIX).split("/", 2), "", "", ""][:3]
    if not (owner and name and file.endswith(ENDINGS)):
        raise UserError(
            f"{path} names no file of problems",
            f"Write {_PREFIX}OWNER/NAME/FILE, such as {_PREFIX}codeparrot/apps/train.jsonl; files end in {', '.join(ENDINGS)}",
        )
    return _fetched(f"{owner}/{name}", file)


def _fetched(repository: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download  # slow to import, and seldom needed
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        # A file that is there does without the network, whose silence would take half a minute to be believed.
        with suppress(LocalEntryNotFoundError):
            return Path(hf_hub_download(repository, file, repo_type="dataset", local_files_only=True))
        with _quiet():
            return Path(hf_hub_download(repository, file, repo_type="dataset"))
    except LocalEntryNotFoundError as err:
        raise UserError(
            f"{repository}/{file} is not in the Hugging Face cache here and cannot be downloaded",
            f"Where there is a network, run: hf download --repo-type dataset {repository} {file}. Or name a local file",
        ) from err
    except (OSError, EntryNotFoundError, ValueError) as err:  # ValueError: names that no repository or file can have
        said = " ".join(str(err).split()).rstrip(".")
        raise UserError(f"{repository}/{file} cannot be had from the hub: {said}", "Mend the name, or name a local file") from err


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's line for each attempt to reach the hub: what comes of it is said once."""
    from huggingface_hub.utils.logging import get_verbosity, set_verbosity

    before = get_verbosity()
    set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        set_verbosity(before)
