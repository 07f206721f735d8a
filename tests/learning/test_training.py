"""A training job: same spec, same bytes; never worse than uniform; finds a bias that is there."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helios_agent.errors import DIVERGED, JobFailed
from helios_agent.forecasting.forecast import Forecast
from helios_agent.learning import artefacts, data, fitting, objective, scoring, training, updating
from helios_agent.learning.likelihood import uniform_nats
from helios_agent.learning.network import Outputs, PowerballNet
from helios_agent.learning.reproducible import arithmetic, reproducible
from helios_agent.registry.card import Matrix

Job = Callable[..., dict[str, Any]]
Machine = Callable[..., list[list[int]]]
History = Callable[[int], tuple[torch.Tensor, torch.Tensor]]

FAIR_NATS = uniform_nats(12, 3, 5)
LONGER = {"epochs": 30, "patience": 6, "batch": 8, "segments": 4, "learning_rate": 0.005}


def trained(spec: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    result = training.run(spec, told.append)
    assert [one for one in told if "started" in one] == told[:1]
    return result, told[1:]


def test_the_same_spec_gives_the_same_bytes_whatever_was_computed_before(job: Job, tmp_path: Path) -> None:
    first, _ = trained(job(out=str(tmp_path / "one")))
    torch.manual_seed(99)
    torch.randn(1000)
    second, _ = trained(job(out=str(tmp_path / "two")))

    assert first == second
    for name in first["files"]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_another_seed_gives_another_version(job: Job, tmp_path: Path) -> None:
    first, _ = trained(job(out=str(tmp_path / "one")))
    second, _ = trained(job(out=str(tmp_path / "two"), seed=4))
    assert first["version"] != second["version"]


def test_a_run_leaves_torch_as_it_found_it(job: Job) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    trained(job())

    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


def test_each_epoch_is_reported_once_with_gain_and_time_left(job: Job) -> None:
    result, epochs = trained(job())

    assert [one["epoch"] for one in epochs] == [1, 2, 3]
    for one in epochs:
        assert one.keys() == {
            "epoch", "epochs", "loss", "validation_loss", "validation_gain_nats", "epochs_left",
        }  # fmt: skip
        assert one["validation_gain_nats"] == pytest.approx(FAIR_NATS - one["validation_loss"], abs=1e-12)
    assert epochs[-1]["epochs_left"] == 0
    assert result["metrics"]["epochs"] == 3
    json.dumps([result, epochs])


def test_a_biased_machine_is_found_out(job: Job, machine: Machine) -> None:
    """This machine's true weights would gain 0.61 nats a draw on the validation part."""
    result, epochs = trained(job(draws=machine(400, log_sd=0.8, seed=2), training=LONGER))
    metrics = result["metrics"]

    assert 0.5 < metrics["validation_gain_nats"] < 0.65
    assert metrics["validation_gain_nats"] >= metrics["validation_gain_unshrunk_nats"] > 0.5
    assert 0.4 < metrics["training_gain_nats"] < 0.9  # what is true of all draws is gained on those, too
    assert metrics["best_epoch"] >= 1
    best = max(one["validation_gain_nats"] for one in epochs)
    assert epochs[metrics["best_epoch"] - 1]["validation_gain_nats"] == best
    assert metrics["validation_gain_unshrunk_nats"] == pytest.approx(best, abs=0.02)  # windows, continuation
    assert epochs[-1]["loss"] < epochs[0]["loss"] < FAIR_NATS


def test_the_confidence_is_measured_as_it_is_served(job: Job, machine: Machine) -> None:
    """Of each validation draw: the gain that a forecast of it tells, and the gain that it has."""
    rows = machine(400, log_sd=0.3, seed=2)
    result, _ = trained(job(draws=rows, training=LONGER))
    card, net = artefacts.read(Path(job()["out"]))
    missed = []
    for t in range(320, 400):
        with reproducible(0, threads=1):
            said = updating.forecast(net, data.from_rows(rows[:t]), card.shrinkage)
        gain = Forecast(said["white"], said["bonus"], card.pick).gain(rows[t][:-1], rows[t][-1])
        missed.append(said["predicted_gain_nats"] - gain)

    assert 0.2 < card.shrinkage < 0.8
    assert result["metrics"]["confidence_bias_nats"] == pytest.approx(np.mean(missed), abs=1e-6)
    assert result["metrics"]["confidence_error_nats"] == pytest.approx(
        math.sqrt(np.mean(np.square(missed))), abs=1e-6
    )


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_on_a_fair_machine_the_kept_network_claims_and_loses_next_to_nothing(
    job: Job, machine: Machine, seed: int
) -> None:
    """It overfits if left to itself; what is kept is scored on a thousand draws that no choice has seen."""
    rows = machine(1_400, seed=seed)
    result, epochs = trained(job(draws=rows[:400], training=LONGER))
    card, net = artefacts.read(Path(job()["out"]))
    draws = data.from_rows(rows)
    with reproducible(0, threads=1):
        said = scoring.say(net, draws, 400)
    kept, unshrunk, uniform = (
        float(scoring.losses(said, draws[400:], factor).mean()) for factor in (card.shrinkage, 1.0, 0.0)
    )

    assert min(one["validation_gain_nats"] for one in epochs) < -0.05
    assert result["metrics"]["validation_gain_nats"] < 0.04
    assert kept <= uniform + 0.03
    assert kept <= unshrunk


def test_a_network_that_only_got_worse_is_kept_untrained_and_says_uniform(job: Job, machine: Machine) -> None:
    """Validation draws of the opposite bias: every epoch loses, so epoch 0 is the best."""
    drawn = [[1, 2, 3 + turn % 2, 1] for turn in range(90)] + [[10, 11, 12, 5]] * 30
    result, epochs = trained(job(draws=drawn, training={**LONGER, "validation": 0.25}))
    card, net = artefacts.read(Path(job()["out"]))

    assert all(one["validation_gain_nats"] < 0.0 for one in epochs)
    assert (result["metrics"]["best_epoch"], result["metrics"]["epochs"]) == (0, 6)
    assert result["metrics"]["validation_gain_nats"] == pytest.approx(0.0, abs=1e-12)
    assert card.shrinkage == 0.0
    assert torch.count_nonzero(net.white_head.weight) == 0


def test_the_validation_part_never_trains(job: Job, machine: Machine, tmp_path: Path) -> None:
    """Other draws there change what is measured, and not one bit of what is learned."""
    draws = machine(120, log_sd=0.8)
    other_draws = draws[:96] + machine(24, log_sd=0.8, seed=8)
    _, epochs = trained(job(draws=draws, out=str(tmp_path / "one")))
    _, others = trained(job(draws=other_draws, out=str(tmp_path / "two")))

    assert [one["loss"] for one in epochs] == [one["loss"] for one in others]
    assert all(
        one["validation_loss"] != other["validation_loss"] for one, other in zip(epochs, others, strict=True)
    )


def test_each_draw_that_is_predicted_is_trained_on_with_what_came_from_it_on(
    job: Job, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the draws of the training part alone, the shares of the balls from each draw on."""
    rows = machine(120, log_sd=0.8)
    asked: list[tuple[data.Draws, torch.Tensor]] = []

    def recorded(outputs: Outputs, drawn: data.Draws, frequencies: torch.Tensor, *how: Any) -> Any:
        asked.append((drawn, frequencies))
        return objective.objective(outputs, drawn, frequencies, *how)

    monkeypatch.setattr(fitting, "objective", recorded)
    trained(job(draws=rows))

    expected = data.coming_frequencies(data.from_rows(rows[:96]), Matrix(white=12, bonus=5, pick=3))
    known = [[*sorted(row[:-1]), row[-1]] for row in rows]
    assert asked
    for drawn, frequencies in asked:
        for whites, bonus, shares in zip(drawn.whites, drawn.bonus, frequencies, strict=True):
            said = torch.cat([whites.sort().values, bonus.unsqueeze(1)], dim=1) + 1
            (first,) = (at for at in range(8, 89) if known[at : at + 8] == said.tolist())
            assert torch.equal(shares, expected[first : first + 8])


@pytest.mark.parametrize(
    ("white", "expected"),
    [(1.0, 1.0), (-1.0, 0.0)],
    ids=["right and too timid: kept whole", "wrong: shrunk to uniform"],
)
def test_shrinkage_at_its_ends(white: float, expected: float) -> None:
    drawn = data.from_rows([[1, 2, 3, 1]] * 10)
    logits = torch.zeros(10, 12)
    logits[:, :3] = white
    said = scoring.Said(logits, torch.zeros(10, 5), torch.zeros(10))
    assert scoring.best_shrinkage(said, drawn) == expected


def test_shrinkage_is_the_least_loss_between_its_ends() -> None:
    """Bonus 1 falls in half of the draws, so the right logit is ln 4; twice that is said: shrink by half."""
    drawn = data.from_rows([[1, 2, 3, bonus] for bonus in (1, 1, 1, 1, 2, 3, 4, 5)])
    logits = torch.zeros(8, 5, dtype=torch.float64)
    logits[:, 0] = 2 * torch.tensor(4.0, dtype=torch.float64).log()
    said = scoring.Said(torch.zeros(8, 12), logits, torch.zeros(8))
    assert scoring.best_shrinkage(said, drawn) == pytest.approx(0.5, abs=1e-9)


def test_a_loss_that_is_not_finite_ends_the_job_at_once_and_says_which_setting_to_lower(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objective, "FREQUENCY_WEIGHT", float("nan"))
    told: list[dict[str, Any]] = []
    expected = rf"^{DIVERGED} after 0 epochs: loss is nan; lower training.learning_rate \(now 0.01\)"
    with pytest.raises(JobFailed, match=expected):
        training.run(job(), told.append)
    assert told == []
    assert not Path(job()["out"]).exists()


def test_the_first_step_is_told_of_before_the_first_epoch_ends(job: Job) -> None:
    told: list[dict[str, Any]] = []
    training.run(job(), told.append)

    assert told[0] == {"started": True, "epoch": 0, "step_loss": pytest.approx(FAIR_NATS, abs=1e-12)}
    assert [one["epoch"] for one in told[1:]] == [1, 2, 3]


def test_the_usual_cross_entropy_learns_the_bias_too_and_is_scored_alike(job: Job, machine: Machine) -> None:
    drawn = machine(400, log_sd=0.8, seed=2)
    usual, epochs = trained(job(draws=drawn, training={**LONGER, "loss": "cross-entropy"}))

    assert epochs[0]["loss"] > FAIR_NATS - 0.5  # still the log loss of the draw, not what is minimised
    assert 0.4 < usual["metrics"]["validation_gain_nats"] < 0.65


def test_the_usual_cross_entropy_is_that_of_each_ball_and_of_the_bonus_ball() -> None:
    """Two draws of 1 of 2 balls; of logit a, sigmoid gives ln(1 + e^-a) if drawn, a more if not."""
    outputs = Outputs(
        torch.tensor([[[1.0, -2.0]]]), torch.zeros(1, 1, 3), torch.zeros(1, 1, 5), torch.zeros(1, 1)
    )
    drawn = data.Draws(torch.tensor([[[1]]]), torch.tensor([[2]]))
    matrix = Matrix(white=2, bonus=3, pick=1)
    shares = torch.zeros(1, 1, 5)
    found, nll = objective.objective(outputs, drawn, shares, matrix, "cross-entropy")

    gain = math.log(6) - float(nll)
    expected = math.log1p(math.e) + math.log1p(math.e**2) + math.log(3) + 0.01 * gain**2
    assert float(found) == pytest.approx(expected, abs=1e-6)
    assert float(nll) == pytest.approx(math.log1p(math.e**3) + math.log(3), abs=1e-6)


def test_what_is_minimised_adds_up_the_log_loss_and_what_the_other_heads_missed() -> None:
    """Two balls have the chances 1/4 and 3/4; of three bonus balls one has 1/2, the others 1/4."""
    outputs = Outputs(
        white=torch.tensor([[[0.0, math.log(3.0)]]]),
        bonus=torch.tensor([[[math.log(2.0), 0.0, 0.0]]]),
        frequency=torch.tensor([[[math.log(3.0), 0.0, 0.0, math.log(2.0), 0.0]]]),
        confidence=torch.tensor([[0.5]]),
    )
    drawn = data.Draws(torch.tensor([[[1]]]), torch.tensor([[2]]))
    shares = torch.tensor([[[0.3, 0.7, 0.0, 0.4, 0.6]]])
    found, nll = objective.objective(outputs, drawn, shares, Matrix(white=2, bonus=3, pick=1), "exact")

    loss = -math.log(3 / 4) - math.log(1 / 4)
    whites = -0.3 * math.log(3 / 4) - 0.7 * math.log(1 / 4)
    bonus = -0.4 * math.log(1 / 2) - 0.6 * math.log(1 / 4)
    gain = math.log(6) - loss
    assert float(nll) == pytest.approx(loss, abs=1e-6)
    assert float(found) == pytest.approx(loss + 0.1 * (whites + bonus) + 0.01 * (0.5 - gain) ** 2, abs=1e-6)


def test_bf16_trains_to_nearly_the_same_and_again_to_the_same_bytes(
    job: Job, machine: Machine, tmp_path: Path
) -> None:
    """bf16 keeps 8 bits: an epoch's loss differs from that of fp32 by less than 0.01 nats a draw."""
    base = job(draws=machine(200, log_sd=0.8), training={**LONGER, "epochs": 4})
    half = base | {"training": {**base["training"], "precision": "bf16"}}
    _, exact_epochs = trained(base | {"out": str(tmp_path / "fp32")})
    first, epochs = trained(half | {"out": str(tmp_path / "one")})
    again, _ = trained(half | {"out": str(tmp_path / "two")})

    assert first == again
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("one", "two", "fp32")]
    assert weights[0] == weights[1] != weights[2]
    for one, other in zip(epochs, exact_epochs, strict=True):
        assert one["loss"] != other["loss"]
        assert one["loss"] == pytest.approx(other["loss"], abs=0.01)
        assert one["validation_loss"] == pytest.approx(other["validation_loss"], abs=0.01)
    _, net = artefacts.read(tmp_path / "one")
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}


def test_bf16_says_nearly_what_fp32_says(net: PowerballNet, history: History) -> None:
    """What the heads say is off by less than a tenth of its own size, and is fp32 for the likelihood."""
    with torch.no_grad():
        exact = net(*history(40))
        with arithmetic("bf16"):
            half = net(*history(40))

    for one, other in zip(half, exact, strict=True):
        assert one.dtype == torch.float32
        assert 0.0 < float((one - other).square().mean().sqrt() / other.square().mean().sqrt()) < 0.1


def test_validation_by_segments_scores_every_draw_once(net: PowerballNet, machine: Machine) -> None:
    """Each segment begins with an exact window, so of segments of one draw nothing differs."""
    draws = data.from_rows(machine(60))
    exact = scoring.say(net, draws, 20)
    for predicted in (1, 7, 40, 64):
        said = scoring.say_by_continuation(net, draws, 20, predicted)
        assert (said.white.shape, said.bonus.shape, said.confidence.shape) == ((40, 12), (40, 5), (40,))
        firsts = range(0, 39, predicted) if predicted < 40 else [0]
        for at in firsts if predicted != 7 else [0, 7, 14, 21, 28]:  # the last was pushed back
            torch.testing.assert_close(said.white[at], exact.white[at], rtol=1e-5, atol=2e-6)
