"""A version is whole or named as damaged, and nothing that could be a path is a name."""

import json
from pathlib import Path
from typing import Any

import pytest

from helios_agent.errors import ArtefactInvalid, Refused
from helios_agent.registry import card as cards
from helios_agent.registry import folders, names
from helios_agent.registry.names import Ref
from tests.registry.conftest import METRICS, WEIGHTS, Make, card


def test_a_version_is_called_by_its_name_and_the_digest_of_both_files() -> None:
    assert names.ref("powerballnet@17e1c993042e") == Ref("powerballnet", "17e1c993042e")
    assert names.name_or_ref("powerballnet") == "powerballnet"
    assert str(Ref("powerballnet", "17e1c993042e")) == "powerballnet@17e1c993042e"
    assert folders.place(Path("models"), Ref("a", "17e1c993042e")) == Path("models/a/17e1c993042e")


@pytest.mark.parametrize(
    "text",
    [
        "", "..", "../champion", "/etc/passwd", "a/b", "a\\b", "C:", "%2e%2e", "a b", "-a@17e1c993042e",
        "a@", "a@..", "a@../../etc", "a@17e1c993042", "a@17E1C993042E", "A@17e1c993042e", "a.b@17e1c993042e",
        "ä@17e1c993042e", "a@17e1c99304２e", "a@17e1c993042e\n", "a\0b@17e1c993042e",
        "a@17e1c993042e@17e1c993042e", f"{'a' * 41}@17e1c993042e",
    ],
)  # fmt: skip
def test_anything_else_is_refused_naming_it(text: str) -> None:
    for read in (names.ref, names.name_or_ref):
        with pytest.raises(Refused) as refused:
            read(text)
        assert f"model is {text!r}; expected " in str(refused.value)


def test_the_digest_of_draws_is_that_of_their_json() -> None:
    assert cards.digest([[1, 2, 3], [4, 5, 6]]) == (
        "e5c7b587cdf34993415b91d649419df27161706c3c08bff2f2a6db0ad19f534c"
    )


def test_a_whole_version_tells_what_it_is(models: Path, make: Make) -> None:
    version = make()
    found = folders.verify(folders.place(models, version), version.version)
    assert (found.game, found.era, found.code_version, found.seed) == ("powerball", "2015-10-07", "0.1.0", 1)
    assert (
        found.content()
        == json.dumps(json.loads(card()), sort_keys=True, separators=(",", ":")).encode() + b"\n"
    )
    assert list(folders.found(models)) == [version]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"white": "69"}, r"white: Input should be a valid integer \(got '69'\)"),
        ({"pick": 69}, "pick must be less than white; got pick 69, white 69"),
        ({"era": "now"}, "era: expected a date such as 2015-10-07; got 'now'"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"name": "OtherNet"}, r"name: Input should be 'PowerballNet' \(got 'OtherNet'\)"),
        ({"code_version": ""}, "code_version: String should have at least 1 character"),
        ({"shrinkage": float("nan")}, "not JSON: NaN is no number of JSON"),
        ({"metrics": {"gain": float("inf")}}, "not JSON: Infinity is no number of JSON"),
        ({"metrics": {"validation_gain_nats": 1}}, "confidence_bias_nats, confidence_error_nats missing"),
        ({"metrics": METRICS | {"epochs": 10**400}}, "epochs has 401 digits; expected a number below"),
        ({"metrics": METRICS | {"epochs": -(2**53)}}, "epochs has 16 digits; expected a number below"),
        ({"seed": -1}, r"seed: Input should be greater than or equal to 0 \(got -1\)"),
        ({"seed": 2**63}, "seed: Input should be less than 9223372036854775808"),
        ({"white": 10**400}, "white: Input should be less than or equal to 10000"),
        ({"white": 2**62}, "white: Input should be less than or equal to 10000"),
        ({"bonus": 10_001}, r"bonus: Input should be less than or equal to 10000 \(got 10001\)"),
        ({"data": {"draws": 10**400, "last_draw": "2026-09-16", "sha256": "x"}}, "data.draws: Input should"),
        ({"data": {"draws": 0, "last_draw": "2026-09-16", "sha256": "x"}}, "data.draws: Input should"),
        ({"weights_sha256": "0" * 64}, "SHA-256 is [0-9a-f]{64}; model.json says 0{64}"),
    ],
)  # fmt: skip
def test_a_card_that_does_not_hold_is_refused_naming_the_field(
    models: Path, make: Make, changes: dict[str, Any], told: str
) -> None:
    version = make(**changes)
    with pytest.raises(ArtefactInvalid, match=told):
        folders.verify(folders.place(models, version), version.version)


def test_a_number_that_is_too_large_for_a_float_is_refused(models: Path, make: Make) -> None:
    version = make()
    folder = folders.place(models, version)
    (folder / cards.CARD).write_bytes(card().replace(b": -0.01", b": 1e999"))
    with pytest.raises(ArtefactInvalid, match=r"metrics\.validation_gain_nats.*finite"):
        folders.verify(folder, version.version)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"[" * 60_000, b"{}", card()[:-2]])
def test_a_card_that_is_none_is_refused(models: Path, make: Make, content: bytes) -> None:
    version = make()
    folder = folders.place(models, version)
    (folder / cards.CARD).write_bytes(content)
    with pytest.raises(ArtefactInvalid, match=r"model\.json: "):
        folders.verify(folder, version.version)


def test_what_is_edited_cut_off_or_missing_is_named(models: Path, make: Make) -> None:
    version = make()
    folder = folders.place(models, version)
    (folder / cards.CARD).write_bytes(card(seed=2))
    with pytest.raises(ArtefactInvalid, match=rf"version is [0-9a-f]{{12}}; expected {version.version}"):
        folders.verify(folder, version.version)
    (folder / cards.WEIGHTS).write_bytes(WEIGHTS[:-1])
    with pytest.raises(ArtefactInvalid, match=r"weights\.safetensors: SHA-256 is"):
        folders.verify(folder, version.version)
    (folder / cards.WEIGHTS).unlink()
    with pytest.raises(ArtefactInvalid, match=r"weights\.safetensors: cannot be read: No such file"):
        folders.verify(folder, version.version)


def test_publishing_replaces_what_is_damaged_and_keeps_what_is_whole(tmp_path: Path, make: Make) -> None:
    version = make()
    home = tmp_path / "models"
    target = folders.place(home, version)
    for whole in (True, False):
        source = tmp_path / "staging"
        source.mkdir()
        for name, content in ((cards.CARD, card()), (cards.WEIGHTS, WEIGHTS)):
            (source / name).write_bytes(content)
        if not whole:
            (target / cards.WEIGHTS).write_bytes(b"damaged")
        inode = target.stat().st_ino
        folders.publish(source, target)
        assert (target.stat().st_ino == inode) == whole
        assert not source.exists()
        assert folders.verify(target, version.version).seed == 1


def test_folders_with_other_names_are_not_ours(models: Path, make: Make) -> None:
    assert list(folders.found(models)) == []
    version = make()
    for other in ("powerballnet/notes", "Backup/17e1c993042e", ".staging/17e1c993042e", "powerballnet/17e1"):
        (models / other).mkdir(parents=True)
    (models / "readme").write_text("")
    assert list(folders.found(models)) == [version]
