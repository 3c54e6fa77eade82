"""How a VAE is served: HTTP and commands over `models`. It never imports `training`."""
