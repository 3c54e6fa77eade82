"""Run `vae-lab` as `python -m training`."""

from training.commands.lab import main

if __name__ == "__main__":
    main()
