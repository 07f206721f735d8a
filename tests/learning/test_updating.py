"""A trained network is kept current by small steps, none of which makes it worse on what it was not shown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from helios_agent.errors import JobFailed
from helios_agent.learning import data, forecasting, objective, training, updating
from helios_agent.learning.network import Outputs, PowerballNet
from helios_agent.learning.specs import NetworkSpec, TrainingSpec
from helios_agent.learning.updating import Current
from helios_agent.registry.card import Matrix

Job = Callable[..., dict[str, Any]]
Machine = Callable[..., list[list[int]]]
SIZES = Matrix(white=12, bonus=5, pick=3)


@pytest.fixture
def artefact(job: Job, machine: Machine) -> Path:
    """A network trained on the first 120 draws of a biased machine."""
    spec = job(training={"epochs": 12, "batch": 8, "segments": 4, "learning_rate": 0.01})
    training.run(spec, lambda progress: None)
    return Path(spec["out"])


def asked(artefact: Path, rows: list[list[int]]) -> dict[str, Any]:
    return forecasting.run({"artefact": str(artefact), "draws": rows}, lambda progress: None)


def test_a_forecast_is_the_same_whether_draws_came_one_by_one_or_at_once(
    artefact: Path, machine: Machine
) -> None:
    rows = machine(134, log_sd=0.8)
    warm = forecasting.Predictor(artefact)
    one_by_one = [warm.predict(rows[:count]) for count in range(118, 135)]

    assert [one["updates"] for one in one_by_one] == [0, 0, *range(15)]
    assert one_by_one[-1] == asked(artefact, rows)
    assert one_by_one[7] == asked(artefact, rows[:125])
    assert one_by_one[-1]["white"] != one_by_one[-2]["white"]
    assert one_by_one[-1]["updates_accepted"] > 0


def test_a_predictor_that_is_told_of_a_corrected_draw_starts_anew(artefact: Path, machine: Machine) -> None:
    rows = machine(130, log_sd=0.8)
    warm = forecasting.Predictor(artefact)
    warm.predict(rows)
    corrected = [*rows[:40], [1, 2, 3, 4], *rows[41:]]

    assert warm.predict(corrected) == asked(artefact, corrected) != asked(artefact, rows)
    assert warm.predict(rows[:125]) == asked(artefact, rows[:125])
    assert warm.predict(rows) == asked(artefact, rows)


def test_a_predictor_refuses_what_is_no_draw_and_goes_on_afterwards(artefact: Path, machine: Machine) -> None:
    rows = machine(126, log_sd=0.8)
    warm = forecasting.Predictor(artefact)
    warm.predict(rows[:125])
    with pytest.raises(JobFailed, match=r"draws\[125\] is \[1, 1, 2, 3\]; expected 3 different"):
        warm.predict([*rows[:125], [1, 1, 2, 3]])
    assert warm.predict(rows) == asked(artefact, rows)


def test_a_predictor_that_was_cut_short_in_a_step_starts_anew(
    artefact: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = machine(130, log_sd=0.8)
    warm = forecasting.Predictor(artefact)
    warm.predict(rows[:122])
    judged = [0]
    real = Current._held_back_loss

    def run_out_of_memory(current: Current) -> float:
        judged[0] += 1
        if judged[0] == 4:  # after the second step, which is not judged yet
            raise MemoryError
        return real(current)

    with monkeypatch.context() as short:
        short.setattr(Current, "_held_back_loss", run_out_of_memory)
        with pytest.raises(MemoryError):
            warm.predict(rows[:125])
    assert warm.predict(rows) == asked(artefact, rows)


def silent_net() -> PowerballNet:
    torch.manual_seed(5)
    return PowerballNet(NetworkSpec(sequence=8, hidden=16, layers=1, heads=4, embedding=6), SIZES)


def current(rows: list[list[int]], known: int, rate: float, shrinkage: float = 1.0) -> Current:
    how = TrainingSpec(learning_rate=rate)
    return Current(silent_net(), data.from_rows(rows[:known]), SIZES, how, shrinkage, "a name")


def test_a_step_that_helps_on_the_draws_held_back_is_kept() -> None:
    """Always the same draw: every step towards it is a step towards the next."""
    rows = [[1, 2, 3, 4]] * 130
    keeping = current(rows, 120, rate=0.5)
    keeping.take(rows[120:])

    assert (keeping.updates, keeping.accepted) == (10, 10)
    said = keeping.forecast()
    assert min(said["white"][:3]) > max(said["white"][3:])
    assert max(range(5), key=lambda ball: said["bonus"][ball]) == 3


def test_a_step_that_hurts_on_the_draws_held_back_is_undone() -> None:
    """The machine changed 64 draws ago: whatever the history before teaches is wrong by now."""
    rows = [[1, 2, 3, 4]] * 110 + [[10, 11, 12, 5]] * 70
    refusing = current(rows, 174, rate=0.5)
    before = refusing.forecast()
    refusing.take(rows[174:])

    assert (refusing.updates, refusing.accepted) == (6, 0)
    assert refusing.forecast()["white"] == before["white"] == [0.0] * 12


def test_a_step_whose_loss_is_no_number_is_none_and_the_next_ones_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [[1, 2, 3, 4]] * 130
    learning = current(rows, 120, rate=0.5)
    with monkeypatch.context() as spoilt:
        spoilt.setattr(objective, "FREQUENCY_WEIGHT", float("nan"))
        learning.take(rows[120:122])
    assert (learning.updates, learning.accepted) == (2, 0)
    assert learning.forecast()["white"] == [0.0] * 12
    learning.take(rows[122:])

    assert (learning.updates, learning.accepted) == (10, 8)


def test_the_draws_held_back_teach_nothing(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    """With every step kept, other draws among the latest 64 leave the weights as they are."""
    monkeypatch.setattr(Current, "_held_back_loss", lambda self: 0.0)
    rows = machine(121, log_sd=0.8)
    others = rows[: 121 - 64] + machine(64, seed=7)
    taught, too = current(rows, 120, rate=0.5), current(others, 120, rate=0.5)
    taught.take(rows[120:])
    too.take(others[120:])

    assert taught.accepted == too.accepted == 1
    for one, other in zip(taught._net.parameters(), too._net.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_step_learns_each_draw_from_those_before_it_and_what_comes_of_those_it_may_know(
    monkeypatch: pytest.MonkeyPatch, machine: Machine
) -> None:
    rows = machine(121, log_sd=0.8)
    read: list[data.Draws] = []
    asked: list[tuple[data.Draws, torch.Tensor]] = []

    def recorded(outputs: Outputs, drawn: data.Draws, frequencies: torch.Tensor, *how: Any) -> Any:
        asked.append((drawn, frequencies))
        return objective.objective(outputs, drawn, frequencies, *how)

    monkeypatch.setattr(updating, "objective", recorded)
    learning = current(rows, 120, rate=0.5)
    learning._net.register_forward_pre_hook(
        lambda net, given: read.append(data.Draws(*given)) if net.training else None
    )
    learning.take(rows[120:])

    ((seen,), ((drawn, frequencies),)) = read, asked
    known = data.from_rows(rows[: 121 - 64])
    (first,) = (at for at in range(8, 26) if torch.equal(known.whites[at : at + 32], drawn.whites[0]))
    assert torch.equal(drawn.bonus[0], known.bonus[first : first + 32])
    assert torch.equal(seen.whites[0], known.whites[first - 8 : first + 31])
    assert torch.equal(seen.bonus[0], known.bonus[first - 8 : first + 31])
    for at in (0, 13, 31):
        coming = rows[first + at : min(first + at + data.HORIZON, 121 - 64)]
        whites = [sum(ball in row[:-1] for row in coming) / (3 * len(coming)) for ball in range(1, 13)]
        bonus = [sum(ball == row[-1] for row in coming) / len(coming) for ball in range(1, 6)]
        assert frequencies[0, at].tolist() == pytest.approx(whites + bonus, abs=1e-6)


def test_steps_come_to_an_end(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    monkeypatch.setattr(updating, "LIMIT", 3)
    rows = machine(125)
    bounded = current(rows, 120, rate=0.01)
    bounded.take(rows[120:123])
    weights = [parameter.clone() for parameter in bounded._net.parameters()]
    bounded.take(rows[123:])

    assert (bounded.updates, len(bounded)) == (3, 125)
    assert all(torch.equal(a, b) for a, b in zip(weights, bounded._net.parameters(), strict=True))


@pytest.mark.parametrize(("known", "shrinkage"), [(102, 1.0), (120, 0.0)])
def test_no_step_is_taken_of_too_short_a_history_or_by_a_network_shrunk_to_nothing(
    machine: Machine, known: int, shrinkage: float
) -> None:
    """The least is a window of 8, 32 draws to predict and 64 held back."""
    rows = machine(known + 1)
    still = current(rows, known, rate=0.01, shrinkage=shrinkage)
    still.take(rows[known:])
    assert (still.updates, len(still)) == (0, known + 1)


def test_a_step_leaves_torch_and_the_network_it_began_with_as_they_were(machine: Machine) -> None:
    rows = machine(122, log_sd=0.8)
    net = silent_net()
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(1)
    before = torch.get_rng_state(), torch.get_num_threads()
    moving = Current(net, data.from_rows(rows[:120]), SIZES, TrainingSpec(learning_rate=0.5), 1.0, "x")
    moving.take(rows[120:])

    assert moving.accepted > 0
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == torch.get_num_threads()
    assert all(torch.equal(weights[name], value) for name, value in net.state_dict().items())
