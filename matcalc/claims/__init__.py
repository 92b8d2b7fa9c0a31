"""Claims about derivatives: right or wrong, and what is wrong with them."""

from .report import ClaimReport, Counterexample, Fault
from .verdict import check

__all__ = ["ClaimReport", "Counterexample", "Fault", "check"]
