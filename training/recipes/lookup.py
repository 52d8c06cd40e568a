"""A recipe by its name, imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import ConfigurationError
from relpose_training.recipes import RECIPES

if TYPE_CHECKING:
    from relpose_training.engine.recipe import Recipe


def find_recipe(name: str) -> type[Recipe[Any]]:
    """The class of a recipe of ours, or of another package's by "module:Class".

    Raises ConfigurationError if there is none of that name.
    """
    place = RECIPES.get(name, name)
    module, mark, attribute = place.partition(":")
    if not mark:
        raise ConfigurationError(
            f"{name!r} is no recipe; there are: {', '.join(RECIPES)} (or your own as module:Class)"
        )
    try:
        found: type[Recipe[Any]] = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(f"{name}: there is no module {error.name!r} on the path") from None
    except AttributeError:
        raise ConfigurationError(f"{name}: module {module} has no {attribute}") from None
    return found
