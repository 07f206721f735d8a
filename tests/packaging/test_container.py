"""Dockerfile, compose.yaml and .dockerignore: what they promise, read from the files themselves."""

import json
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from helios_agent.config import load

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TOKEN = "a token for this test alone"

Instruction = tuple[str, str]


@pytest.fixture(scope="module")
def stages(root: Path) -> list[list[Instruction]]:
    """The instructions of each stage, as (name, arguments); the last stage is what runs."""
    text = re.sub(r"^\s*#.*\n", "", (root / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]
    found: list[list[Instruction]] = []
    for line in lines:
        name, _, arguments = line.strip().partition(" ")
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, arguments.strip()))
    return found


@pytest.fixture(scope="module")
def final(stages: list[list[Instruction]]) -> dict[str, str]:
    """The last stage: each instruction's last arguments."""
    return dict(stages[-1])


@pytest.fixture(scope="module")
def composed(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((root / "compose.yaml").read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def service(composed: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = composed["services"]["helios"]
    return found


def test_the_image_is_built_in_one_stage_and_runs_in_another(stages: list[list[Instruction]]) -> None:
    assert len(stages) == 2
    assert all("-slim" in stage[0][1] for stage in stages)
    assert ("COPY", "--from=build /opt/helios /opt/helios") in stages[-1]


def test_torch_comes_without_cuda_and_everything_in_the_constrained_version(
    stages: list[list[Instruction]],
) -> None:
    arguments = [line for name, line in stages[0] if name == "ARG"]
    installs = [line for name, line in stages[0] if name == "RUN" and "pip install" in line]

    assert arguments == [f"TORCH_INDEX={CPU_INDEX}", "EXTRAS="]
    assert re.search(r"--extra-index-url \$\{TORCH_INDEX\} .* torch$", installs[0])
    assert installs[-1].endswith(' ".${EXTRAS:+[${EXTRAS}]}"')
    assert not any(re.search(r"(-e|--editable)\b", line) for line in installs)
    assert all("-c constraints.txt" in line for line in installs)


def test_the_daemon_does_not_run_as_root(final: dict[str, str], stages: list[list[Instruction]]) -> None:
    uid, _, gid = final["USER"].partition(":")
    made = " ".join(line for name, line in stages[-1] if name == "RUN")

    assert int(uid) >= 1000
    assert int(gid) >= 1000
    assert f"--uid {uid}" in made


def test_signals_reach_the_daemon_itself(final: dict[str, str]) -> None:
    assert json.loads(final["ENTRYPOINT"]) == ["helios"]
    assert json.loads(final["CMD"]) == ["run", "--config", "/etc/helios/helios.yaml"]
    assert final["STOPSIGNAL"] == "SIGTERM"


def test_health_is_asked_of_helios_itself(final: dict[str, str]) -> None:
    _, _, command = final["HEALTHCHECK"].partition(" CMD ")

    assert json.loads(command) == ["helios", "health", "--config", "/etc/helios/helios.yaml"]


def test_state_and_models_are_volumes(final: dict[str, str], service: dict[str, Any]) -> None:
    assert json.loads(final["VOLUME"]) == ["/state", "/models"]
    assert "HELIOS_PATHS__STATE=/state" in final["ENV"]
    assert "HELIOS_PATHS__MODELS=/models" in final["ENV"]
    assert {"state:/state", "models:/models"} <= set(service["volumes"])


def test_everything_that_is_copied_exists_and_is_let_into_the_build(
    root: Path, stages: list[list[Instruction]]
) -> None:
    copied = [
        source
        for stage in stages
        for name, line in stage
        if name == "COPY" and "--from" not in line
        for source in line.split()[:-1]
    ]

    assert copied
    assert [source for source in copied if not (root / source).exists()] == []
    assert [source for source in copied if _ignored(root, source)] == []


@pytest.mark.parametrize("path", [".venv", "state", "models", ".git", "secrets", "tests", ".env"])
def test_what_is_private_or_large_stays_out_of_the_build(root: Path, path: str) -> None:
    assert _ignored(root, path)
    assert _ignored(root, f"{path}/anything")


def test_compiled_python_stays_out_of_the_build(root: Path) -> None:
    assert _ignored(root, "helios_agent/__pycache__")
    assert not _ignored(root, "helios_agent/cli.py")


def test_every_file_of_the_package_that_is_not_python_is_installed_with_it(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    listed = project["tool"]["setuptools"]["package-data"]["helios_agent"]
    patterns = [pattern.removeprefix("**/") for pattern in listed]
    package = root / "helios_agent"
    data = [
        p for p in package.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc") and p.name[0] != "."
    ]

    assert data
    assert [str(p.relative_to(root)) for p in data if not any(fnmatchcase(p.name, g) for g in patterns)] == []


def test_the_container_can_do_nothing_but_its_work(service: dict[str, Any]) -> None:
    assert service["init"] is True
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]  # noqa: S108
    assert service["restart"] == "unless-stopped"


def test_the_container_is_given_longer_than_the_daemon_takes_to_stop(
    root: Path, service: dict[str, Any]
) -> None:
    deadline = load(root / "config/helios.yaml", {}).shutdown.deadline

    assert float(service["stop_grace_period"].removesuffix("s")) > deadline


def test_only_this_machine_reaches_the_port(service: dict[str, Any], final: dict[str, str]) -> None:
    assert service["ports"] == [f"127.0.0.1:{final['EXPOSE']}:{final['EXPOSE']}"]


def test_the_token_comes_from_a_secret_file(composed: dict[str, Any], service: dict[str, Any]) -> None:
    (name,) = service["secrets"]

    assert service["environment"]["HELIOS_HTTP__TOKEN_FILE"] == f"/run/secrets/{name}"
    assert composed["secrets"][name] == {"file": "./secrets/helios-token"}
    assert set(composed["volumes"]) == {"state", "models"}


def test_the_configuration_is_valid_under_the_environment_of_the_container(
    root: Path, service: dict[str, Any], final: dict[str, str], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN, "utf-8")
    of_image = dict(item.split("=", 1) for item in final["ENV"].split())
    environment = of_image | service["environment"] | {"HELIOS_HTTP__TOKEN_FILE": str(token)}

    config = load(root / "config/helios.yaml", environment)

    assert (config.http.host, config.http.port) == ("0.0.0.0", int(final["EXPOSE"]))  # noqa: S104
    assert config.paths.state == Path("/state")


@pytest.fixture(scope="module")
def cluster(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((root / "docs/compose.cluster.yaml").read_text("utf-8"))
    return found


def test_all_nodes_of_the_cluster_and_helios_are_one_image_with_ray(
    root: Path, cluster: dict[str, Any]
) -> None:
    services = cluster["services"]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))

    assert set(services) == {"helios", "head", "worker"}
    assert len({service["image"] for service in services.values()}) == 1
    assert services["helios"]["build"]["args"]["EXTRAS"] in project["project"]["optional-dependencies"]


def test_the_cluster_asks_everybody_for_its_token_and_is_open_to_nobody_else(
    cluster: dict[str, Any], composed: dict[str, Any]
) -> None:
    (secret,) = cluster["secrets"]
    token = f"/run/secrets/{secret}"

    assert secret not in composed["secrets"]
    for node in (cluster["services"]["head"], cluster["services"]["worker"]):
        assert node["environment"].items() >= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token}.items()
        assert node["secrets"] == [secret]
        assert "ports" not in node
        assert node["read_only"] is True
        assert node["cap_drop"] == ["ALL"]
    assert cluster["services"]["helios"]["environment"]["HELIOS_WORK__RAY__TOKEN_FILE"] == token
    assert secret in cluster["services"]["helios"]["secrets"]


def test_helios_finds_the_head_of_the_cluster_where_it_listens(
    root: Path, cluster: dict[str, Any], service: dict[str, Any]
) -> None:
    helios, head, worker = (cluster["services"][name] for name in ("helios", "head", "worker"))
    config = load(root / "config/helios.yaml", service["environment"] | helios["environment"])

    assert config.work.engine == "ray"
    assert config.work.ray is not None
    assert config.work.ray.address == "ray://head:10001"
    assert {"--head", "--ray-client-server-port=10001", "--port=6379"} <= set(head["command"])
    assert "--address=head:6379" in worker["command"]


def _ignored(root: Path, path: str) -> bool:
    """Return whether .dockerignore keeps a path out: the last pattern that matches decides."""
    lines = (root / ".dockerignore").read_text("utf-8").splitlines()
    ignored = False
    for line in (line for line in lines if line and not line.startswith("#")):
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        anywhere = line.removeprefix("!").startswith("**/")
        names = parts if anywhere else ["/".join(parts[: i + 1]) for i in range(len(parts))]
        if any(fnmatchcase(name, pattern) for name in names):
            ignored = not line.startswith("!")
    return ignored
