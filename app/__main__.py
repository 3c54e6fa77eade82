"""`python -m app`: the same as `vae`."""

from app.cli.commands import main

if __name__ == "__main__":
    main()
