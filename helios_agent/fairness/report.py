"""What an audit finds, as values that are ready for JSON. Gains and evidence in nats.

Pure: the same draws and level give the same report.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from helios_agent.fairness import words
from helios_agent.fairness.sources import Found
from helios_agent.forecasting import audit, evidence, mixture
from helios_agent.forecasting.experts import PRIORS, WATCHES_FOR, single_ball_hypotheses
from helios_agent.forecasting.history import History
from helios_agent.forecasting.ledger import Ledger
from helios_agent.forecasting.mixture import rounded
from helios_agent.forecasting.panel import Panel
from helios_agent.forecasting.walk_forward import walk_forward
from helios_agent.lottery.draws import Draw
from helios_agent.lottery.games import Era

FEWEST_DRAWS = 30
"""Below, the limiting laws of the tests are too coarse: of fair eras with 5 draws of 5 of 69 more than 1 in
100 had a pairs p-value below 0.003; from 30 draws on about as many as should be."""


def report(found: Found, level: float) -> dict[str, Any]:
    """Return the audit of draws, with every era that has any, the newest first.

    `level` is the largest probability with which each of three rules calls a fair game unusual: the p-values
    of all tests, adjusted by Holm; the highest evidence of the eras, by Ville's inequality with `level` split
    evenly among them; the evidence now, by e-BH.
    """
    game = found.game
    held = [(era, [d for d in found.draws if game.era_at(d.day) == era]) for era in reversed(game.eras)]
    eras = [_examined(era, draws) for era, draws in held if draws]

    p_values = {f"{era['name']} {test['name']}": test["p"] for era in eras for test in era["tests"]}
    adjusted = audit.holm(p_values)
    alarm_nats = math.log(len(eras) / level)
    log_e_values = {era["name"]: era["evidence"]["now_nats"] for era in eras}
    named = evidence.e_bh(log_e_values, level)
    for era in eras:
        for test in era["tests"]:
            test["p_holm"] = adjusted[f"{era['name']} {test['name']}"]
            test["unusual"] = test["p_holm"] <= level
            test["in_words"] = words.deviation(test)
        held_against = era["evidence"]
        held_against["alarm_nats"] = alarm_nats
        held_against["unusual"] = held_against["peak_nats"] >= alarm_nats or era["name"] in named
        era["skill"] = evidence.skill_interval(era.pop("gains"), level)._asdict()
        era["smallest_visible_factor"] = evidence.smallest_visible_factor(
            era["draws"], era["white"], era["pick"], level / len(eras), single_ball_hypotheses(era["white"])
        )
        era["unusual"] = held_against["unusual"] or any(test["unusual"] for test in era["tests"])
        era["verdict"] = words.era_verdict(era)
    made = {
        "game": game.name,
        "title": game.title,
        "draws": len(found.draws),
        "from": found.draws[0].day.isoformat(),
        "to": found.draws[-1].day.isoformat(),
        "source": {
            "origin": "database" if found.file else "packaged",
            "file": found.file,
            "told_by": dict(found.told_by),
        },
        "level": level,
        "tests": len(p_values),
        "e_bh": {"log_e_values": log_e_values, "named": named},
        "unusual": any(era["unusual"] for era in eras),
        "eras": eras,
    }
    return made | {"verdict": words.verdict(made), "meaning": words.meaning(made)}


def _examined(era: Era, draws: Sequence[Draw]) -> dict[str, Any]:
    """Return what can be said of an era's draws without a look at the others'."""
    history = History.from_rows(
        [[*draw.whites, draw.bonus] for draw in draws],
        era.pick,
        era.white,
        era.bonus,
        [draw.ordered for draw in draws],
    )
    results = audit.audit(history) if len(draws) >= FEWEST_DRAWS else ()
    return {
        "name": era.name,
        "white": era.white,
        "bonus": era.bonus,
        "pick": era.pick,
        "draws": len(draws),
        "from": draws[0].day.isoformat(),
        "to": draws[-1].day.isoformat(),
        "tests": [_test(result, history) for result in results],
        "counts": {
            "white": np.bincount(history.whites.ravel(), minlength=era.white + 1)[1:].tolist(),
            "bonus": np.bincount(history.bonus, minlength=era.bonus + 1)[1:].tolist(),
        },
        **_replayed(history, [draw.day.isoformat() for draw in draws]),
    }


def _test(result: audit.Result, history: History) -> dict[str, Any]:
    N, k = history.white_count, history.pick
    deviations = {"whites": N, "bonus": history.bonus_count, "pairs": math.comb(N, 2), "positions": N * k}
    return {
        "name": result.name,
        "asks": words.ASKS[result.name],
        "draws": result.draws,
        "statistic": result.statistic,
        "df": result.df,
        "p": result.p,
        "largest": asdict(result.largest)
        | {"balls": [*result.largest.balls], "of": deviations.get(result.name, 1)},
    }


def _replayed(history: History, days: Sequence[str]) -> dict[str, Any]:
    """Return what a fresh ledger says after the draws, each forecast from those before it alone."""
    panel = Panel.after(history.before(0))
    peaks = dict.fromkeys(PRIORS, 0.0)
    gains, nats = [], []
    for _, scored, ledger in walk_forward(history, 0, Ledger.start(PRIORS), panel):
        gains.append(scored.mixture_gain)
        nats.append(ledger.mixture_nats)
        peaks = {name: max(peaks[name], row.gain_nats) for name, row in ledger.standings.items()}
    peak = int(np.argmax(nats))
    return {
        "gains": gains,
        "evidence": {
            **_evidence(ledger.mixture_nats, ledger.peak_nats),
            "peak_day": days[peak] if nats[peak] > 0.0 else None,
            "series": {"days": list(days), "nats": nats},
        },
        "forecasters": [
            {"name": name, "watches_for": WATCHES_FOR[name], **_evidence(row.gain_nats, peaks[name])}
            for name, row in ledger.standings.items()
            if name != mixture.UNIFORM
        ],
        "broken": panel.broken,
    }


def _evidence(now_nats: float, peak_nats: float) -> Mapping[str, float]:
    return {
        "now_nats": rounded(now_nats),
        "peak_nats": rounded(peak_nats),
        "anytime_p": evidence.anytime_p(peak_nats),
    }
