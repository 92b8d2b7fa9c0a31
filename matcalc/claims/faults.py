"""The faults a claim may have: one row each, with the sentence that is said.

``{part}`` is the term or factor as printed, ``{instead}`` what stands or should stand in its place, ``{factor}`` a
multiple.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .report import Fault

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        # the whole
        "sign": "your result has the wrong sign: it is minus the derivative",
        "factor": "a constant factor is off: your result is {factor} the derivative",
        "size": "your result is {factor} the derivative: a mean and a sum differ by such a factor",
        "scalar": "your result is {factor} the derivative",
        "transpose": "your result is the transpose of the derivative",
        "layout": "your result is the derivative in the {part}, not in the {instead} layout",
        "row": "your result is a row where the {instead} layout has a column",
        "column": "your result is a column where the {instead} layout has a row",
        "axes": "the axes of your result are in another order: {part} instead of {instead}",
        "diagonal": "your result holds only the diagonal of the derivative, which is a matrix",
        "broadcast": "your result has shape {part} and the derivative {instead}: it is right only read as an array "
        "whose entries repeat",
        "identity": "your result is the number in front of the identity: the derivative is {part} I",
        "summed": "your result is the derivative of the sum of the entries of the expression",
        "variable": "your result is the derivative by {part}, not by {instead}",
        "function": "your result is the expression itself, not its derivative",
        "order": "your result is the {part} derivative, not the {instead} one",
        "unstructured": "your result is the derivative for entries that vary independently; within {part} matrices it "
        "is projected on these",
        "structured": "your result is the derivative within {part} matrices; {instead} is not declared as one",
        "handbook": "your result follows the convention 2 G - diag(G) of handbooks for a symmetric {part}, which "
        "counts off-diagonal entries twice; here it is (G + G^T)/2",
        # the chain rule
        "chain": "the chain rule stops short: the derivative of the inner {part}{instead} is missing",
        "extra chain": "the derivative of the inner {part}{instead} is taken twice",
        # terms
        "missing term": "the term {part} is missing",
        "extra term": "the term {part} should not be there",
        "term sign": "the term {part} has the wrong sign",
        "term factor": "the term {part} has a wrong factor: yours is {factor} it",
        "wrong term": "the term {part} should be {instead}",
        "term transpose": "the term {part} is transposed",
        # factors
        "missing transpose": "a transpose is missing: {instead} should be {part}",
        "extra transpose": "a transpose too many: {instead} should be {part}",
        "inverse transpose": "the inverse lacks its transpose: {instead} should be {part}",
        "operand order": "operands are in the wrong order: {part} should change places",
        "entrywise product": "an entrywise product stands for a matrix product: {instead} should be {part}",
        "matrix product": "a matrix product stands for an entrywise product: {instead} should be {part}",
        "missing factor": "the factor {part} is missing",
        "extra factor": "the factor {part} should not be there",
        "missing inverse": "an inverse is missing: {instead} should be {part}",
        "extra inverse": "an inverse too many: {instead} should be {part}",
        "missing function": "the function {part} is missing around {instead}",
        "extra function": "the function {part} should not be there",
        "number": "a number is off: {instead} should be {part}",
        # nothing of the kind
        "assumption": "your result uses what is not declared: it is right only if {part}",
        "domain": "your result is right where it is defined, but it is not defined everywhere the derivative exists",
        "shape": "your result has shape {part}, the derivative has shape {instead}",
        "malformed": "the shapes in your result do not fit: {part}",
        "unknown": "none of the usual faults explains it: the relative error is {factor}, {part}",
    }
)

#: Kinds whose repair is named when the change is made to the claim: the roles of part and instead are exchanged.
PAIRED = frozenset(
    {
        "missing transpose",
        "extra transpose",
        "inverse transpose",
        "entrywise product",
        "matrix product",
        "missing inverse",
        "extra inverse",
        "number",
    }
)

#: Kinds in whose sentence the factor is read as a share or a multiple.
MULTIPLES = frozenset({"factor", "size", "scalar", "term factor"})


def fault(kind: str, part: str = "", instead: str = "", factor: str = "") -> Fault:
    """A row filled in.

    >>> fault("missing term", "A^T x").sentence
    'the term A^T x is missing'
    """
    phrase = factor
    if kind in MULTIPLES:
        plain = factor.startswith("1/") and not factor.startswith("1/(")
        phrase = f"{factor} of" if plain else f"{factor} times"
    return Fault(kind, FAULTS[kind].format(part=part, instead=instead, factor=phrase), part, factor)
