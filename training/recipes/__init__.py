"""Recipes: what is trained and how, as files and as choices for a folder of pictures."""
