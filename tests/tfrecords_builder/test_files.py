import io
import pickle
import stat
import tarfile
import zipfile

import pytest

from bioattack.testing.made_up_pictures import write_files
from bioattack.tfrecords_builder import files
from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.files import open_files

CONTENTS = {"ant/1.jpg": b"first" * 100, "bee/2.jpg": b"second", "bee/3.jpg": b"", "notes.txt": b"x"}
NOISE = {".hidden": b"x", "bee/.DS_Store": b"x", "__MACOSX/bee/2.jpg": b"x", "bee/Thumbs.db": b"x"}


def _zip(path, contents, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def _tar(path, contents, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def _write(tmp_path, form, contents):
    if form == "folder":
        return write_files(tmp_path / "source", contents)
    if form in ("zip", "stored"):
        method = zipfile.ZIP_STORED if form == "stored" else zipfile.ZIP_DEFLATED
        return _zip(tmp_path / "source.bin", contents, method)
    return _tar(tmp_path / "source.bin", contents, "w" if form == "tar" else f"w:{form.removeprefix('tar.')}")


def _read_all(path):
    source = open_files(path)
    return [source.read(file) for file in source.scan()[0]]


@pytest.mark.parametrize("form", ["folder", "zip", "stored", "tar", "tar.gz", "tar.bz2", "tar.xz"])
@pytest.mark.parametrize("is_prepared", [True, False])
def test_every_form_reads_the_same(tmp_path, form, is_prepared):
    source = open_files(_write(tmp_path, form, CONTENTS | NOISE))
    found, folders = source.scan()
    if is_prepared:
        source.prepare(tmp_path)
    source = pickle.loads(pickle.dumps(source))  # noqa: S301
    assert {file.path: source.read(file) for file in reversed(found)} == CONTENTS
    assert [file.path for file in found] == sorted(CONTENTS)
    assert [file.size_bytes for file in found] == [500, 6, 0, 1]
    assert folders == ["ant", "bee"]


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_empty_folders_are_listed(tmp_path, form):
    path = tmp_path / "source"
    if form == "folder":
        (path / "wasp").mkdir(parents=True)
    elif form == "zip":
        _zip(path, {"wasp/": b""})
    else:
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo("wasp")
            member.type = tarfile.DIRTYPE
            archive.addfile(member)
    assert open_files(path).scan() == ([], ["wasp"])


UNSAFE = ["../evil.jpg", "a/../../evil.jpg", "/etc/evil.jpg", "C:/evil.jpg", "a\\..\\..\\evil.jpg"]


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_unsafe_paths_are_refused(tmp_path, form, name):
    source = open_files(_write(tmp_path, form, {"a/1.jpg": b"x", name: b"x"}))
    with pytest.raises(RecordsError, match=r"source\.bin holds the unsafe path '.*evil\.jpg'"):
        source.scan()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_tar_with_a_link_is_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("ant/link.jpg")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(RecordsError, match=r"a\.tar holds a link or a device \(ant/link\.jpg\)"):
        open_files(tmp_path / "a.tar").scan()


def test_zip_with_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("ant/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(RecordsError, match=r"a\.zip holds a link \(ant/link\.jpg\)"):
        open_files(tmp_path / "a.zip").scan()


def test_encrypted_zip_is_refused(tmp_path):
    path = _zip(tmp_path / "a.zip", {"1.jpg": b"x"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(RecordsError, match=r"a\.zip is encrypted \(1\.jpg\)"):
        open_files(path).scan()


def test_unusual_compression_is_refused(tmp_path):
    path = _zip(tmp_path / "a.zip", {"1.jpg": b"x"}, zipfile.ZIP_BZIP2)
    with pytest.raises(RecordsError, match=r"compressed in a way that few programs read \(1\.jpg\)"):
        open_files(path).scan()


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # the test makes it on purpose
def test_repeated_member_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.jpg", "x")
        archive.writestr("1.jpg", "y")
    with pytest.raises(RecordsError, match=r"a\.zip holds 1\.jpg twice"):
        open_files(tmp_path / "a.zip").scan()


def test_damaged_zip_member_is_named(tmp_path):
    path = _zip(tmp_path / "a.zip", {"ant/1.jpg": b"first" * 100}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    source = open_files(path)
    with pytest.raises(RecordsError, match=r"ant/1\.jpg in .*a\.zip is damaged \(its checksum is wrong\)"):
        source.read(source.scan()[0][0])


def test_zip_member_that_grows_beyond_its_stated_size_is_refused(tmp_path):
    path = _zip(tmp_path / "a.zip", {"1.jpg": bytes(10_000_000)})
    source = open_files(path)
    (file,) = source.scan()[0]
    short = files.File(file.path, 100, file.reference)
    with pytest.raises(RecordsError, match=r"its checksum is wrong"):
        source.read(short)


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_truncated_archive_is_refused(tmp_path, form):
    path = _write(tmp_path, form, {"ant/1.jpg": bytes(range(256)) * 400, "bee/1.jpg": bytes(50_000)})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RecordsError, match=r"source\.bin"):
        _read_all(path)


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_huge_file_is_refused(tmp_path, form, monkeypatch):
    source = open_files(_write(tmp_path, form, CONTENTS))
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 100)
    with pytest.raises(RecordsError, match=r"ant/1\.jpg is too large to be a picture \(500 bytes\)"):
        source.read(source.scan()[0][0])


def test_missing_and_wrong_sources_are_refused(tmp_path):
    with pytest.raises(RecordsError, match=r"there is no file or folder .*nothing"):
        open_files(tmp_path / "nothing")
    (tmp_path / "a.rar").write_bytes(b"Rar!" * 100)
    with pytest.raises(RecordsError, match=r"a\.rar is neither a folder nor a \.zip nor a \.tar"):
        open_files(tmp_path / "a.rar")


def test_unreadable_folder_is_refused(tmp_path, monkeypatch):
    # Simulated: tests may run as root, whom no permission stops.
    write_files(tmp_path, CONTENTS)

    def walk(path, onerror, **_):
        onerror(PermissionError(13, "Permission denied", str(path / "ant")))
        return iter(())

    monkeypatch.setattr(files.os, "walk", walk)
    with pytest.raises(RecordsError, match=r"cannot read .*/ant: Permission denied; make it readable"):
        open_files(tmp_path).scan()


def test_unreadable_file_is_refused(tmp_path, monkeypatch):
    source = open_files(write_files(tmp_path, CONTENTS))
    file = source.scan()[0][0]

    def read_bytes(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files.Path, "read_bytes", read_bytes)
    with pytest.raises(RecordsError, match=r"cannot read .*/ant/1\.jpg: Permission denied"):
        source.read(file)


def test_links_in_a_folder_are_followed_but_not_in_a_circle(tmp_path):
    write_files(tmp_path / "elsewhere", CONTENTS)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "set").symlink_to(tmp_path / "elsewhere")
    assert len(open_files(tmp_path / "source").scan()[0]) == 4
    (tmp_path / "elsewhere" / "bee" / "round").symlink_to(tmp_path / "source")
    with pytest.raises(RecordsError, match=r"leads back to a folder that was listed already"):
        open_files(tmp_path / "source").scan()


def test_reference_changes_with_the_file(tmp_path):
    source = open_files(write_files(tmp_path, CONTENTS))
    before = source.scan()[0]
    (tmp_path / "ant" / "1.jpg").write_bytes(b"other")
    after = source.scan()[0]
    assert [one == two for one, two in zip(before, after, strict=True)] == [False, True, True, True]
