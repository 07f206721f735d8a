"""The same views as text for a terminal."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from helios_agent import wording
from helios_agent.web import numbers, told

Record = Mapping[str, Any]
WHOLE = ("bytes", "draws", "forecasters")
"""Units of what is counted."""


def overview(seen: Record) -> str:
    """Render `views.overview`."""
    holder = seen.get("held_by") or "nobody"
    journal = seen["journal"]
    lines = [f"held by  {holder}", f"journal  {journal['events']:,} events, head {journal['head'][:16]}"]
    for game in seen["games"]:
        lines += ["", *_game(game)]
    if len(seen["games"]) > 1:
        lines += [
            "",
            f"judged together  {_together(seen)} out (e-BH)",
        ]
    lines += [""] if seen["incidents"] else []
    lines += [f"incident  since {i['opened_at']}: {i['message']}" for i in seen["incidents"]]
    lines += [
        f"{i['state']}  {i['action']} {i['target']}, due {i['due_at']}{_waits(i)}" for i in seen["under_way"]
    ]
    return "\n".join(lines)


def _together(seen: Record) -> str:
    titles = [game["title"] for game in seen["games"] if game["game"] in seen["unfair_among_all"]]
    return f"{numbers.and_(titles) or 'no game'} {'stand' if len(titles) > 1 else 'stands'}"


def _game(game: Record) -> list[str]:
    newest, forecast = game["newest_draw"], game["next_forecast"]
    lines = [game["title"]]
    if game["assessment"]:
        lines.append(f"  {game['assessment']['verdict']}")
    shown = f"{newest['day']}: {_balls(newest)}, from {newest['source']}" if newest else "none yet"
    lines.append(f"  draws      {game['draws']:,}, newest {shown}")
    lines.append(f"  next draw  {game['next_draw']['day']} ({game['next_draw']['at']})")
    if forecast:
        lines.append(f"  forecast   registered as event {forecast['seq']}, digest {forecast['digest'][:16]}")
    if game["decision"]:
        lines.append(f"  decision   {game['decision']['rationale']}")
    if game["adjusted"]:
        lines.append(f"  set by itself: {told.adjusted(game['adjusted'])}")
    return lines + [
        f"  {s['forecaster']:<28} {s['gain_nats']:+10.3f} nats over {s['draws']:,} draws"
        for s in game["standings"]
    ]


def draws(found: Sequence[Record]) -> str:
    """Render `views.drawn`."""
    lines = []
    for draw in found:
        score = draw["score"]
        gain = f"{score['mixture_gain_nats']:+.4f} nats, {score['basis']}" if score else "not scored"
        lines.append(f"{draw['day']}  {_balls(draw):<24} {draw['source']:<10} event {draw['seq']:<7} {gain}")
    return "\n".join(lines)


def forecasts(found: Sequence[Record]) -> str:
    """Render `views.registered`."""
    return "\n\n".join(_forecast(item) for item in found)


def _forecast(item: Record) -> str:
    white, bonus = item["white_probabilities"], item["bonus_probabilities"]
    pick = item["forecast"]["forecasters"]["uniform"]["pick"]
    lines = [
        f"draw of {item['day']}, registered {item['registered_at']} as event {item['seq']}",
        f"digest {item['digest']}",
        f"likeliest balls {' '.join(map(str, item['likeliest']))} + {item['likeliest_bonus']}",
        f"white balls between {min(white):.4%} and {max(white):.4%} (chance {pick / len(white):.4%})",
        f"bonus ball between {min(bonus):.4%} and {max(bonus):.4%} (chance {1 / len(bonus):.4%})",
        "weights " + ", ".join(f"{name} {weight:.3f}" for name, weight in item["weights"].items()),
    ]
    if item["scored"]:
        lines.append(f"scored {item['mixture_gain_nats']:+.4f} nats against chance")
    return "\n".join(lines)


def models(found: Sequence[Record]) -> str:
    """Render `models.listed`."""
    lines = [
        f"{m['name']}@{m['version']}  {m['role']:<10}  {m['game']}, rules from {m['era']}, {m['origin']} "
        f"{m['trained_at'][:10]} on {m['trained_on_draws']:,} draws up to {m['last_draw']}"
        for m in found
    ]
    return "\n".join(lines or ["There is no model."])


def model(seen: Record) -> str:
    """Render `models.info`."""
    if "versions" in seen:
        return models(seen["versions"])
    lines = [models([seen])]
    if seen["took_the_place_of"]:
        lines.append(f"  took the place of {seen['took_the_place_of']}")
    if seen["standing"]:
        standing = seen["standing"]
        lines.append(f"  {standing['gain_nats']:+.3f} nats over {standing['draws']:,} draws against chance")
    kept = seen["files"]
    if kept is None:
        lines.append("  its files were deleted")
    elif kept["sound"]:
        card = kept["card"]
        lines.append(f"  sound; by Helios {card['code_version']}, seed {card['seed']}, from draws of SHA-256")
        lines.append(f"  {card['data']['sha256']}")
    else:
        lines.append(f"  damaged: {kept['fault']}")
    return "\n".join(lines + [f"  {name:<30} {value:g}" for name, value in seen["metrics"].items()])


def prediction(said: Record) -> str:
    """Render `Predictions.predict`."""
    lines = [
        f"{said['game']} of {said['day']}, by {said['model']}, from {said['draws']:,} draws"
        f" up to {said['last_draw']}"
    ]
    lines += [
        f"  {_balls(pick):<22} one in {pick['one_in']:,} (one in {pick['fair_one_in']:,} on a fair machine)"
        for pick in said["picks"]
    ]
    confidence = said["confidence"]
    gain, bias, error = (
        confidence[name] for name in ("predicted_gain_nats", "validation_bias_nats", "validation_error_nats")
    )
    lines += [
        f"It expects to gain {gain:+.4f} nats on chance. On its validation draws that was off by",
        f"{bias:+.4f} on average, by {error:.4f} root mean square.",
    ]
    return "\n".join(lines)


def goals(found: Sequence[Record]) -> str:
    """Render `goals.listed`."""
    return "\n".join(map(_goal, found)) or "No goal is set, or none like that."


def _goal(goal: Record) -> str:
    far = f", {goal['progress']:.0%} of the way" if goal["progress"] is not None else ""
    value = f", now {goal['value']:g} (began at {goal['start']:g})" if goal["value"] is not None else ""
    until = f" by {goal['deadline']}" if goal["deadline"] else ""
    after = f", after {' and '.join(goal['after'])}" if goal["after"] else ""
    reason = f": {goal['reason']}" if goal["reason"] else ""
    aim = f"{goal['name']}: {goal['metric']} {goal['direction']} {goal['target']:g}{until}{after}"
    served = f"; served by {', '.join(goal['served_by'])}" if goal["served_by"] else "; no action serves it"
    stands = f"{goal['state']}{reason}{far}{value}{served}"
    return f"{goal['id']}  {goal['game']}  {goal['priority']}  {aim}  {stands}"


def knowledge(found: Sequence[Record]) -> str:
    """Render `knowledge.listed`."""
    return "\n".join(map(_fragment, found)) or "Nothing of the kind has been learned yet."


def _fragment(fragment: Record) -> str:
    times = "once" if fragment["uses"] == 1 else f"{fragment['uses']:,} times"
    used = f", used {times}" if fragment["uses"] else ""
    what = f"{fragment['learned_at'][:10]}  {fragment['game']}  {fragment['kind']} of {fragment['subject']}"
    return f"{what}  {fragment['content']} (relevance {fragment['relevance']:.2f}{used})"


def event(record: Record) -> str:
    """Render one event as a line."""
    payload = json.dumps(record["payload"], ensure_ascii=False)
    shown = payload if len(payload) <= 140 else payload[:139] + "…"
    return f"{record['seq']:>7}  {record['at']}  {record['kind']:<22} {shown}"


def found(seen: Record) -> str:
    """Render `takeout.Search.answer`."""
    lines = [event(record) for record in seen["events"]] or ["Nothing was found."]
    if seen["before"] is not None:
        lines.append(f"There may be more: --before {seen['before']}")
    return "\n".join(lines)


def room(seen: Record) -> str:
    """Render `room.stats`."""
    database, archives, models = seen["database"], seen["archives"], seen["models"]
    oldest, kept = seen["oldest_event"], seen["retention"]
    lines = [
        f"database   {database['used_bytes']:,} bytes in use of {kept['size_bytes']:,} that it may have;"
        f" the file has {database['file_bytes']:,}, its log {database['log_bytes']:,}",
        f"oldest     event {oldest['seq']}, {oldest['at']}" if oldest else "oldest     no event yet",
        f"archives   {archives['archives']:,} of {archives['events']:,} events, {archives['bytes']:,} bytes",
        f"models     {sum(models['versions'].values()):,} versions, {models['bytes']:,} bytes",
        "",
    ]
    for table in sorted(seen["tables"], key=lambda table: (-(table["bytes"] or 0), table["table"])):
        size = "" if table["bytes"] is None else f"{table['bytes']:>16,} bytes"
        lines.append(f"{table['table']:<18} {table['rows']:>12,} rows{size}")
    return "\n".join(lines)


def jobs(found: Sequence[Record]) -> str:
    """Render `views.jobs`, or intents."""
    return "\n".join(map(_job, found)) or "No job has been asked for yet."


def job(seen: Record) -> str:
    """Render `views.one_job`."""
    lines = [_job(seen)]
    if trials := seen.get("trials"):
        gains = [trial["gain"] for trial in trials if trial["gain"] is not None]
        best = f", the best with {_gain(max(gains))}" if gains else ""
        lines.append(f"{wording.count(len(trials), 'configuration')} tried{best}")
    lines += _epochs(seen["epochs"]) if seen.get("epochs") else []
    if summary := seen.get("summary"):
        best = f"epoch {summary['best_epoch']} with {_gain(summary['best_gain_nats'])}"
        lines.append(f"{wording.count(summary['epochs'], 'epoch')}, long ago; the best was {best}")
    if seen.get("total"):
        lines.append(f"{seen['done']:,} of {seen['total']:,} draws foretold")
    if (left_s := seen.get("eta_seconds")) is not None:
        unless = ", should no later epoch be better than the best" if seen.get("epochs") else ""
        lines.append(f"about {numbers.duration(left_s)} left{unless}")
    made = seen["result"] or {}
    if made.get("version"):
        lines.append(f"it made {made['model']}@{made['version']}")
    return "\n  ".join(lines)


def _epochs(epochs: Sequence[Record]) -> list[str]:
    last, best = epochs[-1], max(epochs, key=lambda epoch: epoch["validation_gain_nats"])
    return [
        f"epoch {last['epoch']} of at most {last['epochs']}: loss {last['loss']:.4f} nats a draw",
        f"{_gain(last['validation_gain_nats'])} on the draws kept back,"
        f" at best {best['validation_gain_nats']:+.4f} in epoch {best['epoch']}",
    ]


def _gain(nats: float) -> str:
    return f"a gain of {nats:+.4f} nats a draw"


def _job(job: Record) -> str:
    wanted = {"pause": ", to be paused", "stop": ", to be stopped"}.get(job["wanted"], "")
    place = f", number {job['place']} in the queue" if job.get("place") else ""
    most = f" of {job['max_attempt']}" if "max_attempt" in job else ""
    attempt = f", attempt {job['attempt']}{most}" if job["attempt"] else ""
    priority = f", priority {job['priority']}" if job["priority"] else ""
    error = f": {job['error']}" if job["error"] else ""
    what = f"{job['id']}  {job['requested_at']}  {job['action']} {job['target']}"
    return f"{what}  {told.state(job['state'])}{_waits(job)}{wanted}{place}{attempt}{priority}{error}"


def _waits(job: Record) -> str:
    return ", waits for a worker" if job.get("waits_for_worker") else ""


def decisions(found: Sequence[Record]) -> str:
    """Render `decisions.newest`."""
    lines = []
    for made in found:
        lines.append(f"{made['seq']:>7}  {made['at']}  {made['game']}: {made['rationale']}")
        lines += [f"         {_became(c)}" for c in made["candidates"] if c["outcome"]]
    return "\n".join(lines or ["Nothing has been decided yet."])


def decision(made: Record) -> str:
    """Render `decisions.decision`: every candidate, the highest score first."""
    context = f", {wording.during(made['context'])}" if "context" in made else ""
    lines = [f"decision {made['seq']}, {made['at']}, {made['game']}{context}", made["rationale"], ""]
    for c in made["candidates"]:
        mark = "*" if c["chosen"] else " "
        not_chosen = f"  [{c['blocked']}]" if c["blocked"] else ""
        score = "unknown" if c["score"] is None else f"{c['score']:.3f}"
        lines.append(f"{mark} {score:>9}  {c['action']} {c['target']}: {c['reason']}{not_chosen}")
        if c["outcome"]:
            lines.append(f"             {_became(c)}")
    return "\n".join(lines)


def _became(candidate: Record) -> str:
    """Say what became of a chosen candidate."""
    outcome = candidate["outcome"]
    said = f"{candidate['action']} {candidate['target']}  {candidate['choice']}  {told.became(outcome)}"
    if outcome["expires_at"]:
        said += f", to be approved until {outcome['expires_at']}"
    if outcome["execution_seconds"] is not None:
        said += f" in {outcome['execution_seconds']:.1f} s"
    if outcome["error"]:
        said += f": {outcome['error']}"
    if outcome["worth_it"] is not None:
        measured = "" if outcome["impact"] is None else f" ({_impact(outcome)})"
        said += f"; {'worth it' if outcome['worth_it'] else 'not worth it'}{measured}"
    return said


def _impact(outcome: Record) -> str:
    impact, unit = outcome["impact"], outcome["unit"]
    return f"{impact:+,.0f} {unit}" if unit in WHOLE else f"{impact:+.4f} {unit}"


def decision_status(seen: Record) -> str:
    """Render `decisions.status`."""
    lines = [switch(seen["autonomy"])]
    for name, spent in seen["budget"].items():
        lines.append(
            f"last {name:<6} {spent['spent_cpu_seconds']:,.0f} s of processor time spent, "
            f"{spent['left_cpu_seconds']:,.0f} s left"
        )
    lines += ["", *map(_proposal, seen["proposals"])] if seen["proposals"] else []
    if seen["latest"]:
        lines += ["", decisions([seen["latest"]])]
    lines += [""] if seen["beliefs"] else []
    lines += [
        f"{b['action']:<12} {wording.during(b['context']):<29} succeeded {b['successes']} of {b['measured']} "
        f"times measured, chosen {wording.count(b['chosen'], 'time')}"
        for b in seen["beliefs"]
    ]
    return "\n".join(lines)


def switch(standing: Record) -> str:
    """Render `decisions.switch_record`."""
    since = f", said {told.who(standing['by'])} at {standing['since']}" if standing["since"] else ""
    return ("It decides for itself" if standing["is_on"] else "It does not decide for itself") + since


def _proposal(intent: Record) -> str:
    what, why = f"{intent['id']}  {intent['what']}", intent["reason"] or "the event that says why is archived"
    return f"proposed, to be approved until {intent['expires_at']}: {what}: {why}"


def _balls(draw: Record) -> str:
    return f"{' '.join(map(str, sorted(draw['whites'])))} + {draw['bonus']}"
