"""`python -m jaxvision`: the scripts of `experiments/` as commands."""

from jaxvision.command import main

if __name__ == "__main__":
    main()
