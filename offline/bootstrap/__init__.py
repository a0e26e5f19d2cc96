"""Sets up everything that `make demo` and `make test` need, inside the project folder.

Standard library only: it runs before the virtual environment exists.
"""
