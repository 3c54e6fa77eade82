"""Recipes: what is trained and how, read from files or chosen for a folder of pictures."""
