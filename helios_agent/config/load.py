"""Read the YAML and the environment into a `Config`, or say everything that is wrong at once."""

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from helios_agent.config.model import Config
from helios_agent.errors import ConfigError

PREFIX = "HELIOS_"
Location = tuple[str | int, ...]

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NO_SETTING = re.compile(r"\[key\]|(function-|constrained-|json-|literal|float|int|str|nullable|none)\b.*")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")
_SHOWN = (str, int, float, date, type(None))  # a mapping or list given for a value is too long to be shown


class _Unreadable:
    """Stands for a value that was found wrong already."""


class _Document:
    """Plain values, and for each the place it was written: "file:line" or an environment variable."""

    def __init__(self) -> None:
        self.values: Any = {}
        self.origin: dict[Location, str] = {}
        self.mistakes: list[str] = []

    def read(self, path: Path) -> None:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: the configuration cannot be read: {error}") from error
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"{path}: not valid YAML: {error}") from error
        try:
            self.values = {} if node is None else self._build(node, (), str(path))
        except RecursionError:
            raise ConfigError(f"{path}: not valid YAML: a value contains itself") from None
        if not isinstance(self.values, dict):
            raise ConfigError(f"{path}:1: the file must be a mapping of sections, not {self.values!r}")

    def _build(self, node: yaml.Node, place: Location, file: str) -> Any:
        self.origin[place] = f"{file}:{node.start_mark.line + 1}"
        if isinstance(node, yaml.MappingNode):
            mapping: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value)
                if key in mapping:
                    self.mistakes.append(
                        f"{file}:{key_node.start_mark.line + 1}: {_dotted((*place, key))}: is given twice"
                    )
                mapping[key] = self._build(value_node, (*place, key), file)
                self.origin[(*place, key)] = f"{file}:{key_node.start_mark.line + 1}"
            return mapping
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*place, i), file) for i, item in enumerate(node.value)]
        try:
            return _scalar(node)
        except (yaml.YAMLError, ValueError):
            self.mistakes.append(f"{self.origin[place]}: {_dotted(place)}: {node.value!r}: not valid YAML")
            return _Unreadable()

    def overlay(self, environment: Mapping[str, str]) -> None:
        """Lay HELIOS_<SECTION>__<FIELD> over the file; PORT, where platforms set it, is http.port."""
        settings = {k: v for k, v in environment.items() if k.startswith(PREFIX)}
        if "PORT" in environment and "HELIOS_HTTP__PORT" not in settings:
            settings["PORT"] = environment["PORT"]
        for variable, text in sorted(settings.items()):
            place = ("http", "port") if variable == "PORT" else _place(variable)
            try:
                value = yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader)
            except (yaml.YAMLError, ValueError):
                value = text
            holder = self.values
            for length, key in enumerate(place[:-1], start=1):
                if not isinstance(holder.get(key), dict):
                    holder[key] = {}
                    self.origin[place[:length]] = f"environment {variable}"
                holder = holder[key]
            holder[place[-1]] = value
            self.origin[place] = f"environment {variable}"

    def where(self, location: Location) -> str:
        """Return the origin of the closest thing that was written at or above this location."""
        for length in range(len(location), -1, -1):
            if location[:length] in self.origin:
                return self.origin[location[:length]]
        return "defaults"


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """Read and check the configuration at `path`, overridden by `environment`.

    Raises ConfigError whose message has one line for each mistake:
    `origin: setting: value: what was expected`.
    """
    document = _Document()
    document.read(path)
    document.overlay(environment)
    return _checked(document, document.values)


def load_policy(path: Path, config: Config) -> Config:
    """Return a configuration with the sections that stand in the file at `path`, `decisions` above all.

    Raises ConfigError as `load` does.
    """
    document = _Document()
    document.read(path)
    return _checked(document, {**config.model_dump(), **document.values})


def _checked(document: _Document, values: Any) -> Config:
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        document.mistakes.extend(
            _explain(document, dict(item))
            for item in error.errors()
            if not isinstance(item["input"], _Unreadable)
        )
        config = None
    if document.mistakes or config is None:
        raise ConfigError("\n".join(document.mistakes))
    return config


def _explain(document: _Document, error: dict[str, Any]) -> str:
    location: Location = error["loc"]
    origin = document.where(location)
    location = tuple(p for p in location if isinstance(p, int) or not _NO_SETTING.fullmatch(p))
    if error["type"] == "extra_forbidden":
        return f"{origin}: {_dotted(location)}: there is no such setting{_near(location)}"
    if error["type"] == "missing":
        return f"{origin}: {_dotted(location)}: is missing"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    expected = "expected " if error["msg"].startswith("Input should be ") else ""
    value = f"{error['input']!r}: " if isinstance(error["input"], _SHOWN) else ""
    value = _PASSWORD.sub("…@", value)
    return f"{origin}: {_dotted(location) or 'configuration'}: {value}{expected}{message}"


def _near(location: Location) -> str:
    """Return a hint naming the settings that do exist beside a misspelt one."""
    model: Any = Config
    for part in location[:-1]:
        fields = getattr(model, "model_fields", None)
        if fields is None:  # a list or a mapping of sections
            model = next((kind for kind in get_args(model) if hasattr(kind, "model_fields")), None)
        else:
            model = fields[part].annotation if part in fields else None
            if type(None) in get_args(model):  # a section that may be left out
                model = get_args(model)[0]
    names = getattr(model, "model_fields", None)
    return f"; known here: {', '.join(names)}" if names else ""


def _place(variable: str) -> Location:
    return tuple(part.lower() for part in variable.removeprefix(PREFIX).split("__"))


def _dotted(location: Location) -> str:
    return ".".join(str(part) for part in location)


def _scalar(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    finally:
        loader.dispose()
