"""One recipe a system: what is trained on what, and how it is tested. Adding one is a line here."""

from __future__ import annotations

RECIPES: dict[str, str] = {
    "one_to_one": "relpose_training.recipes.one_to_one.recipe:OneToOneRecipe",
}
"""Name -> "module:Class" of its `Recipe`, imported when it is used: `relpose train NAME`."""

TESTS: dict[str, str] = {
    "one_to_one": "relpose_training.recipes.one_to_one.command",
}
"""Name -> module with HELP, EXAMPLES, `add_arguments(parser)` and `run(args)`: `relpose test NAME`."""
