"""A trained model on disk: its schema, saving, loading, and a folder of them."""
