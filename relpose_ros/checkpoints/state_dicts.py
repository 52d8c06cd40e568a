"""From what a publisher saved to a plain state dict, and which registered network it is of."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from relpose_ros.checkpoints.format import describe_difference
from relpose_ros.errors import CheckpointError, ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor

WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
NESTS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Under which names checkpoints keep their state dict."""

DEPTH = 8
"""Nests deeper than this are not looked into: no publisher makes them, and a dict can hold itself."""
MISFIT = (LookupError, ValueError)
"""What `Network.parameters_from` raises for shapes of another class."""

Shapes = dict[str, tuple[int, ...]]


def extract_state_dict(content: Any, what: str, unused: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The state dict in a checkpoint's nested dicts, with the names of wrappers stripped.

    Tensors whose names then begin with one of `unused` are left out, whatever they are. Raises
    CheckpointError, naming `what`, if there is none, or if a tensor in it is not dense, finite numbers
    (sparse, quantised, without data, NaN).
    """
    state = _find_state(content)
    if state is None:
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise CheckpointError(
            f"{what}: expected a state dict (names and tensors), bare or under one of {', '.join(NESTS)}; "
            f"found {found or 'an empty dict'}"
        )
    state = {name: value for name, value in strip_wrappers(state).items() if not name.startswith(unused)}
    if unusable := [name for name, value in state.items() if not _is_dense(value)]:
        raise CheckpointError(
            f"{what}: expected dense tensors of finite numbers, found others: {', '.join(unusable[:6])}"
        )
    return state


def strip_wrappers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without `module.` and the like, where all of them have it."""
    names = dict(state)
    while prefix := next((p for p in WRAPPERS if names and all(n.startswith(p) for n in names)), None):
        names = {name.removeprefix(prefix): value for name, value in names.items()}
    return names


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    """Name -> shape."""
    return {name: tuple(value.shape) for name, value in state.items()}


def recognise(shapes: Shapes, system: str, hint: str | None = None) -> tuple[str, dict[str, Any]]:
    """The registered network of `system` that has exactly these tensors, and its further parameters.

    Of several variants of a class the one is taken that needs the fewest further parameters, the first of
    those; between classes `hint` decides. Raises CheckpointError that says what the closest network lacks
    or has too many, or which ones cannot be told apart.
    """
    from relpose_ros.networks.registry import ARCHITECTURES

    fitting: dict[str, dict[str, Any]] = {}
    others: list[tuple[int, str, str]] = []
    for name in (n for n, a in ARCHITECTURES.items() if a.system == system):
        try:
            told, expected = outline(name, shapes)
        except (*MISFIT, ConfigurationError):
            continue
        if difference := describe_difference(expected, shapes):
            others.append((_distance(expected, shapes), name, difference))
        else:
            fitting[name] = told
    if hint in fitting:
        return str(hint), fitting[str(hint)]
    classes = {ARCHITECTURES[name].factory for name in fitting}
    if len(classes) == 1:
        name = min(fitting, key=lambda name: len(fitting[name]))
        return name, fitting[name]
    if fitting:
        raise CheckpointError(
            f"these tensors are those of {' and of '.join(fitting)}, which differ in what they do with them; "
            "say which one it is: --network NAME"
        )
    if not others:
        raise CheckpointError(f"the tensors resemble no network of {system}")
    _, closest, difference = min(others)
    raise CheckpointError(
        f"the tensors are of no network of {system}; the closest is {closest}: {difference}"
    )


def outline(
    name: str, shapes: Shapes, parameters: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], Shapes]:
    """The parameters that `shapes` tell of the network `name`, and all the shapes it then has.

    `parameters` are given besides. Raises one of MISFIT if the shapes are not of that class,
    ConfigurationError for an unknown network or parameter.
    """
    from relpose_ros.networks.registry import find_architecture, load_class

    cls = load_class(name)
    defaults = {p.name: p.default for p in inspect.signature(cls).parameters.values()}
    registered = {**defaults, **find_architecture(name).parameters}
    told = {k: v for k, v in cls.parameters_from(shapes).items() if k not in registered or registered[k] != v}
    return told, shapes_of(empty_state(name, {**told, **(parameters or {})}))


def empty_state(name: str, parameters: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict of the network `name` with these `parameters`: shapes and types without memory."""
    import torch

    from relpose_ros.networks.registry import build_network

    with torch.device("meta"):
        state: dict[str, Tensor] = build_network(name, **parameters).state_dict()
    return state


def _distance(expected: Shapes, found: Shapes) -> int:
    """How many tensors differ."""
    return sum(expected.get(name) != found.get(name) for name in expected.keys() | found.keys())


def _is_state(value: Any) -> bool:
    import torch

    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items())
    )


def _is_dense(value: Tensor) -> bool:
    """Whether it holds finite numbers that can be copied, and all of them: a small file can hold a huge
    tensor that repeats one number."""
    import torch

    if value.is_nested or value.layout != torch.strided or value.is_quantized or value.is_meta:
        return False
    if value.is_floating_point() and value.element_size() < 2:  # float8: no arithmetic
        return False
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return False
    return bool(torch.isfinite(value).all())


def _find_state(content: Any, depth: int = DEPTH) -> Mapping[str, Tensor] | None:
    if _is_state(content):
        return content  # type: ignore[no-any-return]
    if not isinstance(content, Mapping) or not depth:
        return None
    for name in NESTS:
        if name in content and (state := _find_state(content[name], depth - 1)) is not None:
            return state
    return None
