"""One way to list and read files, whether they lie in a directory, a .zip or a .tar.

Archives are never unpacked under the names that they hold. Names with ``..``, absolute names and links are
refused all the same: who finds one should know that the archive is not what it seems.
"""

import abc
import dataclasses
import hashlib
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from bioattack.tfrecords_builder.errors import RecordsError

MAX_FILE_BYTES = 256 * 2**20
_NOISE = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
_LOCAL_HEADER = struct.Struct("<4s22xHH")


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file that can be read.

    Args:
        path: With forward slashes, relative to the source.
        size_bytes: As it will be read.
        reference: For ``Files.read``; its ``repr`` changes when the file does.
    """

    path: str
    size_bytes: int
    reference: tuple[Any, ...]


class Files(abc.ABC):
    """The files of a source; picklable, and opened for each reading.

    Args:
        path: The directory or archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @abc.abstractmethod
    def scan(self) -> tuple[list[File], list[str]]:
        """Lists all files and all folders, sorted by path, without hidden ones.

        Raises:
            RecordsError: If the source cannot be listed or holds what is refused.
        """

    @abc.abstractmethod
    def read(self, file: File) -> bytes:
        """Returns the bytes of one file.

        Raises:
            RecordsError: If it cannot be read; the message names it.
        """

    def checksums(self) -> dict[str, Any]:
        """Describes the archive for the manifest; a directory has no bytes of its own."""
        return file_checksum(self.path)

    def prepare(self, scratch: Path) -> None:  # noqa: B027
        """Makes the files readable in any order; ``scratch`` is a folder for what that needs."""


def open_files(path: Path) -> Files:
    """Opens a directory, a .zip or a .tar (plain or compressed), told apart by content.

    Raises:
        RecordsError: If there is nothing at ``path``, it is none of these, or it cannot be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return Directory(path)
        if not path.exists():
            raise RecordsError(f"there is no file or folder {path}; --source must name one")
        if zipfile.is_zipfile(path):
            return ZipArchive(path)
        if tarfile.is_tarfile(path):
            return TarArchive(path)
    except OSError as error:
        raise RecordsError(f"cannot read {path}: {error.strerror or error}") from error
    raise RecordsError(f"{path} is neither a folder nor a .zip nor a .tar archive (or it is damaged)")


def file_checksum(path: Path) -> dict[str, Any]:
    """Name, size and sha256 of one file."""
    with Path(path).open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return {"name": Path(path).name, "size_bytes": Path(path).stat().st_size, "sha256": digest}


class Directory(Files):
    """The files below a directory; links are followed."""

    def scan(self) -> tuple[list[File], list[str]]:
        """See ``Files.scan``."""
        files, folders = [], []
        seen: set[str] = set()
        for root, subfolders, names in os.walk(self.path, onerror=self._refuse, followlinks=True):
            real = os.path.realpath(root)
            if real in seen:
                raise RecordsError(f"{root} leads back to a folder that was listed already; remove that link")
            seen.add(real)
            subfolders[:] = sorted(name for name in subfolders if not _is_noise(name))
            relative = Path(root).relative_to(self.path)
            folders += [(relative / name).as_posix() for name in subfolders]
            files += [self._file(relative / name) for name in names if not _is_noise(name)]
        return sorted(files, key=lambda file: file.path), sorted(folders)

    def _file(self, relative: Path) -> File:
        path = self.path / relative
        try:
            # A link that leads nowhere is listed; reading it fails, which --skip-bad is for.
            status = path.lstat() if path.is_symlink() and not path.exists() else path.stat()
        except OSError as error:
            raise self._error(path, error) from error
        return File(relative.as_posix(), status.st_size, (status.st_size, status.st_mtime_ns))

    def read(self, file: File) -> bytes:
        """See ``Files.read``."""
        _check_size(file)
        try:
            return (self.path / file.path).read_bytes()
        except OSError as error:
            raise self._error(self.path / file.path, error) from error

    def checksums(self) -> dict[str, Any]:
        """See ``Files.checksums``."""
        return {"name": self.path.resolve().name}

    def _refuse(self, error: OSError) -> None:
        raise self._error(error.filename, error) from error

    @staticmethod
    def _error(path: object, error: OSError) -> RecordsError:
        return RecordsError(f"cannot read {path}: {error.strerror or error}; make it readable or remove it")


class ZipArchive(Files):
    """The members of a .zip; workers read them by offset, so that only the parent reads the directory."""

    def scan(self) -> tuple[list[File], list[str]]:
        """See ``Files.scan``."""
        files, folders = [], set()
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise RecordsError(f"cannot read {self.path}: {error}; fetch it again") from error
        for member in members:
            name = _checked_name(member.filename, self.path)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise RecordsError(f"{self.path} holds a link ({member.filename}); links are not followed")
            if _is_noise_path(name):
                continue
            folders.update(_parents(name, is_folder=member.is_dir()))
            if not member.is_dir():
                files.append(self._file(member, name))
        _refuse_repeats(files, self.path)
        return sorted(files, key=lambda file: file.path), sorted(folders)

    def _file(self, member: zipfile.ZipInfo, name: str) -> File:
        if member.flag_bits & 1:
            raise RecordsError(f"{self.path} is encrypted ({member.filename}); decrypt it first")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RecordsError(
                f"{self.path} is compressed in a way that few programs read ({member.filename}); "
                "make it again with the usual one (deflate)"
            )
        reference = (member.header_offset, member.compress_size, member.compress_type, member.CRC)
        return File(name, member.file_size, reference)

    def read(self, file: File) -> bytes:
        """See ``Files.read``."""
        _check_size(file)
        offset, compressed_size, method, checksum = file.reference
        try:
            with self.path.open("rb") as archive:
                archive.seek(offset)
                signature, name_length, extra_length = _LOCAL_HEADER.unpack(archive.read(_LOCAL_HEADER.size))
                if signature != b"PK\x03\x04":
                    raise ValueError("no member where one should be")
                archive.seek(name_length + extra_length, os.SEEK_CUR)
                content = archive.read(compressed_size)
            if method == zipfile.ZIP_DEFLATED:
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, file.size_bytes + 1)
            if len(content) != file.size_bytes or zlib.crc32(content) != checksum:
                raise ValueError("its checksum is wrong")
        except (OSError, ValueError, struct.error, zlib.error) as error:
            raise RecordsError(f"{file.path} in {self.path} is damaged ({error}); fetch it again") from error
        return content


class TarArchive(Files):
    """The members of a .tar; a compressed one is unpacked to a plain .tar once, before the workers start."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._plain_path: Path | None = None if _is_compressed(path) else Path(path)

    def scan(self) -> tuple[list[File], list[str]]:
        """See ``Files.scan``."""
        files, folders = [], set()
        size, time = self.path.stat().st_size, self.path.stat().st_mtime_ns
        try:
            with tarfile.open(self.path, "r|*") as archive:
                for member in archive:
                    name = _checked_name(member.name, self.path)
                    if not (member.isfile() or member.isdir()) or member.issparse():
                        raise RecordsError(
                            f"{self.path} holds a link or a device ({member.name}); only files are read"
                        )
                    if name in ("", ".") or _is_noise_path(name):
                        continue
                    folders.update(_parents(name, is_folder=member.isdir()))
                    if member.isfile():
                        files.append(File(name, member.size, (member.offset_data, size, time)))
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise RecordsError(f"cannot read {self.path}: {error}; fetch it again") from error
        _refuse_repeats(files, self.path)
        return sorted(files, key=lambda file: file.path), sorted(folders)

    def prepare(self, scratch: Path) -> None:
        """See ``Files.prepare``."""
        if self._plain_path is None:
            self._plain_path = scratch / "source.tar"
            with decompressed(self.path) as packed, self._plain_path.open("wb") as plain:
                while block := packed.read(2**20):
                    plain.write(block)

    def read(self, file: File) -> bytes:
        """See ``Files.read``."""
        _check_size(file)
        # Before `prepare`, as in a dry run, a compressed archive is read from its start each time.
        opened = decompressed(self.path) if self._plain_path is None else self._plain_path.open("rb")
        try:
            with opened as archive:
                archive.seek(file.reference[0])
                content: bytes = archive.read(file.size_bytes)
        except (OSError, EOFError, zlib.error) as error:
            raise RecordsError(f"{file.path} in {self.path} is damaged ({error}); fetch it again") from error
        if len(content) != file.size_bytes:
            raise RecordsError(f"{file.path} in {self.path} is cut short; fetch the archive again")
        return content


def decompressed(path: Path) -> Any:
    """Opens a .gz, .bz2 or .xz file for reading what is in it, told apart by content."""
    import bz2
    import gzip
    import lzma

    with Path(path).open("rb") as handle:
        start = handle.read(6)
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
    for signature, opener in openers.items():
        if start.startswith(signature):
            return opener(path)
    return io.FileIO(path)


def _is_compressed(path: Path) -> bool:
    with Path(path).open("rb") as handle:
        return handle.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ"))


def _checked_name(name: str, archive: Path) -> str:
    plain = name.replace("\\", "/")
    parts = PurePosixPath(plain).parts
    if plain.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
        raise RecordsError(f"{archive} holds the unsafe path {name!r}; such archives are not read")
    return "/".join(parts)


def _parents(name: str, *, is_folder: bool) -> list[str]:
    folders = [parent.as_posix() for parent in PurePosixPath(name).parents if parent.as_posix() != "."]
    return [*folders, name] if is_folder and name else folders


def _is_noise(name: str) -> bool:
    return name.startswith(".") or name in _NOISE


def _is_noise_path(path: str) -> bool:
    return any(_is_noise(part) for part in path.split("/"))


def _refuse_repeats(files: list[File], archive: Path) -> None:
    seen: set[str] = set()
    for file in files:
        if file.path in seen:
            raise RecordsError(f"{archive} holds {file.path} twice; make it again")
        seen.add(file.path)


def _check_size(file: File) -> None:
    if file.size_bytes > MAX_FILE_BYTES:
        raise RecordsError(
            f"{file.path} is too large to be a picture ({file.size_bytes:,} bytes); remove it, or leave it "
            "out with --skip-bad"
        )
