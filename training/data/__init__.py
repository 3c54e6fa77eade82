"""Data sets: where they are, how they are read, how they are split."""
