"""The page as a reader meets it: a real daemon's, in a real browser."""

import itertools
import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.conftest import Daemon
from tests.browser.conftest import Visit

Visitor = Callable[..., Visit]
RETURN_TO_THE_TAB = "() => document.dispatchEvent(new Event('visibilitychange'))"

CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = parse(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const owns = (element) => [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  const written = [...document.body.querySelectorAll("*")].filter((e) => owns(e) && e.localName !== "desc");
  return written.map((e) => {
    const style = getComputedStyle(e);
    const [a, b] = [light(parse(e.closest("svg") ? style.fill : style.color)), light(ground(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 120)];
  });
}"""


def journal_head(page: Page) -> int:
    return int(page.locator("table.journal tbody tr").first.locator("th").inner_text())


def assess(daemon: Daemon) -> None:
    assert daemon.post("/api/intents", {"action": "assess"}).status_code == 202


def test_the_verdict_on_the_real_powerball_is_what_one_reads_first(daemon: Daemon, visit: Visitor) -> None:
    page = visit(daemon.url).page
    assert page.title() == "ready · Helios Agent"
    assert re.search(r"^No sign that Powerball can be predicted, after 1,\d{3} scored draws\.$",
                     page.locator(".said").inner_text())  # fmt: skip
    size = "e => parseFloat(getComputedStyle(e).fontSize)"
    assert page.locator(".said").evaluate(size) > 2 * page.locator(".further").evaluate(size)


def test_the_newest_real_draw_is_shown_with_its_balls(daemon: Daemon, visit: Visitor) -> None:
    row = visit(daemon.url).page.locator("table.draws tbody tr").first
    assert row.locator("time").get_attribute("datetime") == "2026-09-16"
    assert [ball.inner_text() for ball in row.locator(".ball").all()][:5] == ["2", "21", "24", "25", "64"]
    assert row.locator(".ball.bonus").inner_text().split() == ["bonus", "ball", "7"]
    assert "walk-forward" in row.inner_text()


def test_the_registered_forecast_is_shown_beside_chance(daemon: Daemon, visit: Visitor) -> None:
    page = visit(daemon.url).page
    section = page.get_by_role("region", name="Next draw")
    forecast = daemon.get("/api/status").json()["games"][0]["next_forecast"]
    assert section.locator(f"code[title='{forecast['digest']}']").inner_text() == forecast["digest"][:12]
    assert [int(ball.inner_text()) for ball in section.locator(".large .ball:not(.bonus)").all()] == sorted(
        forecast["likeliest"]
    )
    assert "5/69 = 7.25%" in section.inner_text()
    assert "292,201,338" in section.inner_text()
    assert section.locator("[data-countdown]").inner_text().startswith("in ")
    assert "where you are" in section.inner_text()


def test_the_network_it_trained_and_what_it_decided_are_shown(daemon: Daemon, visit: Visitor) -> None:
    page = visit(daemon.url).page
    training = page.get_by_role("region", name="Training")
    model = daemon.get("/api/models").json()[0]
    assert model["version"] in training.inner_text()
    assert "challenger" in training.inner_text()
    training.get_by_text("Every epoch in numbers").click()
    assert training.locator("tbody tr").count() == 2
    chosen = page.get_by_role("region", name="Latest decision").locator("tr.chosen")
    assert chosen.count() >= 1
    weights = page.get_by_role("region", name="Forecasters").locator("tbody tr td:nth-child(3)")
    shares = [float(text.strip("<% ")) for text in weights.all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=0.5)


def test_nothing_fails_and_nothing_leaves_the_host(daemon: Daemon, visit: Visitor) -> None:
    seen = visit(daemon.url)
    seen.page.evaluate(RETURN_TO_THE_TAB)
    expect(seen.page.locator("#connection")).to_be_hidden()
    seen.page.wait_for_load_state("networkidle")
    assert seen.complaints == []
    assert seen.failed == []
    assert {urlsplit(url).netloc for url in seen.requested} == {urlsplit(daemon.url).netloc}
    assert {"/", "/static/helios.css", "/static/helios.js"} <= {urlsplit(url).path for url in seen.requested}


def test_what_happens_appears_by_itself_and_disturbs_nobody(daemon: Daemon, visit: Visitor) -> None:
    page = visit(daemon.url).page
    before = journal_head(page)
    page.evaluate("() => { window.loaded_once = true; }")
    figure = page.locator("#powerball-figure-evidence")
    figure.locator("summary").focus()
    page.keyboard.press("Enter")
    page.evaluate("() => scrollTo(0, 700)")
    top = figure.evaluate("e => e.getBoundingClientRect().top")
    assess(daemon)
    expect(page.locator("table.journal tbody tr").first.locator("th")).not_to_have_text(
        str(before), timeout=9000
    )
    assert journal_head(page) > before
    assert page.evaluate("() => window.loaded_once")
    assert figure.evaluate("e => e.getBoundingClientRect().top") == pytest.approx(top, abs=1)
    assert figure.get_attribute("open") is not None
    assert figure.locator("summary").evaluate("e => e === document.activeElement")


def test_what_is_unfolded_stays_so_when_its_own_figure_changes(daemon: Daemon, visit: Visitor) -> None:
    page = visit(daemon.url).page
    page.evaluate(
        """async () => {
          const answer = await fetch("/");
          const text = (await answer.text()).replaceAll("Evidence against fairness", "Evidence, renamed");
          window.fetch = async () => new Response(text);
        }"""
    )
    figure = page.locator("#powerball-figure-evidence")
    figure.locator("summary").click()
    page.evaluate(RETURN_TO_THE_TAB)
    expect(figure.locator(".name")).to_have_text("Evidence, renamed")
    assert figure.get_attribute("open") is not None
    assert figure.locator("summary").evaluate("e => e === document.activeElement")
    assert page.get_by_role("heading", name="Evidence, renamed").count() == 1


def test_text_that_a_reader_is_marking_stays_marked(daemon: Daemon, visit: Visitor) -> None:
    page = visit(daemon.url).page
    page.locator("table.journal tbody tr").first.locator("code").select_text()
    marked = page.evaluate("() => String(getSelection())")
    assess(daemon)
    with page.expect_response(lambda answer: urlsplit(answer.url).path == "/"):
        page.evaluate(RETURN_TO_THE_TAB)
    assert page.evaluate("() => String(getSelection())") == marked != ""


def test_it_says_when_the_daemon_is_gone_and_recovers_by_itself(
    new_daemon: Callable[..., Daemon], visit: Visitor
) -> None:
    daemon = new_daemon().start()
    url = daemon.url
    page = visit(url).page
    daemon.stop()
    page.evaluate(RETURN_TO_THE_TAB)
    notice = page.locator("#connection")
    expect(notice).to_contain_text(re.compile(r"Not connected since \d\d:\d\d:\d\d"))
    expect(page).to_have_title("not connected · Helios Agent")
    assert page.locator(".said").is_visible()
    said_at_first = notice.inner_text()
    page.evaluate(RETURN_TO_THE_TAB)
    assert notice.inner_text() == said_at_first

    daemon.environment["HELIOS_HTTP__PORT"] = str(urlsplit(url).port)
    daemon.start()
    expect(notice).to_be_hidden(timeout=9000)
    expect(page).to_have_title("ready · Helios Agent")


@pytest.mark.parametrize("width", [360, 375, 768, 1280])
def test_nothing_is_cut_off_or_scrolls_sideways(daemon: Daemon, visit: Visitor, width: int) -> None:
    page = visit(daemon.url, viewport={"width": width, "height": 740}).page
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("() => document.documentElement.scrollWidth") == width
    outside = page.evaluate(
        """() => [...document.querySelectorAll("main *, footer *")]
          .map((e) => [e.getBoundingClientRect(), e.outerHTML.slice(0, 100)])
          .filter(([box]) => box.right > innerWidth + 0.5 || box.left < -12)"""
    )
    assert outside == []


def test_a_decision_has_a_page_of_its_own(daemon: Daemon, visit: Visitor) -> None:
    [made] = daemon.get("/api/decisions/history?limit=1").json()
    seen = visit(f"{daemon.url}/decisions/{made['seq']}", viewport={"width": 360, "height": 740})
    assert seen.page.get_by_role("heading", name=f"Decision {made['seq']} about Powerball").is_visible()
    assert seen.page.locator(".candidates tbody tr").count() == len(made["candidates"])
    assert seen.page.evaluate("() => document.documentElement.scrollWidth") == 360
    assert (seen.failed, seen.complaints) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read_in_both_schemes(daemon: Daemon, visit: Visitor, scheme: str) -> None:
    page = visit(daemon.url, color_scheme=scheme).page
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(ground) < 128) is (scheme == "dark")
    found = page.evaluate(CONTRASTS)
    assert len(found) > 200
    assert [(ratio, element) for ratio, element in found if ratio < 4.5] == []


def test_the_keyboard_reaches_everything_and_one_sees_where_it_is(daemon: Daemon, visit: Visitor) -> None:
    page = visit(daemon.url).page
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the content"
    reachable = page.locator(":is(main, footer) :is(a, summary, button):visible").count()
    for _ in range(reachable):
        page.keyboard.press("Tab")
        style = page.evaluate(
            """() => {
              const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
              return [document.activeElement.localName, outlineStyle, parseFloat(outlineWidth)];
            }"""
        )
        assert style[0] in ("a", "summary", "button")
        assert style[1] == "solid"
        assert style[2] >= 2
    assert page.evaluate("() => document.activeElement.textContent") == "API description"


def test_its_structure_can_be_heard(daemon: Daemon, visit: Visitor) -> None:
    page = visit(daemon.url).page
    levels = [int(name[1]) for name in page.evaluate(
        "() => [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map((h) => h.localName)")]  # fmt: skip
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    for role in ("banner", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1
    for table in page.locator("table").all():
        assert table.locator("caption").count() == 1
        assert table.locator("th:not([scope])").count() == 0
    assert page.locator("section:not([aria-labelledby]), article:not([aria-labelledby])").count() == 0
    ids = page.evaluate("() => [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    pointed_at = page.evaluate(
        """() => [...document.querySelectorAll('[aria-labelledby]')]
          .map((e) => e.getAttribute('aria-labelledby'))"""
    )
    assert set(pointed_at) <= set(ids)


def test_every_picture_has_a_name_or_is_declared_an_ornament(daemon: Daemon, visit: Visitor) -> None:
    page = visit(daemon.url).page
    pictures = page.locator("svg:not(svg svg), img").all()
    drawings = [picture for picture in pictures if picture.get_attribute("aria-hidden") != "true"]
    assert len(drawings) == 3
    for drawing in drawings:
        name = drawing.get_attribute("aria-labelledby")
        assert drawing.get_attribute("role") == "img"
        assert len(page.locator(f"#{name}").text_content() or "") > 40
    assert page.get_by_role("img", name=re.compile("Evidence against fairness after each of 1,")).count() == 1


def test_without_scripts_everything_is_there_already(daemon: Daemon, visit: Visitor) -> None:
    page = visit(daemon.url, java_script_enabled=False).page
    assert "No sign that Powerball" in page.locator(".said").inner_text()
    assert page.locator("svg polyline.evidence").count() == 1


def test_nothing_moves_of_itself(daemon: Daemon, visit: Visitor) -> None:
    page = visit(daemon.url).page
    assert page.evaluate("() => getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    moving = """() => [...document.querySelectorAll("*")].map((e) => getComputedStyle(e))
      .filter((style) => style.animationName !== "none" || style.transitionDuration !== "0s").length"""
    assert page.evaluate(moving) == 0
