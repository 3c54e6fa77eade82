"""Scale out: batches of files over processes or machines, and the service on other engines."""
