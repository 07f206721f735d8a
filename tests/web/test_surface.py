"""The paths of the HTTP API, and the other names that they are known by: each is there."""

from pathlib import Path

import httpx
import pytest

from helios_agent.web import server
from tests.web.test_page import living

SURFACE = [
    ("GET", "/health", ["/api/health"]),
    ("GET", "/api/models", []),
    ("GET", "/api/models/{name}", ["/api/models/{name}/info"]),
    ("DELETE", "/api/models/{name}", []),
    ("GET", "/api/models/{name}/journal", ["/api/journal/{name}"]),
    ("POST", "/api/models/{name}/load", ["/api/models/load"]),
    ("POST", "/api/models/{name}/unload", []),
    ("POST", "/api/models/{name}/predict", ["/api/predict"]),
    ("POST", "/api/models/{name}/promote", []),
    ("POST", "/api/models/{name}/rollback", []),
    ("POST", "/api/train", ["/api/train/start"]),
    ("GET", "/api/train/{job_id}", ["/api/train/status/{job_id}", "/api/train/status"]),
    ("POST", "/api/train/{job_id}/stop", ["/api/train/stop/{job_id}", "/api/train/stop"]),
    ("POST", "/api/train/{job_id}/pause", []),
    ("POST", "/api/train/{job_id}/resume", []),
    ("GET", "/api/train/history", []),
    ("POST", "/api/backtests", []),
    ("GET", "/api/backtests", []),
    ("GET", "/api/journal", []),
    ("GET", "/api/reflection/{name}", []),
    ("GET", "/api/metacognitive/assessment", []),
    ("POST", "/api/metacognitive/assessment", []),
    ("GET", "/api/metacognitive/patterns", []),
    ("POST", "/api/metacognitive/recommendations", []),
    ("POST", "/api/decisions/make", []),
    ("POST", "/api/decisions/autonomous/start", []),
    ("POST", "/api/decisions/autonomous/stop", []),
    ("GET", "/api/decisions/history", []),
    ("GET", "/api/decisions/status", []),
    ("POST", "/api/decisions/{id}/approve", []),
    ("POST", "/api/decisions/{id}/reject", []),
    ("GET", "/api/goals", []),
    ("POST", "/api/goals", []),
    ("GET", "/api/memory/stats", []),
    ("POST", "/api/memory/compact", []),
    ("GET", "/api/analytics/cross-model", []),
    ("GET", "/api/analytics/models", []),
    ("GET", "/api/analytics/models/{name}/performance", ["/api/analytics/performance/{name}"]),
    ("GET", "/api/analytics/trends", []),
    ("POST", "/api/analytics/compare", ["/api/analytics/comparison"]),
    ("POST", "/api/analytics/ensemble/recommendations", ["/api/analytics/ensemble"]),
    ("POST", "/api/analytics/performance-matrix", ["/api/analytics/matrix"]),
    ("GET", "/api/analytics/matrix", []),
    ("GET", "/metrics", []),
]
NO_ROUTE = {404: "Not Found", 405: "Method Not Allowed"}
"""What is said where no route is meant; where one looks and finds nothing, it says what there is not."""


async def test_every_path_and_every_other_name_of_it_is_answered(tmp_path: Path) -> None:
    missing, failed = [], []
    async with living(tmp_path) as agent:
        transport = httpx.ASGITransport(server.application(agent, None), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for method, path, aliases in SURFACE:
                for each in (path, *aliases):
                    known = each.format(name="powerballnet", job_id="deadbeef", id="deadbeef")
                    answer = await client.request(method, known)
                    if answer.status_code >= 500 and each not in ("/health", "/api/health"):
                        failed.append((method, each, answer.text))
                    if answer.status_code in NO_ROUTE:
                        said = answer.json()["detail"]
                        if said == NO_ROUTE[answer.status_code]:
                            missing.append((method, each))
    assert (missing, failed) == ([], [])


@pytest.mark.parametrize("name", ["powerballnet", "powerballnet@17e1c993042e", "Nothing Like It"])
async def test_the_journal_of_a_model_has_two_names(name: str, tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        transport = httpx.ASGITransport(server.application(agent, None))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            one, other = [
                await client.get(path) for path in (f"/api/models/{name}/journal", f"/api/journal/{name}")
            ]
    assert (one.status_code, one.json()) == (other.status_code, other.json())
