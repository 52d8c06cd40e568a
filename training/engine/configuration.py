"""Typed configuration: a dataclass per recipe, from YAML and `key=value`, refused before anything loads."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from relpose_ros.errors import ConfigurationError

STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True, arbitrary_types_allowed=False)
"""Every configuration is a pydantic dataclass of this kind; the docstring under a field is its help."""

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]

NUMBER = re.compile(r"[-+]?\d+\.?\d*[eE][-+]?\d+")

OPERATION = frozenset(
    {"out", "backup", "device", "workers", "log_every", "save_every", "validate_every", "deterministic"}
)
"""How a run is carried out, not what it computes: may change when it goes on."""

C = TypeVar("C", bound="EngineConfig")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EngineConfig:
    """What every recipe's configuration has."""

    out: Path
    """Folder of this run: state, checkpoints, metrics. A run that is there already is continued."""
    seed: Count = 0
    """Everything random follows from it."""
    device: Literal["auto", "cpu", "cuda", "xla", "xla-spmd"] = "auto"
    """Where to compute; auto takes a GPU where there is one. xla is a TPU: one process a core, or SPMD."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 computes in mixed precision; weights and optimizer stay in float32."""
    steps: Positive = 1000
    """Optimizer steps in all."""
    batch_size: Positive = 8
    """Samples in a step, on each device."""
    accumulate: Positive = 1
    """Batches whose gradients are added up before a step."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Which optimizer."""
    learning_rate: Rate = 1e-3
    """After the warm-up."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD; the first beta of Adam and AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled with adamw, coupled (L2) otherwise."""
    schedule: Literal["constant", "cosine", "linear", "step", "exponential"] = "constant"
    """How the learning rate goes on after the warm-up; cosine and linear end at zero."""
    warmup_steps: Count = 0
    """Steps in which the learning rate rises linearly from zero."""
    step_size: Positive = 1000
    """Of the schedules `step` and `exponential`: in so many steps the rate is multiplied by `step_factor`, at
    once or little by little."""
    step_factor: Share = 0.5
    """Of the schedules `step` and `exponential`."""
    step_start: Count = 0
    """Of the schedules `step` and `exponential`: step from which the rate falls."""
    clip_norm: Rate | None = None
    """Largest norm of all gradients together."""
    ema: Share | None = None
    """Decay of the moving average of the weights, which is then validated and saved; as 0.999."""
    workers: Count = 0
    """Processes that load data; any number gives the same samples. 0 loads in a thread of this process."""
    deterministic: bool = False
    """On a GPU: only algorithms that give the same bits every time. Slower; a CPU always does."""
    backup: str | None = None
    """Folder or bucket (gs://, s3://) for a copy of the run at every save; a new machine goes on from it."""
    save_every: Positive = 200
    """Steps between saved states, from which a killed run goes on."""
    validate_every: Positive = 500
    """Steps between validations; the best checkpoint is chosen by them."""
    log_every: Positive = 20
    """Steps between lines in metrics.jsonl."""

    @property
    def can_be_longer(self) -> bool:
        """Whether its steps are the same ones however many there are."""
        return self.schedule in ("constant", "step", "exponential")


def load_config(cls: type[C], file: str | Path | None = None, overrides: Sequence[str] = ()) -> C:
    """A configuration from a YAML file and `key=value` words, which win.

    Raises ConfigurationError naming every key or value that does not fit, before anything else is loaded.
    """
    schema = _properties(cls)
    from_file = {key: _as_meant(value, schema.get(key, {})) for key, value in _read_yaml(file).items()}
    values = {**from_file, **dict(_parse_override(word, schema) for word in overrides)}
    try:
        # By way of JSON: there `strict` refuses true for 1 and "12" for 12, and still takes text for a path.
        return TypeAdapter(cls).validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise ConfigurationError(_explain(cls, error)) from None


def dump_config(config: EngineConfig) -> dict[str, Any]:
    """A configuration as plain values that JSON and YAML can hold."""
    plain: dict[str, Any] = TypeAdapter(type(config)).dump_python(config, mode="json")
    return plain


def config_hash(config: EngineConfig) -> str:
    """Identifies what is trained: sixteen digits.

    They do not depend on OPERATION, nor on the number of steps where nothing else does: such a run can be
    made longer.
    """
    left_out = OPERATION | ({"steps"} if config.can_be_longer else set())
    values = {key: value for key, value in dump_config(config).items() if key not in left_out}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def check_used(
    config: EngineConfig, key: str, chosen: Sequence[str], users: Mapping[str, Sequence[str]]
) -> None:
    """Raises ConfigurationError for a setting that nothing `chosen` uses, and that would be ignored.

    `users`: setting -> the values of `key` that use it; the last of `chosen` is the one that messages name.
    """
    unset = {field.name: field.default for field in fields(config)}
    for name, takers in users.items():
        if not set(chosen) & set(takers) and getattr(config, name) != unset[name]:
            raise ConfigurationError(
                f"{name} is no setting of {key}={chosen[-1]}, but of: {', '.join(takers)}; leave it out "
                f"(or {name}={json.dumps(unset[name])})"
            )


def describe_config(cls: type[EngineConfig]) -> list[tuple[str, str, str]]:
    """Rows (key=default, kind, help) of every field."""
    properties = _properties(cls)
    return [
        (
            f"{field.name}={_default(field.default)}",
            _kind(properties[field.name]),
            _meaning(cls, field.name),
        )
        for field in fields(cls)
    ]


def _meaning(cls: type[EngineConfig], name: str) -> str:
    """The docstring under a field, in the class that has it: pydantic reads those of one class alone."""
    for base in cls.__mro__:
        field = base.__dict__.get("__pydantic_fields__", {}).get(name)
        if field is not None and field.description:
            return " ".join(field.description.split())
    return ""


def _default(value: Any) -> str:
    if value is MISSING:
        return "(needed)"
    return json.dumps(value) if value is None or isinstance(value, bool | list | tuple) else str(value)


def _properties(cls: type[EngineConfig]) -> dict[str, dict[str, Any]]:
    properties: dict[str, dict[str, Any]] = TypeAdapter(cls).json_schema()["properties"]
    return properties


def _kind(schema: Mapping[str, Any]) -> str:
    """`integer > 0`, `a|b|c` and the like."""
    if "enum" in schema:
        return "|".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    bounds = [f"{sign} {schema[name]:g}" for name, sign in signs.items() if name in schema]
    kind = str(schema.get("const", schema.get("format", schema.get("type", ""))))
    return " ".join([kind, *bounds])


def _read_yaml(file: str | Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        content = yaml.safe_load(Path(file).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"{file}: expected a YAML file of key: value, cannot read it: {error}"
        ) from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file}: expected key: value lines, found {type(content).__name__}")
    return content


def _parse_override(word: str, schema: Mapping[str, Mapping[str, Any]]) -> tuple[str, Any]:
    key, mark, value = word.partition("=")
    if not mark or not key.isidentifier():
        raise ConfigurationError(f"expected key=value, got {word!r}")
    field = schema.get(key, {})
    if field.get("type") == "string" or value in field.get("enum", ()):
        return key, value  # out=2026 is a folder, schedule=off would be a word
    try:
        return key, _as_meant(yaml.safe_load(value), field)
    except yaml.YAMLError:
        raise ConfigurationError(f"{word!r}: {value!r} is no YAML value") from None


def _as_meant(value: Any, field: Mapping[str, Any]) -> Any:
    """YAML takes 1e-3 (without a dot) for text; nobody who writes it does."""
    if isinstance(value, list):
        return [_as_meant(part, field.get("items", {})) for part in value]
    if not isinstance(value, str) or field.get("type") == "string":
        return value
    return float(value) if NUMBER.fullmatch(value) else value


def _explain(cls: type[EngineConfig], error: ValidationError) -> str:
    known = [field.name for field in fields(cls)]
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"][:1])
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            lines.append(f"unknown key {key!r}; {hint}")
        elif problem["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
            lines.append(f"{key} is needed: {key}=...")
        else:
            lines.append(f"{key}={json.dumps(problem['input'], default=str)}: {problem['msg']}")
    return "\n".join(dict.fromkeys(lines))
