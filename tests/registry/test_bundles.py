"""A version leaves and comes back as one file; a file that is anything else is refused."""

import contextlib
import gzip
import io
import itertools
import subprocess
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helios_agent import files
from helios_agent.errors import ArtefactInvalid, HeliosError
from helios_agent.registry import bundles, folders
from helios_agent.registry.card import CARD, WEIGHTS
from helios_agent.registry.names import Ref
from tests.registry import conftest
from tests.registry.conftest import Make


@pytest.fixture
def file(models: Path, make: Make) -> bytes:
    """The file of a version."""
    return b"".join(bundles.pack(models, make()).parts)


def unpack(content: bytes) -> bundles.Bundle:
    return bundles.unpack(io.BytesIO(content))


def contents(bundle: bundles.Bundle) -> dict[str, bytes]:
    return {name: b"".join(held.parts()) for name, held in bundle.held.items()}


def tar(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """Return a tar with these members, as anyone may write one."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, link
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def two(name: str = "powerballnet", version: str | None = None, card: bytes | None = None) -> bytes:
    """Return the file of a version as it should be, but for what is given."""
    content = card or conftest.card()
    digest = version or bundles.cards.version_of(content, [conftest.WEIGHTS])
    return tar((f"{name}@{digest}/{CARD}", content), (f"{name}@{digest}/{WEIGHTS}", conftest.WEIGHTS))


def test_a_version_comes_back_byte_by_byte_and_its_file_is_always_the_same(
    tmp_path: Path, models: Path, file: bytes
) -> None:
    (version,) = folders.found(models)
    packed = bundles.pack(models, version)
    assert (packed.size, b"".join(packed.parts)) == (len(file), file)
    bundle = unpack(file)
    assert bundle.version == version
    other = tmp_path / "other"
    bundle.keep(other)
    bundle.keep(other)
    folders.publish(folders.waiting_room(other, version), folders.place(other, version))
    assert b"".join(bundles.pack(other, version).parts) == file


def test_several_may_bring_the_same_at_once(tmp_path: Path, file: bytes) -> None:
    bundle = unpack(file)
    for moment in range(1000):
        home, left = tmp_path / str(moment), itertools.count(moment, -1)

        def another(_: str, path: Path, home: Path = home, left: Iterator[int] = left) -> None:
            if next(left) == 0:
                bundle.keep(home)

        token = files.observer.set(another)
        bundle.keep(home)
        files.observer.reset(token)
        room = folders.waiting_room(home, bundle.version)
        assert folders.waiting(home) == [room]
        assert folders.verify(room, bundle.version.version) == bundle.card
        if next(left) >= 0:
            break
    assert moment > 5


def test_a_damaged_one_that_waits_is_replaced_and_a_room_that_cannot_be_entered_is_named(
    tmp_path: Path, file: bytes
) -> None:
    bundle = unpack(file)
    bundle.keep(tmp_path)
    room = folders.waiting_room(tmp_path, bundle.version)
    (room / WEIGHTS).write_bytes(b"damaged")
    bundle.keep(tmp_path)
    assert folders.verify(room, bundle.version.version) == bundle.card
    with pytest.raises(HeliosError, match=r"paths\.models: .* cannot take the file in: Not a directory"):
        bundle.keep(room / CARD)


@pytest.mark.parametrize(
    "made",
    [
        "tar -cf again.tar {folder}/weights.safetensors {folder}/model.json",
        "tar -cf again.tar {folder}",
        "tar --format=ustar -cf again.tar {folder}",
        "tar --format=ustar -cf again.tar {folder}/model.json {folder}/weights.safetensors",
    ],
)
def test_it_is_a_tar_that_others_read_and_write(tmp_path: Path, file: bytes, made: str) -> None:
    (tmp_path / "model.tar").write_bytes(file)
    subprocess.run(["tar", "-xf", "model.tar"], cwd=tmp_path, check=True)
    folder = next(path.name for path in tmp_path.iterdir() if "@" in path.name)
    subprocess.run(made.format(folder=folder).split(), cwd=tmp_path, check=True)
    bundle = unpack((tmp_path / "again.tar").read_bytes())
    assert (str(bundle.version), contents(bundle)) == (folder, contents(unpack(file)))


def test_a_version_is_taken_in_without_being_in_memory_as_a_whole(tmp_path: Path) -> None:
    version = conftest.put(tmp_path / "there", bytes(16 * 1024 * 1024))
    with tempfile.TemporaryFile() as file:
        file.writelines(bundles.pack(tmp_path / "there", version).parts)
        file.seek(0)
        tracemalloc.start()
        bundles.unpack(file).keep(tmp_path / "here")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert folders.verify(folders.waiting_room(tmp_path / "here", version), version.version).seed == 1
    assert most < 4 * 1024 * 1024


def test_a_damaged_version_is_not_packed(models: Path, make: Make) -> None:
    version = make()
    (folders.place(models, version) / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(ArtefactInvalid, match="SHA-256"):
        bundles.pack(models, version)
    with pytest.raises(ArtefactInvalid, match="cannot be read: No such file"):
        bundles.pack(models, Ref("powerballnet", "0" * 12))


V = "17e1c993042e"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds nothing of 0 version"),
        (b"hello" * 200, "no whole uncompressed tar"),
        (gzip.compress(two()), "no whole uncompressed tar"),
        (tar((f"../powerballnet@{V}/{CARD}", b"x")), r"holds '\.\./powerballnet@"),
        (tar((f"/powerballnet@{V}/{CARD}", b"x")), r"holds '/powerballnet@"),
        (tar((f"..@{V}/{CARD}", b"x")), r"model is '\.\.@17e1c993042e'"),
        (tar((f"powerballnet@{V}/../{CARD}", b"x")), r"holds 'powerballnet@17e1c993042e/\.\./"),
        (tar((CARD, b"x")), r"holds 'model\.json'; expected name@version/model\.json"),
        (tar((f"powerballnet@{V}/notes.txt", b"x")), r"holds 'powerballnet@17e1c993042e/notes\.txt'"),
        (tar((f"powerballnet@{V}/{CARD}", b"")), r"has 0 bytes"),
        (tar((f"powerballnet@{V}/{CARD}", b" " * 65_537)), r"has 65,537 bytes; expected .* at most 65,536"),
        (tar((f"powerballnet@{V}/{CARD}", b"x"), (f"powerballnet@{V}/{CARD}", b"x")), "each once"),
        (tar((f"powerballnet@{V}/{CARD}", b"x")), r"holds model\.json of 1 version"),
        (tar((f"a@{V}/{CARD}", b"x"), (f"b@{V}/{WEIGHTS}", b"x")), r"of 2 version"),
        (tar((f"powerballnet@{V}/{CARD}", b""), kind=tarfile.SYMTYPE, link="/etc/passwd"), "nothing else"),
        (tar((f"powerballnet@{V}/{CARD}", b""), kind=tarfile.LNKTYPE, link="../x"), "nothing else"),
        (tar((f"powerballnet@{V}/{CARD}", b"x" * 512), kind=tarfile.GNUTYPE_SPARSE), "nothing else"),
        (tar((f"powerballnet@{V}", b""), kind=tarfile.DIRTYPE), "holds nothing of 1 version"),
        (tar(*2 * [(f"powerballnet@{V}", b"")], kind=tarfile.DIRTYPE), "each once"),
        (tar((f"powerballnet@{V}", b"x" * 512), kind=tarfile.DIRTYPE), "nothing else"),
        (tar((f"powerballnet@{V}/{CARD}", b""), kind=tarfile.DIRTYPE), "nothing else"),
        (tar(("powerballnet", b""), kind=tarfile.DIRTYPE), "model is 'powerballnet'; expected name@version"),
        (two(version=V), rf"version is [0-9a-f]{{12}}; expected {V}"),
        (two(name="other"), "the name is 'other'; expected 'powerballnet'"),
        (two(card=conftest.card(weights_sha256="0" * 64)), "SHA-256 is"),
        (two(card=conftest.card(extra=1)), "extra: Extra inputs are not permitted"),
        (two() + b"more", "goes on after its end"),
    ],
)  # fmt: skip
def test_a_file_that_is_anything_else_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(ArtefactInvalid, match=told):
        unpack(content)


def forged(size: bytes) -> Callable[[bytes], bytes]:
    """Return what gives the first member another size, with a checksum that is right."""

    def forge(file: bytes) -> bytes:
        header = bytearray(file[:512])
        header[124:136] = size
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header) + file[512:]

    return forge


@pytest.mark.parametrize(
    ("forge", "told"),
    [
        (forged(b"77777777777\0"), "has 8,589,934,591 bytes"),
        (forged(b"\xff" * 12), "has -1 bytes"),  # what would send tarfile back, to read the same for ever
        (forged(b"elephants  \0"), "no whole uncompressed tar"),
    ],
)
def test_no_size_that_a_file_claims_is_believed(
    file: bytes, forge: Callable[[bytes], bytes], told: str
) -> None:
    with pytest.raises(ArtefactInvalid, match=told):
        unpack(forge(file))


def test_weights_that_are_too_large_are_refused_before_they_are_read(file: bytes) -> None:
    member = tarfile.TarInfo(f"powerballnet@{V}/{WEIGHTS}")
    member.size = bundles.LIMITS[WEIGHTS] + 1
    with pytest.raises(ArtefactInvalid, match=r"has 268,435,457 bytes; expected .* at most 268,435,456"):
        unpack(member.tobuf(tarfile.USTAR_FORMAT))


def test_a_file_that_is_cut_off_anywhere_is_refused(file: bytes) -> None:
    end = len(file.rstrip(b"\0"))
    for kept in range(1, end, 37):
        with pytest.raises(ArtefactInvalid):
            unpack(file[:kept])


def test_one_flipped_bit_anywhere_in_what_counts_is_refused_or_changes_nothing(file: bytes) -> None:
    sound = unpack(file)
    for at in range(0, len(file), 41):
        spoilt = bytearray(file)
        spoilt[at] ^= 0x10
        with contextlib.suppress(ArtefactInvalid):
            assert contents(unpack(bytes(spoilt))) == contents(sound)
