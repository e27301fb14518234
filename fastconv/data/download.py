"""Files from mirrors: the first one that gives the right content is believed."""

import contextlib
import gzip
import hashlib
import importlib.util
import os
import sys
import zlib
from pathlib import Path

CHUNK = 1 << 16
TIMEOUT = 30  # seconds without an answer


def folder_of(name, folder, any_of):
    """Where the files of a data set are, or shall be.

    `folder` if given; else within the folder that FASTCONV_DATA names, or that itself if it holds
    `any_of` these files; else within the user's cache, where pooch has it.
    """
    if folder is not None:
        return Path(folder)
    root = os.environ.get("FASTCONV_DATA")
    if not root:
        return Path(_pooch(f"finding the cache for {name}").os_cache("fastconv"), name)
    inner = Path(root, name)
    if not inner.is_dir() and any(Path(root, each).exists() for each in any_of):
        return Path(root)
    return inner


def fetch(name, folder, mirrors, sha256, page, unpacked=False):
    """Downloads `name` into `folder` from the first of the `mirrors` that has the right one.

    sha256: of its content, with `unpacked` of what that unpacks to, because archives of the same
    content differ.  The file appears whole or not at all.
    Raises FileNotFoundError, with `page` and `folder` for whoever downloads it by hand.
    """
    import tempfile  # here, as it costs the start of every program

    how = f"download {name} from {page} and put it in {folder}"
    pooch = _pooch(f"downloading {name}", how)
    folder.mkdir(parents=True, exist_ok=True)
    bar = importlib.util.find_spec("tqdm") is not None and sys.stderr.isatty()
    get = pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK, timeout=TIMEOUT)
    failures = []
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch:
        part = Path(scratch, name)
        for mirror in mirrors:
            try:
                get(mirror + name, str(part), None)
            except OSError as error:  # requests' errors are such
                reason = type(error).__name__
                if (response := getattr(error, "response", None)) is not None:
                    reason = f"status {response.status_code}"
                    response.close()  # pooch does not
            else:
                if _sha256(part, unpacked) == sha256:
                    os.replace(part, folder / name)
                    return
                reason = "wrong content"
            failures.append(f"{mirror} ({reason})")
    raise FileNotFoundError(
        f"{name} could not be downloaded from {', '.join(failures)}; {how}, or set FASTCONV_DATA "
        "to the folder where it is"
    )


def _sha256(path, unpacked):
    digest = hashlib.sha256()
    # A server may have unpacked it on the way: then it is hashed as it is.
    with path.open("rb") as file:
        zipped = unpacked and file.peek(2)[:2] == b"\x1f\x8b"
        with gzip.open(file) if zipped else contextlib.nullcontext(file) as stream:
            try:
                while chunk := stream.read(CHUNK):
                    digest.update(chunk)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                return None
    return digest.hexdigest()


def _pooch(what, how="set FASTCONV_DATA to the folder where the data are"):
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            f"{what} needs pooch: pip install 'fastconv[download]'; or {how}"
        ) from error
    return pooch
