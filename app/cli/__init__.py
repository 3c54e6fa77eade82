"""The command `vae`."""
