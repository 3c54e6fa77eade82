"""What each operation does, on arrays."""
