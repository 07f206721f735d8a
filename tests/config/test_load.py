import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import helios_agent
from helios_agent.config import Config, load
from helios_agent.config.kinds import Section
from helios_agent.errors import ConfigError

SHIPPED = Path(helios_agent.__file__).parents[1] / "config" / "helios.yaml"
SMALLEST = "games: {powerball: {}}\n"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write a configuration file and return its path."""

    def at(text: str) -> Path:
        path = tmp_path / "helios.yaml"
        path.write_text(text)
        return path

    return at


def mistakes(path: Path, **environment: str) -> list[str]:
    """Return the lines of what is wrong, the file's folder left out."""
    with pytest.raises(ConfigError) as caught:
        load(path, environment)
    assert caught.value.exit_code == 78
    return [line.replace(f"{path.parent}/", "") for line in str(caught.value).splitlines()]


def test_the_shipped_file_is_valid_by_itself() -> None:
    config = load(SHIPPED, {})
    assert list(config.games) == ["powerball"]
    assert [feed.name for feed in config.games["powerball"].feeds] == ["texas", "new-york"]
    assert {s.action for s in config.schedules} == {
        "ingest",
        "forecast",
        "assess",
        "reflect",
        "backup",
        "verify",
        "compact",
    }
    assert config.database == Path("state/helios.db")
    assert config.backups == Path("state/backups")


def test_what_the_shipped_file_gives_as_defaults_are_the_defaults(write: Any) -> None:
    shipped, bare = load(SHIPPED, {}).model_dump(), load(write(SMALLEST), {}).model_dump()
    for section in Config.model_fields.keys() - {"games", "schedules"}:
        assert shipped[section] == bare[section], section


def test_the_shipped_file_explains_every_setting() -> None:
    text = SHIPPED.read_text()

    def named(model: type[Section]) -> set[str]:
        names = set(model.model_fields)
        for field in model.model_fields.values():
            for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if isinstance(kind, type) and issubclass(kind, Section):
                    names |= named(kind)
        return names

    unexplained = {name for name in named(Config) if not re.search(rf"\b{name}\b", text)}
    assert unexplained == set()
    assert len(named(Config)) > 60


def test_durations_are_seconds_or_text(write: Any) -> None:
    text = (
        SMALLEST
        + "feeds: {timeout: 7, retry_first: 1m30s, retry_limit: 1h30m}\ndecisions: {backup_after: 1.5d}\n"
    )
    config = load(write(text), {})
    assert (config.feeds.timeout, config.feeds.retry_first, config.feeds.retry_limit) == (7, 90, 5400)
    assert config.decisions.backup_after == 129_600


def test_an_empty_file_is_told_what_it_lacks(write: Any) -> None:
    assert mistakes(write("")) == ["defaults: games: is missing"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log: {level: LOUD}", "2: log.level: 'LOUD': expected 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        (
            "http:\n  port: eighty",
            "3: http.port: 'eighty': expected a valid integer, unable to parse string as an integer",
        ),
        ("http: {port: 99999}", "2: http.port: 99999: expected less than or equal to 65535"),
        ("http: {port: yes}", "2: http.port: True: true and false (yes, no, on, off) mean nothing here"),
        (
            "learning: {search: {cpu: 2h}}",
            "1: configuration: learning.search.cpu is 7200 s, and work.cpu, which ends a job, 7200 s: a sea",
        ),
        ("work: {engine: ray}", "2: work: engine is ray: name the cluster in work.ray.address"),
        (
            "work: {ray: {address: 'https://head'}}",
            "2: work.ray.address: 'https://head': a cluster is named like "
            '"ray://host:10001" or, from one of its nodes, "host:6379"',
        ),
        (
            "http: {prot: 1}",
            "2: http.prot: there is no such setting; known here: host, port, hosts, public_url, token_file",
        ),
        (
            "htpp: {port: 1}",
            "2: htpp: there is no such setting; known here: paths, log, http, games, feeds, ",
        ),
        ("http: 8080", "2: http: 8080: expected a valid dictionary or instance of Http"),
        ("http: {port: 1}\nhttp: {port: 1}", "3: http: is given twice"),
        ("http: {port: 1, port: 2}", "2: http.port: is given twice"),
        ("http: {host: 0.0.0.0}", "2: http: host 0.0.0.0 is reachable from other machines: set token_file"),
        ("paths: {state: [a]}", "2: paths.state: Input is not a valid path"),
        ("paths: {state: 2026-13-45}", "2: paths.state: '2026-13-45': not valid YAML"),
        ("paths: {state: !!int many}", "2: paths.state: 'many': not valid YAML"),
        (
            "feeds: {timeout: 5 minutes}",
            """2: feeds.timeout: '5 minutes': a duration is written like "90s", "15m",""",
        ),
        ("feeds: {timeout: 0}", "2: feeds.timeout: 0: expected greater than 0"),
        ("feeds: {retry_limit: .inf}", "2: feeds.retry_limit: inf: expected a finite number"),
        ("feeds: {retry_first: .nan}", "2: feeds.retry_first: nan: expected a finite number"),
        (
            "learning: {network: {hidden: 100}}",
            "2: learning.network: hidden (100) must be a multiple of heads (8)",
        ),
        (
            "learning:\n  training:\n    epochs: 0",
            "4: learning.training.epochs: 0: expected greater than or equal to 1",
        ),
        (
            "learning: {training: {validation: 0.000000001}}",
            "2: learning.training.validation: 1e-09: expected greater than or equal to 0.01",
        ),
        (
            "decisions: {autonomy: {trian: act}}",
            "2: decisions.autonomy.trian: 'trian': expected 'ingest', 'train', 'train-warm'",
        ),
        (
            "decisions: {autonomy: {train: ask}}",
            "2: decisions.autonomy.train: 'ask': expected 'observe', 'propose' or 'act'",
        ),
        (
            "webhooks: {endpoints: [{name: A, url: 'https://x', events: [a.b], secret_file: s}]}",
            "2: webhooks.endpoints.0.name: 'A': String should match pattern",
        ),
        (
            "webhooks: {endpoints: [{name: a, url: x, events: [a.b], secret_file: s}]}",
            "2: webhooks.endpoints.0.url: 'x': expected a valid URL",
        ),
        (
            "webhooks: {endpoints: [{name: a, url: 'https://x', events: [], secret_file: s}]}",
            "2: webhooks.endpoints.0.events: Tuple should have at least 1 item",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_name_value_and_what_was_expected(
    text: str, expected: str, write: Any
) -> None:
    found = mistakes(write(SMALLEST + text + "\n"))
    assert len(found) == 1
    assert found[0].startswith(f"helios.yaml:{expected}")


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ('cron: "61 * * * *"', "schedules.0.cron: '61 * * * *': Error validating expression '61'"),
        ('cron: "* * * *"', "schedules.0.cron: '* * * *': a cron line has 5 fields"),
        (
            'cron: "0 0 * * 8"',
            "schedules.0.cron: '0 0 * * 8': week-day '8' is neither 0 to 7 (0 and 7 are Sunday)",
        ),
        ('cron: "0 0 * * tues"', "schedules.0.cron: '0 0 * * tues': week-day 'tues' is neither"),
        ('cron: "0 0 * * *", every: 1h', "schedules.0: a schedule needs either cron or every, not both"),
        ("catch_up: all", "schedules.0: a schedule needs either cron or every, not both"),
        ("every: 59s", "schedules.0: every is 59 s; the shortest is 60 s"),
        (
            "every: 1h, timezone: Mars/Phobos",
            "schedules.0.timezone: 'Mars/Phobos': a time zone is named as in the IANA",
        ),
        ("every: 1h, catch_up: some", "schedules.0.catch_up: 'some': expected 'all', 'latest' or 'none'"),
        (
            "every: 1h, game: keno",
            "schedules.0.game: 'keno': expected 'powerball', 'megamillions' or 'simulated'",
        ),
        (
            "every: 1h, crn: x",
            "schedules.0.crn: there is no such setting; known here: name, action, game, cron,",
        ),
        ("every: 1h, max_age: 0", "schedules.0.max_age: 0: expected greater than or equal to 1"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(schedule: str, expected: str, write: Any) -> None:
    found = mistakes(write(SMALLEST + f"schedules:\n  - {{name: a, action: ingest, {schedule}}}\n"))
    assert len(found) == 1
    assert found[0].startswith(f"helios.yaml:3: {expected}")


@pytest.mark.parametrize(
    ("section", "item"),
    [
        ("schedules", "{name: a, action: ingest, every: 1h}"),
        ("webhooks:\n  endpoints", "{name: a, url: 'https://x', events: [a.b], secret_file: s}"),
        ("games:\n  megamillions:\n    feeds", "{name: a, url: 'https://x', kind: texas}"),
    ],
)
def test_a_name_given_twice_is_named(section: str, item: str, write: Any) -> None:
    games = "" if section.startswith("games") else SMALLEST
    found = mistakes(write(f"{games}{section}: [{item}, {item}]\n"))
    assert len(found) == 1
    assert found[0].endswith(": names must differ; used more than once: a")


MACHINE = "name: machine, kind: simulated, machine"


@pytest.mark.parametrize(
    ("game", "feed", "expected"),
    [
        (
            "powerball",
            "name: a, kind: rss",
            "kind: 'rss': expected 'texas', 'socrata', 'file' or 'simulated'",
        ),
        ("powerball", "name: a, kind: texas", "a feed of kind texas needs url, and nothing else of"),
        ("powerball", "name: a, kind: file, url: 'https://x'", "a feed of kind file needs path, and nothing"),
        ("simulated", "name: a, kind: simulated, path: x", "a feed of kind simulated needs machine, and"),
        ("simulated", MACHINE + ": {log_sd: -1}", "machine.log_sd: -1: expected greater than or equal to 0"),
        (
            "simulated",
            MACHINE + ": {weights: {36: 2}}",
            "machine.weights.36: '36': expected less than or equal",
        ),
        ("simulated", MACHINE + ": {weights: {1: -2}}", "machine.weights.1: -2: expected greater than or"),
        ("simulated", MACHINE + ": {bias: 2}", "machine.bias: there is no such setting; known here: seed"),
        (
            "simulated",
            MACHINE + f": {{weights: {{{', '.join(f'{ball}: 0' for ball in range(1, 27))}}}}}",
            "machine: more than 25 balls never come",
        ),
    ],
)
def test_a_feed_that_cannot_tell_of_draws_is_refused(game: str, feed: str, expected: str, write: Any) -> None:
    (found,) = mistakes(write(f"games: {{{game}: {{feeds: [{{{feed}}}]}}}}\n"))
    assert found.startswith(f"helios.yaml:1: games.{game}.feeds.0")
    assert expected in found


def test_a_real_game_has_no_simulated_draws(write: Any) -> None:
    (found,) = mistakes(write(f"games: {{powerball: {{feeds: [{{{MACHINE}: {{}}}}]}}}}\n"))
    assert found.endswith("feed machine of powerball is simulated: only game simulated may have it")


def test_every_mistake_is_told_at_once(write: Any) -> None:
    text = """\
http: {port: -1, hst: x}
games: {lotto: {}, powerball: {}}
log: {level: LOUD, level: INFO}
decisions: {retrain_after_draws: 0}
schedules:
  - {name: a, action: ingst, every: 1h}
  - {name: b, action: ingest, cron: "x * * * *"}
"""
    found = mistakes(write(text), HELIOS_LEARNING__SEED="-1", HELIOS_HTPP__PORT="1")
    assert [line.split(": ")[:2] for line in found] == [
        ["helios.yaml:3", "log.level"],
        ["helios.yaml:1", "http.port"],
        ["helios.yaml:1", "http.hst"],
        ["helios.yaml:2", "games.lotto"],
        ["environment HELIOS_LEARNING__SEED", "learning.seed"],
        ["helios.yaml:4", "decisions.retrain_after_draws"],
        ["helios.yaml:6", "schedules.0.action"],
        ["helios.yaml:7", "schedules.1.cron"],
        ["environment HELIOS_HTPP__PORT", "htpp"],
    ]


def test_the_environment_has_the_last_word_and_its_values_are_yaml(write: Any) -> None:
    config = load(
        write(SMALLEST + "http: {port: 1000, hosts: [a]}\nlog: {level: ERROR}\n"),
        {
            "HELIOS_HTTP__PORT": "2000",
            "PORT": "3000",
            "HELIOS_HTTP__HOSTS": "[b, c]",
            "HELIOS_LEARNING__TRAINING__EPOCHS": "20",
            "HELIOS_FEEDS__TIMEOUT": "1m",
            "HELIOS_GAMES__POWERBALL__FEEDS": "[{name: x, kind: texas, url: 'http://127.0.0.1/x'}]",
            "HELIOS_PATHS__STATE": "2026-13-45",
            "OTHER_HTTP__PORT": "4000",
        },
    )
    assert config.http.port == 2000
    assert config.http.hosts == ("b", "c")
    assert config.log.level == "ERROR"
    assert config.learning.training.epochs == 20
    assert config.feeds.timeout == 60
    assert config.games["powerball"].feeds[0].name == "x"
    assert config.paths.state == Path("2026-13-45")


def test_port_alone_sets_the_port_as_hosting_platforms_expect(write: Any) -> None:
    path = write(SMALLEST + "http: {port: 1000}\n")
    assert load(path, {"PORT": "3000"}).http.port == 3000
    assert mistakes(path, PORT="many") == [
        "environment PORT: http.port: 'many': expected a valid integer, unable to parse string as an integer"
    ]


def test_a_list_cannot_be_changed_in_part_from_the_environment_and_the_variable_is_blamed(write: Any) -> None:
    path = write(SMALLEST + "schedules: [{name: a, action: ingest, every: 1h}]\n")
    found = mistakes(path, HELIOS_SCHEDULES__0__ENABLED="false")
    assert found == ["environment HELIOS_SCHEDULES__0__ENABLED: schedules: expected a valid tuple"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http:\n  port: [1,\nlog: {}\n", r"helios\.yaml:4: not valid YAML: did not find expected"),
        (
            "http:\n\tport: 1\n",
            r"helios\.yaml:2: not valid YAML: found character that cannot start any token",
        ),
        ("a: 1\n---\nb: 2\n", r"helios\.yaml:2: not valid YAML: but found another document"),
        ("- a\n", r"helios\.yaml:1: the file must be a mapping of sections, not \['a'\]"),
        ("http: *nowhere\n", r"helios\.yaml:1: not valid YAML: found undefined alias"),
        ("http: &it {port: *it}\n", r"helios\.yaml: not valid YAML: a value contains itself"),
        ("http: {port: \x01}\n", r"helios\.yaml: not valid YAML: "),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line(text: str, expected: str, write: Any) -> None:
    found = mistakes(write(text))
    assert len(found) == 1 or "\x01" in text
    assert re.match(expected, found[0])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert mistakes(tmp_path / "none.yaml")[0].startswith("none.yaml: the configuration cannot be read: ")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert mistakes(tmp_path / "binary.yaml")[0].startswith("binary.yaml: the configuration cannot be read: ")


def test_a_secret_written_where_it_does_not_belong_is_not_repeated(write: Any) -> None:
    secret = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
    text = f"""\
games: {{powerball: {{feeds: [{{name: a, kind: texas, url: "ftp://me:{secret}@x"}}]}}}}
http: {{token: {secret}, token_file: [{secret}]}}
webhooks:
  endpoints:
    - {{name: a, url: "https://x", events: [a.b], secret: {secret}}}
    - {{name: a, url: "https://x", events: 1, secret_file: {{value: {secret}}}}}
"""
    found = "\n".join(mistakes(write(text)))
    assert "webhooks.endpoints.0.secret: there is no such setting" in found
    assert "http.token: there is no such setting" in found
    assert "'ftp://…@x'" in found
    assert secret not in found


def test_a_configuration_cannot_be_changed(write: Any) -> None:
    config = load(write(SMALLEST), {})
    with pytest.raises(ValueError, match="frozen"):
        config.http.port = 1  # type: ignore[misc]


def test_a_host_that_others_reach_is_accepted_with_a_token(write: Any) -> None:
    text = SMALLEST + "http: {host: 0.0.0.0, token_file: /run/secrets/token}\n"
    assert load(write(text), {}).http.token_file == Path("/run/secrets/token")


def test_the_file_and_the_model_name_the_same_sections() -> None:
    assert list(yaml.safe_load(SHIPPED.read_text())) == list(Config.model_fields)
