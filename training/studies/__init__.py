"""Studies of trained models: tables of numbers, and their figures."""
