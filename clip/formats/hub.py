"""Files of the Hugging Face Hub, through huggingface_hub: its cache, token, mirror (HF_ENDPOINT) and offline mode.

huggingface_hub tries for a minute and more where no host answers, which is right for a transfer that breaks and wrong
for a machine without network. So one request is made before it may try.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Sequence
from contextlib import suppress

from support.user_error import DownloadError
from support.verified_download import checksum, describe


def cached(repository: str, files: Sequence[str], revision: str | None = None, folder: str | None = None) -> str:
    """Local path of the first of ``files`` that an earlier run fetched, "" where none did. Asks nothing of the Hub."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, file, cache_dir=folder, revision=revision) for file in files)
    return next((file for file in found if isinstance(file, str)), "")


def is_known(repository: str, files: Sequence[str], revision: str | None = None, folder: str | None = None) -> bool:
    """Whether the cache has one of ``files``, or an earlier run found that the repository has none of them."""
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(repository, file, cache_dir=folder, revision=revision) for file in files]
    return any(isinstance(file, str) for file in found) or None not in found


def fetch(repository: str, files: Sequence[str], revision: str | None = None, folder: str | None = None) -> str:
    """Local path of the first of ``files`` that a repository has, downloaded and verified; "" where it has none.

    Args:
        repository: "owner/model".
        revision: branch, tag or commit; default: the main branch.
        folder: of the cache; default: huggingface_hub's.

    Raises:
        UserError: a file is not the one that the Hub promised.
        Exception: of huggingface_hub, its HTTP library or the file system, see `reason`.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    with suppress(EntryNotFoundError):
        address = hf_hub_url(repository, files[0], revision=revision)
        get_hf_file_metadata(address, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    for file in files:
        try:
            path = hf_hub_download(repository, file, revision=revision, cache_dir=folder)
        except LocalEntryNotFoundError:  # which is an EntryNotFoundError, but says that the Hub is out of reach
            raise
        except EntryNotFoundError:
            continue
        _check_hash(path, f"{file} of {repository}")
        return path
    return ""


def reason(error: Exception, repository: str) -> str:
    """Why `fetch` failed, in words for a person."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return "its owner wants to be asked: accept the terms on its page, then give your token by HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return f"the Hub has no {repository}, or a private one: correct the name, or give your token by HF_TOKEN"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision"
    if isinstance(error, HFValidationError):
        return "that is no name of the Hub"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, and the cache does not have it"
    lines = str(error).strip().splitlines()
    return textwrap.shorten(lines[0] if lines else type(error).__name__, 200, placeholder=" ...")


def _check_hash(file: str, what: str) -> None:
    """UserError unless a file has the hash that the Hub gives it, the name of the blob in its cache.

    Small files have another kind of hash there: they are not compared.
    """
    blob = os.path.realpath(file)
    promised = f"sha256:{os.path.basename(blob)}"
    if re.fullmatch("sha256:[0-9a-f]{64}", promised) and (found := checksum(blob, promised)) != promised:
        os.remove(blob)  # or the next run would take it for complete
        raise DownloadError(
            f"{what} came incomplete or altered ({describe(found)}, published: {describe(promised)}), and was removed: "
            "try again later"
        )
