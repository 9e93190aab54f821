"""Reading details datasets from the Hugging Face hub, piece by piece, with retries.

Nothing is downloaded to a file and the user's hub cache is never touched: JSON lines are parsed as they arrive
and discarded, and only the needed column chunks of a parquet file are fetched, by range requests. Every request
is retried with back-off; an interrupted body is resumed where it stopped.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from huggingface_hub import HfApi, HfFileSystem, get_session, get_token, hf_hub_url, hf_raise_for_status
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, logging

from ..errors import InputError
from ..files import limits, size_text

HTTPError: type[Exception]
try:  # the transport of huggingface_hub 2; version 1 spoke through httpx, with the same names
    from httpx2 import HTTPError
except ImportError:
    from httpx import HTTPError

CONVERTED = "refs/convert/parquet"
_GAP = 8192  # bytes between two columns that are cheaper fetched than asked around
READ_TIMEOUT = 30.0  # seconds without a byte before a connection counts as dead
_WORTH_RETRYING = (408, 429, 500, 502, 503, 504)
# RuntimeError: huggingface_hub closes its shared client when a connection fails in another thread.
_BROKEN = (HTTPError, OSError, RuntimeError)

logging.set_verbosity_error()  # we retry ourselves; the library's warnings would break the progress bar


class Unavailable(Exception):
    """One dataset or file cannot be read; the message is the reason, for the table of failures."""


class Stopped(Exception):
    """The run was interrupted."""


@dataclass(frozen=True)
class File:
    """A file of a dataset at one revision; `size` in bytes."""

    repo: str
    revision: str
    path: str
    size: int


@dataclass
class Hub:
    """A patient client of one hub.

    endpoint    address of the hub; None = the environment's HF_ENDPOINT, else the public hub
    retries     how often one request is tried again; a stream that makes progress resets the count
    first_wait  seconds before the first retry, doubled each time up to a minute; a Retry-After takes precedence
    """

    endpoint: str | None = None
    retries: int = 5
    first_wait: float = 1.0
    timeout: float = READ_TIMEOUT
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self):
        self.api = HfApi(endpoint=self.endpoint)

    def revision(self, repo: str, revision: str | None = None) -> str:
        """The commit that a dataset's branch points to."""
        return self._patiently(
            lambda: self.api.dataset_info(repo, revision=revision, timeout=self.timeout).sha, repo)

    def files(self, repo: str, revision: str, folder: str | None = None) -> list[File]:
        """Every file below `folder`, from all pages of the listing."""
        listed = self._patiently(lambda: list(self.api.list_repo_tree(
            repo, folder, recursive=True, revision=revision, repo_type="dataset")), repo)
        return [File(repo, revision, entry.path, entry.size) for entry in listed if hasattr(entry, "size")]

    def converted(self, repo: str) -> list[File]:
        """The files of the hub's own parquet conversion; empty if there is no conversion."""
        try:
            revision = self.revision(repo, CONVERTED)
            root = f"datasets/{repo}@{revision}"
            system = self._file_system()
            system.invalidate_cache()  # of the previous dataset; this listing then serves every `table`
            listed = self._patiently(lambda: system.find(root, detail=True), repo)
        except Unavailable:
            return []
        return [File(repo, revision, name.removeprefix(f"{root}/"), entry["size"]) for name, entry in listed.items()]

    def lines(self, file: File, offset: int = 0) -> Iterator[tuple[bytes, int]]:
        """(line, offset just after it) from `offset` on, which must be 0 or an offset returned earlier.

        Raises Unavailable if the file cannot be fetched, or if it or one of its lines is larger than the limits.
        """
        _check_size(file, file.size)
        failures = 0
        while offset < file.size:
            start = offset
            try:
                for line, offset in self._lines_once(file, start):
                    yield line, offset
                if offset < file.size:
                    raise HTTPError(f"{file.path}: the body ended after {offset} of {file.size} bytes")
            except _BROKEN as error:
                failures = 1 if offset > start else failures + 1
                self._give_up_or_wait(error, failures, file.repo)

    def table(self, file: File, columns: list[str]):
        """Some columns of a parquet file as an Arrow table; only their bytes are fetched.

        Raises Unavailable if the file cannot be fetched or its columns unpack to more than the limit, KeyError if a
        column is missing.
        """
        import pyarrow.parquet

        def read(stream, parquet, leaves):
            _check_size(file, _bytes_of(parquet, leaves, "total_uncompressed_size"))
            parts = {(start, stop): _range(stream, start, stop) for start, stop in _ranges(file, parquet, leaves)}
            # Arrow's own threads would call Python for the bytes: one still at it when the interpreter ends aborts
            # the process (apache/arrow#34314). So this thread fetches, and this thread decodes.
            with self.open(file, cache_type="parts", cache_options={"data": parts}) as known:
                whole = pyarrow.parquet.ParquetFile(known, metadata=parquet.metadata, pre_buffer=False)
                return whole.read(columns=columns, use_threads=False)

        return self._parquet(file, columns, read)

    def column_bytes(self, file: File, columns: list[str]) -> int:
        """How many bytes `table` would fetch, from the file's footer alone. Raises as `table` does."""
        return self._parquet(file, columns,
                             lambda _, parquet, leaves: _bytes_of(parquet, leaves, "total_compressed_size"))

    def _parquet(self, file: File, columns: list[str], use: Callable):
        """use(stream, ParquetFile, numbers of the leaf columns) of a file of which only the footer has been read."""
        import pyarrow
        import pyarrow.parquet

        def read():
            with self.open(file) as stream:
                parquet = pyarrow.parquet.ParquetFile(stream, pre_buffer=False)
                paths = [parquet.schema.column(i).path for i in range(len(parquet.schema))]
                leaves = {name: [i for i, path in enumerate(paths) if f"{path}.".startswith(f"{name}.")]
                          for name in columns}
                if lacking := [name for name in columns if not leaves[name]]:
                    raise KeyError(lacking[0])
                return use(stream, parquet, [leaf for name in columns for leaf in leaves[name]])

        try:
            return self._patiently(read, file.repo)
        except pyarrow.ArrowInvalid as error:
            raise Unavailable(f"{file.path} is not a parquet file: {error}") from None

    def open(self, file: File, **cache):
        """A seekable file whose reads are range requests, but for what `cache` (of fsspec) holds."""
        return self._file_system().open(f"datasets/{file.repo}@{file.revision}/{file.path}", "rb",
                                        **{"cache_type": "none", **cache})

    def _file_system(self) -> HfFileSystem:
        """One per thread, so that it remembers its listings."""
        return HfFileSystem(endpoint=self.endpoint, max_workers=1)

    def _lines_once(self, file: File, offset: int) -> Iterator[tuple[bytes, int]]:
        rest = b""
        for chunk in self._body(file, offset):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                offset += len(line) + 1
                yield line, offset
            if len(rest) > limits().line:
                raise Unavailable(f"{file.path}: a line of more than {size_text(limits().line)} at byte {offset}; "
                                  "--max-size allows longer ones")
        if rest and offset + len(rest) == file.size:
            yield rest, file.size

    def _body(self, file: File, offset: int) -> Iterator[bytes]:
        """The bytes from `offset` on, over one connection."""
        url = hf_hub_url(file.repo, file.path, repo_type="dataset", revision=file.revision,
                         endpoint=self.endpoint)
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with get_session().stream("GET", url, headers=headers, timeout=self.timeout,
                                  follow_redirects=True) as response:
            hf_raise_for_status(response)
            # A server may answer a range request with the whole file: skip what is known.
            skip = offset if response.status_code == 200 else 0
            for chunk in response.iter_raw():
                if self.stop.is_set():
                    raise Stopped
                if skip < len(chunk):
                    yield chunk[skip:]
                skip = max(0, skip - len(chunk))

    def _patiently(self, request: Callable, repo: str):
        failures = 0
        while True:
            try:
                return request()
            except (*_BROKEN, HFValidationError) as error:
                failures += 1
                self._give_up_or_wait(error, failures, repo)

    def _give_up_or_wait(self, error: Exception, failures: int, repo: str) -> None:
        response = getattr(error, "response", None)
        status = response.status_code if isinstance(error, HfHubHTTPError) and response is not None else None
        if (reason := self._final_reason(error, status, repo)) is not None:
            raise Unavailable(reason) from None
        if failures > self.retries:
            raise Unavailable(f"{_short(error)} (tried {failures} times)") from None
        wait = min(60.0, self.first_wait * 2 ** (failures - 1))
        if response is not None and (told := _told_to_wait(response.headers)) is not None:
            wait = told
        if self.stop.wait(wait):
            raise Stopped

    def _final_reason(self, error: Exception, status: int | None, repo: str) -> str | None:
        """Why trying again is pointless; None if it may help."""
        if isinstance(error, GatedRepoError):
            page = f"{self.api.endpoint}/datasets/{repo}"
            if self._has_token():
                return f"gated: accept the conditions on {page} with the account of your token"
            raise InputError(f"{repo} is gated: accept the conditions on {page}, then log in with `hf auth login` "
                             "or set HF_TOKEN")
        if status == 401 and "Invalid credentials" in str(error):
            raise InputError("the hub refuses your token: make a new one (read access is enough) and log in with "
                             "`hf auth login` or set HF_TOKEN")
        if isinstance(error, (RepositoryNotFoundError, HFValidationError)):
            return "no such dataset (or it is private)"
        if isinstance(error, (RevisionNotFoundError, EntryNotFoundError, FileNotFoundError)):
            return "no such file or revision"
        if status is not None and status not in _WORTH_RETRYING:
            return _short(error)
        return None

    def _has_token(self) -> bool:
        try:
            return bool(get_token())
        except LocalTokenNotFoundError:
            return False


def _check_size(file: File, size: int) -> None:
    if size > limits().total:
        raise Unavailable(f"{file.path}: {size_text(size)}, more than the {size_text(limits().total)} that are "
                          "allowed; --max-size allows more")


def _bytes_of(parquet, leaves: list[int], which: str) -> int:
    """Bytes of some columns by a file's own footer, as stored or unpacked."""
    groups = [parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups)]
    return sum(getattr(group.column(leaf), which) for group in groups for leaf in leaves)


def _ranges(file: File, parquet, leaves: list[int]) -> list[tuple[int, int]]:
    """(start, stop) of the bytes of some columns, in order; what lies closer together than _GAP is one range.

    Raises Unavailable if the footer places a column outside the file.
    """
    chunks = []
    for group in (parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups)):
        for chunk in map(group.column, leaves):
            pages = chunk.dictionary_page_offset, chunk.data_page_offset  # a column need not have a dictionary
            start = min(offset for offset in pages if offset is not None)
            if not 0 <= start <= start + chunk.total_compressed_size <= file.size:
                raise Unavailable(f"{file.path} is not a parquet file: its footer places a column outside the file")
            chunks.append((start, start + chunk.total_compressed_size))
    ranges: list[tuple[int, int]] = []
    for start, stop in sorted(chunks):
        if ranges and start - ranges[-1][1] <= _GAP:
            start, stop = ranges[-1][0], max(stop, ranges.pop()[1])
        ranges.append((start, stop))
    return ranges


def _range(stream, start: int, stop: int) -> bytes:
    """Those bytes of a file. Raises HTTPError, which is tried again, if fewer come."""
    stream.seek(start)
    if len(got := stream.read(stop - start)) < stop - start:
        raise HTTPError(f"{len(got)} of {stop - start} bytes came from byte {start} on")
    return got


def _told_to_wait(headers) -> float | None:
    """Seconds, from Retry-After: 30 or from the hub's own RateLimit: "api";r=0;t=30."""
    if (after := headers.get("Retry-After", "")).isdigit():
        return float(after)
    reset = re.search(r"\br=0;.*?\bt=(\d+)", headers.get("RateLimit", "").replace(" ", ""))
    return float(reset[1]) if reset else None


def _short(error: Exception) -> str:
    """The first line of an error, without request ids and query strings (which may carry signatures)."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    text = re.sub(r" ?\((Request ID|Amzn Trace ID|Amz CF ID)[^)]*\)", "", text)
    return re.sub(r"\?[^\s'\"]+", "", text)[:200]
