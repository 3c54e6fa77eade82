"""The command `vae-lab`."""
