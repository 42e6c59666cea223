"""Files of the Hugging Face hub, by commit: fetched once into the hub's own cache, then local.

A cluster without a network finds them there too (HF_HOME, HF_HUB_OFFLINE=1), once they were
fetched on a machine that has one.
"""

from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ssgr.errors import TableError


class Fetched(NamedTuple):
    """Files of a data set, all of one commit."""

    commit: str
    paths: tuple[Path, ...]


@cache
def fetch(repo: str, revision: str, *files: str) -> Fetched:
    """Return local copies of a data set's files, all of the commit that the first came from.

    Args:
        repo: the data set, ``owner/name``.
        revision: a commit, branch or tag.
        files: paths inside it.

    Raises:
        TableError: the data set, revision or file does not exist, access was not granted, or there
            is no network and the cache lacks it; says what to do.
    """
    first = _download(repo, revision, files[0])
    commit = first.parents[len(PurePosixPath(files[0]).parts) - 1].name  # …/snapshots/COMMIT/file
    rest = [_download(repo, commit, file) for file in files[1:]]
    return Fetched(commit, (first, *rest))


def _download(repo: str, revision: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    try:
        return Path(hf_hub_download(repo, file, repo_type="dataset", revision=revision))
    except (EntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        what = f"{file} of the data set {repo} at revision {revision}"
        raise TableError(f"{what}{_reason(error, repo, revision, file)}") from error


def _reason(error: Exception, repo: str, revision: str, file: str) -> str:
    """Why a file could not be fetched, and what to do."""
    from huggingface_hub import constants, errors

    match error:
        case errors.GatedRepoError():  # a RepositoryNotFoundError too
            return (
                ": its authors grant access person by person. Accept their conditions at "
                f"{constants.ENDPOINT}/datasets/{repo}, then log in with `hf auth login` (or set "
                "HF_TOKEN to a token of yours that may read gated repositories), and run again."
            )
        case errors.LocalEntryNotFoundError():  # an EntryNotFoundError too
            return (
                " is not in the hub's cache, and the hub cannot be reached from here (no network, "
                "or HF_HUB_OFFLINE is set). Where it can: `hf download --repo-type dataset "
                f"--revision {revision} {repo} {file}`, and bring the cache here (HF_HOME names "
                "it); or take the file itself with `loader: file`."
            )
        case errors.RevisionNotFoundError():
            return ": there is no such revision. Check the entry's `revision`."
        case errors.EntryNotFoundError():
            return ": there is no such file. Check the entry's `files`."
        case errors.RepositoryNotFoundError():
            return (
                ": there is no such data set, or it is private and you are not logged in "
                "(`hf auth login`, or the variable HF_TOKEN). Check the entry's `repo`."
            )
        case _:
            return f" cannot be fetched: {error}"
