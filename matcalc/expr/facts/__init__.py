"""What is known of a node from its structure and the declared properties: true, false or unknown."""

from .algebra import FACTS
from .inference import facts_of, is_definite, is_nonnegative, is_positive, known

__all__ = ["FACTS", "facts_of", "is_definite", "is_nonnegative", "is_positive", "known"]
