"""The page behind a signed link: what is proposed and why, with a button that answers.

Opening it changes nothing, for mail scanners and chat programs open links that nobody has clicked. Nothing is
read from the database, or written to it, for who has no valid signature.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response

from helios_agent.agent import Agent
from helios_agent.clock import SECOND_US, iso
from helios_agent.errors import NotFound, Refused
from helios_agent.journal import events, intents
from helios_agent.journal.intents import Intent
from helios_agent.notify import links
from helios_agent.web import told
from helios_agent.web.api import Served
from helios_agent.web.decisions import LONGEST_REASON
from helios_agent.web.page import templates

NO_REASON = "no reason was given"
SENDS_ITS_ORIGIN = {"referrer-policy": "same-origin"}
"""With no-referrer, which all else is sent with, a browser posts a form as from nowhere: Origin: null."""

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Link:
    """A link with a valid signature: what it answers, until when (microseconds), and to whom it was sent."""

    intent: str
    answer: links.Answer
    expires_us: int
    endpoint: str


@router.get("/proposals/{intent_id}")
async def ask(request: Request, agent: Served, intent_id: str) -> Response:
    """Show what is proposed and why, with a button for the answer that the link is for; change nothing."""
    link = _link(agent, intent_id, request.query_params)
    if link is None:
        return _forged(request)
    return await _page(request, agent, link)


@router.post("/proposals/{intent_id}")
async def answer(request: Request, agent: Served, intent_id: str) -> Response:
    """Answer a proposal as the signed link says, which is all that is needed."""
    link = _link(agent, intent_id, request.query_params)
    if link is None:
        return _forged(request)
    if link.expires_us <= agent.journal.clock.now_us():
        return await _page(request, agent, link)
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    reason = form.get("reason", [""])[0].strip()[:LONGEST_REASON] or NO_REASON
    what, by = "approve" if link.answer == "approve" else "refuse", f"link:{link.endpoint}"
    try:
        answered = await agent.answer(link.intent, cast(Any, what), by, reason)
    except Refused:
        return await _page(request, agent, link)
    said = {
        "approve": f"{told.what(answered)}: this is approved, and done as soon as its turn comes.",
        "reject": f"{told.what(answered)}: this is rejected, and will not be done.",
    }
    title = {"approve": "Approved", "reject": "Rejected"}
    return _render(request, 200, title[link.answer], said[link.answer])


def _link(agent: Agent, intent_id: str, query: Mapping[str, str]) -> Link | None:
    """Return the link that was followed, or None where its signature is not ours.

    Only who asked for proposals by their name can have a link. It takes the same time whatever was given.
    """
    answer, expires, given = (query.get(name, "") for name in ("answer", "expires", "signature"))
    if (
        answer not in get_args(links.Answer)
        or not (expires.isascii() and expires.isdigit())
        or len(expires) > 12
    ):
        return None
    known, found = cast(links.Answer, answer), None
    for target in agent.targets:
        expected = links.signature(target.name, target.key, intent_id, known, int(expires))
        if hmac.compare_digest(expected.encode(), given.encode()) and target.may_answer:
            found = Link(intent_id, known, int(expires) * SECOND_US, target.name)
    return found


async def _page(request: Request, agent: Agent, link: Link) -> Response:
    """Show the proposal as it stands: open, answered, expired, or gone."""
    try:
        intent = await intents.find(agent.store, link.intent)
    except NotFound:
        gone = "It was answered or expired long ago, and is archived."
        return _render(request, 404, "There is no such proposal any more", gone)
    late = link.expires_us <= agent.journal.clock.now_us()
    if intent.state == "expired" or (intent.state == "proposed" and late):
        why = intent.error or intents.UNANSWERED
        return _render(request, 410, "This proposal has expired", f"{told.what(intent)}: {why}.")
    if intent.state != "proposed":
        state = f"{told.what(intent)}: this is {told.state(intent.state)} since {iso(intent.changed_us)}"
        why = f": {intent.error}." if intent.error else "."
        return _render(request, 409, "This proposal was answered already", state + why)
    title = "Approve this?" if link.answer == "approve" else "Reject this?"
    said = "Helios may not do this by itself, and asks. Unanswered, it counts as rejected."
    return _render(request, 200, title, said, link.answer, await _proposal(agent, intent))


async def _proposal(agent: Agent, intent: Intent) -> dict[str, Any]:
    asked = await events.find(agent.store, intent.seq)
    return {
        "what": told.what(intent),
        "reason": asked.payload.get("reason") if asked else None,
        "requested_at": iso(intent.created_us),
        "expires_at": iso(intent.expires_us or 0),
    }


def _forged(request: Request) -> Response:
    said = "Its signature is not ours: it was cut off or changed, or made with a secret that is another now."
    return _render(request, 403, "This link is not valid", said)


def _render(
    request: Request,
    status: int,
    title: str,
    said: str,
    asks: links.Answer | None = None,
    proposal: Mapping[str, Any] | None = None,
) -> Response:
    shown = {"title": title, "said": said, "asks": asks, "proposal": proposal, "longest": LONGEST_REASON}
    return templates.TemplateResponse(
        request, "proposal.html", shown, status_code=status, headers=SENDS_ITS_ORIGIN
    )
