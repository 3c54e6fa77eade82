"""`python -m app`: the same as `vae`."""

from app.cli import main

if __name__ == "__main__":
    main()
