"""Functions that save a front-end to a folder or a repository, and load it from there."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download

from learnable_frontends import Frontend
from learnable_frontends.pretrained.card import write_card
from learnable_frontends.pretrained.reading import CONFIG, TENSORS, restore
from learnable_frontends.pretrained.registry import describe
from learnable_frontends.pretrained.writing import contents, write_files

__all__ = ["from_pretrained", "push_to_hub", "save_pretrained"]

CARD = "README.md"


def save_pretrained(frontend: Frontend, folder: str | os.PathLike[str]) -> None:
    """Save a front-end to a folder, as ``config.json`` and ``model.safetensors``.

    The configuration holds the arguments of the constructor, in Hz and samples. The tensors are those of the state dict
    and those that the arguments do not determine, such as the samples of the frame window. Before files are written, a
    front-end is loaded from their contents and compared with the original.

    Each file is replaced as a whole. The configuration is written last and holds a checksum of the tensors, so a folder
    in which saving was interrupted does not load.

    Args:
        frontend: A front-end of this package, or of a class that was passed to `register`, on any device.
        folder: Folder to write to. It is created if it does not exist.

    Raises:
        TypeError: If ``frontend`` is not a front-end, or the class of it or of a module in it is not known.
        ValueError: If it would not load unchanged: a setting or a parameter is not finite, or the front-end has tensors
            that its constructor does not make.

    Example:
        >>> import tempfile
        >>> from learnable_frontends import CosGaussFilterbank
        >>> bank = CosGaussFilterbank(16000, n_filters=40)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pretrained(bank, folder)
        ...     sorted(os.listdir(folder))
        ['config.json', 'model.safetensors']
    """
    write_files(Path(folder), contents(frontend, Path(folder)))


def from_pretrained(
    folder_or_repo_id: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Frontend:
    """Load a front-end from a folder, or from a repository on the Hugging Face Hub.

    The front-end has the settings, parameters and first values of the one that was saved. On the same machine its
    output is the same bit for bit. Parameters that did not require gradients do not require them, and a frozen
    front-end is frozen. It is on the CPU and in training mode, like every new module; no front-end depends on the mode.
    A transform that was chosen with `set_transform` is not restored.

    Nothing in the files is executed or imported. Classes are looked up by name among those of this package and those
    passed to `register`, and files that break a rule are refused. The parameters may still be anything that their
    author chose, so pass a commit as ``revision`` to get exactly what you have examined.

    Args:
        folder_or_repo_id: A folder, or ``"owner/name"`` if there is no folder with that name. If there is a folder
            ``"owner"``, the Hub is used only with a ``revision``, since a folder in ``"owner"`` is probably meant.
        revision: Branch, tag or commit of the repository; ``None`` means its main branch.
        token: Token for private repositories; ``None`` means the one that is logged in.
        cache_dir: Folder for downloads; ``None`` means the cache of ``huggingface_hub``.
        local_files_only: Whether to use only files that have been downloaded before.

    Returns:
        The front-end.

    Raises:
        FileNotFoundError: If there is no such folder and the Hub is not used, does not have the repository or cannot
            be reached; or if a file is missing in the folder or repository.
        ValueError: If ``revision`` is given for a folder, or a file breaks a rule. The message states the file, the
            rule and the value.

    Example:
        >>> import tempfile, torch
        >>> from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance
        >>> bank = MultiHeadRelevance(CosGaussFilterbank(16000, n_filters=40), n_heads=2)
        >>> waveform = torch.randn(16000)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pretrained(bank, folder)
        ...     torch.equal(from_pretrained(folder)(waveform), bank(waveform))
        True
    """
    folder, name = Path(folder_or_repo_id), str(folder_or_repo_id)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"revision must be None for a folder, got {revision!r} ({folder})")
        return restore(folder)
    rule = f"folder_or_repo_id must be a folder or 'owner/name' on the Hub, got {name!r}"
    if not (isinstance(folder_or_repo_id, str) and _is_repo_id(name)):
        raise FileNotFoundError(f"{rule} (there is no such folder)")
    if folder.parent.is_dir() and revision is None:
        hint = f"there is no such folder in {str(folder.parent)!r}; revision='main' asks the Hub"
        raise FileNotFoundError(f"{rule} ({hint})")
    try:
        downloaded = snapshot_download(
            name,
            revision=revision,
            token=token,
            cache_dir=None if cache_dir is None else Path(cache_dir),
            local_files_only=local_files_only,
            allow_patterns=[CONFIG, TENSORS],
        )
    except (OSError, ValueError) as error:  # what huggingface_hub raises is one of these
        hint = f"there is no such folder, and the Hub raised {type(error).__name__}: {error}"
        raise FileNotFoundError(f"{rule} ({hint})") from error
    return restore(Path(str(downloaded)))


def push_to_hub(
    frontend: Frontend,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    card: bool = True,
    commit_message: str = "Save a front-end",
) -> str:
    """Save a front-end to a repository on the Hugging Face Hub, in one commit. The repository is created if necessary.

    Args:
        frontend: The front-end, as for `save_pretrained`.
        repo_id: Name of the repository, ``"owner/name"``.
        private: Whether a new repository is private; ``None`` means the owner's default.
        revision: Branch to commit to; ``None`` means the main branch.
        token: Token of the Hub; ``None`` means the one that is logged in.
        card: Whether to write a ``README.md`` as well, with the settings and the line that loads the front-end. It
            replaces an existing one.
        commit_message: First line of the commit message.

    Returns:
        The commit, which `from_pretrained` takes as ``revision``.

    Raises:
        TypeError: As for `save_pretrained`.
        ValueError: As for `save_pretrained`, or if ``repo_id`` does not have the form ``"owner/name"``.

    Example:
        >>> commit = push_to_hub(frontend, "owner/name")  # doctest: +SKIP
        >>> frontend = from_pretrained("owner/name", revision=commit)  # doctest: +SKIP
        >>> from learnable_frontends import CosGaussFilterbank
        >>> push_to_hub(CosGaussFilterbank(16000), "name")
        Traceback (most recent call last):
        ValueError: repo_id must be 'owner/name', got 'name'
    """
    if not _is_repo_id(repo_id):
        raise ValueError(f"repo_id must be 'owner/name', got {repo_id!r}")
    files = contents(frontend, Path(repo_id))
    if card:
        files[CARD] = write_card(describe(frontend), repo_id).encode()
    api = HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), files)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            revision=revision,
            commit_message=commit_message,
            allow_patterns=list(files),
        )
    return str(commit.oid)


def _is_repo_id(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", text, re.ASCII) is not None
