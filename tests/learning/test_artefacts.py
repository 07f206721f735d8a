"""An artefact is whole or refused, and forecasts what the network in memory forecasts."""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import helios_agent
from helios_agent.errors import JobFailed
from helios_agent.learning import artefacts, data, forecasting, training, updating
from helios_agent.registry.card import version_of

Job = Callable[..., dict[str, Any]]


@pytest.fixture
def spec(job: Job) -> dict[str, Any]:
    return job(training={"epochs": 12, "batch": 8, "segments": 4, "learning_rate": 0.01})


@pytest.fixture
def folder(spec: dict[str, Any]) -> Path:
    training.run(spec, lambda epoch: None)
    return Path(spec["out"])


def forecast(folder: Path, draws: list[list[int]], **more: Any) -> dict[str, Any]:
    asked = {"artefact": str(folder), "draws": draws, **more}
    return forecasting.run(asked, lambda progress: None)


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_card_says_what_was_trained_on_what(folder: Path, spec: dict[str, Any]) -> None:
    text = (folder / "model.json").read_text()
    card = json.loads(text)

    assert text == json.dumps(card, sort_keys=True, separators=(",", ":")) + "\n"
    assert card["name"] == "PowerballNet"
    assert card["data"] == {
        "draws": 120,
        "last_draw": "2026-09-16",
        "sha256": hashlib.sha256(json.dumps(spec["draws"], separators=(",", ":")).encode()).hexdigest(),
    }
    assert (card["game"], card["era"], card["seed"]) == ("powerball", "2015-10-07", 3)
    assert (card["white"], card["bonus"], card["pick"]) == (12, 5, 3)
    assert card["architecture"] == spec["network"]
    assert card["code_version"] == helios_agent.__version__
    assert card["weights_sha256"] == hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    assert 0.0 < card["shrinkage"] <= 1.0
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]


def test_the_version_is_the_digest_of_both_files(spec: dict[str, Any]) -> None:
    version = training.run(spec, lambda epoch: None)["version"]
    content = b"".join(
        (Path(spec["out"]) / name).read_bytes() for name in ("model.json", "weights.safetensors")
    )
    assert version == hashlib.sha256(content).hexdigest()[:12]
    assert forecast(Path(spec["out"]), spec["draws"], version=version)


def test_a_forecast_is_a_centred_and_a_normalised_distribution(folder: Path, spec: dict[str, Any]) -> None:
    said = forecast(folder, spec["draws"])

    assert (len(said["white"]), len(said["bonus"])) == (12, 5)
    assert sum(said["white"]) == pytest.approx(0.0, abs=1e-12)
    assert sum(math.exp(log_p) for log_p in said["bonus"]) == pytest.approx(1.0, abs=1e-12)
    assert max(said["white"]) - min(said["white"]) > 0.1
    assert all(
        type(value) is float for value in [*said["white"], *said["bonus"], said["predicted_gain_nats"]]
    )


def test_a_loaded_network_forecasts_what_the_one_in_memory_does(
    tmp_path: Path, folder: Path, spec: dict[str, Any]
) -> None:
    card, net = artefacts.read(folder)
    copy = tmp_path / "copy"
    artefacts.write(copy, card, artefacts.weights_bytes(net))

    expected = updating.forecast(net, data.from_rows(spec["draws"]), card.shrinkage)
    expected |= {"updates": 0, "updates_accepted": 0}
    assert forecast(copy, spec["draws"]) == expected
    assert forecast(copy, spec["draws"][-8:]) == expected


def test_a_shrinkage_of_zero_is_the_uniform_forecast(folder: Path, spec: dict[str, Any]) -> None:
    rewrite(folder / "model.json", shrinkage=0.0)
    said = forecast(folder, spec["draws"])

    assert said["white"] == [0.0] * 12
    assert said["bonus"] == pytest.approx([-math.log(5)] * 5, abs=1e-15)
    assert said["predicted_gain_nats"] == 0.0


@pytest.mark.parametrize("at", [0, 9, 2000, -1])
def test_one_flipped_bit_in_the_weights_is_noticed(folder: Path, spec: dict[str, Any], at: int) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)

    with pytest.raises(JobFailed, match=r"weights\.safetensors: SHA-256 is .*model\.json says"):
        forecast(folder, spec["draws"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"white": 13},
            r"weights\.safetensors: white_embedding\.weight is .*\(12, 6\); expected .*\(13, 6\)",
        ),
        ({"white": 2**62}, r"model\.json: white: Input should be less than or equal to 10000"),
        ({"shrinkage": 1.5}, r"model\.json: shrinkage: .*less than or equal to 1 \(got 1\.5\)"),
        ({"name": "OtherNet"}, r"model\.json: name: .*'PowerballNet' \(got 'OtherNet'\)"),
        ({"seed": None}, r"model\.json: seed: Input should be a valid integer"),
        ({"colour": "red"}, r"model\.json: colour: Extra inputs are not permitted"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    folder: Path, spec: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    rewrite(folder / "model.json", **changes)
    with pytest.raises(JobFailed, match=told):
        forecast(folder, spec["draws"])


def test_fewer_layers_than_tensors_are_named(folder: Path, spec: dict[str, Any]) -> None:
    rewrite(folder / "model.json", architecture={**spec["network"], "layers": 1})
    with pytest.raises(JobFailed, match=r"tensors missing or unknown: .*layers\.1\.ahead\.bias_hh_l0"):
        forecast(folder, spec["draws"])


def test_a_card_edited_after_the_fact_is_another_version(folder: Path, spec: dict[str, Any]) -> None:
    card = folder / "model.json"
    version = version_of(card.read_bytes(), [(folder / "weights.safetensors").read_bytes()])
    rewrite(card, shrinkage=0.123)
    with pytest.raises(JobFailed, match=rf"model\.json: version is [0-9a-f]{{12}}; expected {version}"):
        forecast(folder, spec["draws"], version=version)


@pytest.mark.parametrize(
    ("tensor", "ball", "value", "told"),
    [
        ("white_embedding.weight", 11, 1e38, "its forecast is not finite"),
        ("bonus_embedding.weight", 4, 1e38, "its forecast is not finite"),
        ("white_head.bias", 0, 1e30, r"white of ball 1 is .*; expected a finite log-weight within ±1000"),
    ],
)
def test_finite_weights_without_a_forecast_are_not_valid(
    tmp_path: Path, folder: Path, tensor: str, ball: int, value: float, told: str
) -> None:
    card, net = artefacts.read(folder)
    net.get_parameter(tensor).data[ball] = value
    weights = artefacts.weights_bytes(net)
    card = card.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    copy = tmp_path / "copy"
    asked = {"artefact": str(copy), "version": artefacts.write(copy, card, weights)}
    with pytest.raises(JobFailed, match=rf"copy/weights\.safetensors: {told}"):
        artefacts.run(asked, print)


def test_a_forecast_that_is_not_finite_is_refused_and_names_the_artefact(
    folder: Path, spec: dict[str, Any]
) -> None:
    _, net = artefacts.read(folder)
    net.white_embedding.weight.data.fill_(1e38)
    weights = artefacts.weights_bytes(net)
    (folder / "weights.safetensors").write_bytes(weights)
    rewrite(folder / "model.json", weights_sha256=hashlib.sha256(weights).hexdigest())
    with pytest.raises(JobFailed, match=rf"{folder}: its forecast is not finite"):
        forecast(folder, spec["draws"])


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_missing_file_is_named(folder: Path, spec: dict[str, Any], name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(JobFailed, match=rf"{name}: cannot be read: No such file"):
        forecast(folder, spec["draws"])


def test_a_folder_that_holds_something_is_left_alone(folder: Path, spec: dict[str, Any]) -> None:
    before = (folder / "model.json").read_bytes()
    with pytest.raises(JobFailed, match="is not empty"):
        training.run(spec | {"seed": 9}, lambda epoch: None)
    assert (folder / "model.json").read_bytes() == before


def test_a_forecast_needs_a_full_window_of_draws_of_its_game(folder: Path, spec: dict[str, Any]) -> None:
    with pytest.raises(JobFailed, match=r"draws holds 7; .* reads the last 8"):
        forecast(folder, spec["draws"][:7])
    with pytest.raises(JobFailed, match=r"draws\[120\] is \[1, 2, 69, 1\]; expected 3 different numbers"):
        forecast(folder, [*spec["draws"], [1, 2, 69, 1]])
