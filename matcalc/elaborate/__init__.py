"""From syntax to meaning: names, orientation, shapes by unification, inference of undeclared names, and nodes."""

from .declare import Symbol, type_text
from .program import Elaborated, elaborate

__all__ = ["Elaborated", "Symbol", "elaborate", "type_text"]
