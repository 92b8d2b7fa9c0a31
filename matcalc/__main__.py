"""``python -m matcalc`` is the command ``matcalc``."""

from .cli import entry

if __name__ == "__main__":
    entry()
