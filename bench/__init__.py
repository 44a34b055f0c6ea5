"""What the bot's parts cost, measured: `python -m bench`, or `make bench`. Figures come from the modules beside this.

A module is added by adding a file with a function `measure() -> Iterator[Figure]`; people choose it by its name. Files
that begin with an underscore belong to one of them.
"""
