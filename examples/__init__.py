"""Recipes: each folder shows the service inside one tool; `run_recipe` runs one against a live service."""
