"""`python -m training`: the same as `vae-lab`; nothing else."""

from training.commands.lab import main

if __name__ == "__main__":
    main()
