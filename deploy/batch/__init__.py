"""Score, encode or sample many items into Parquet files by many workers, also after a kill."""
