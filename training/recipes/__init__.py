"""One recipe a system: what is trained on what, and how it is tested. Adding one is a line here."""

from __future__ import annotations

RECIPES: dict[str, str] = {
    "one_to_one": "relpose_training.recipes.one_to_one.recipe:OneToOneRecipe",
    "scene_coordinates": "relpose_training.recipes.scene_coordinates.recipe:SceneCoordinatesRecipe",
    "scene_cells": "relpose_training.recipes.scene_cells.recipe:SceneCellsRecipe",
    "mid_level": "relpose_training.recipes.mid_level.recipe:MidLevelRecipe",
    "atloc": "relpose_training.recipes.atloc.recipe:AtLocRecipe",
    "cut": "relpose_training.recipes.cut.recipe:CutRecipe",
    "matcher": "relpose_training.recipes.matcher.recipe:MatcherRecipe",
    "retrieval": "relpose_training.recipes.retrieval.recipe:RetrievalRecipe",
    "relpose_gnn": "relpose_training.recipes.relpose_gnn.recipe:RelposeGnnRecipe",
}
"""Name -> "module:Class" of its `Recipe`, imported when it is used: `relpose train NAME`."""

TESTS: dict[str, str] = {
    "one_to_one": "relpose_training.recipes.one_to_one.command",
    "scene_coordinates": "relpose_training.recipes.scene_coordinates.command",
    "atloc": "relpose_training.recipes.atloc.command",
    "matcher": "relpose_training.recipes.matcher.command",
    "retrieval": "relpose_training.recipes.retrieval.command",
    "relpose_gnn": "relpose_training.recipes.relpose_gnn.command",
}
"""Name -> module with HELP, EXAMPLES, `add_arguments(parser)` and `run(args)`: `relpose test NAME`."""
