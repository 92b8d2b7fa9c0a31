"""Random expressions from a seed, and the form in which two spellings of one expression are equal."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

from matcalc.notation.precedence import children
from matcalc.syntax.ast import (
    Add,
    Ast,
    Bars,
    Binary,
    Block,
    Call,
    Index,
    IndexSum,
    Name,
    Norm,
    Num,
    Range,
    Transpose,
)

NAMES = ("x", "y", "A", "B", "W_1", "lambda", "theta_train", "x_i", "Sigma", "k2", "alpha_12", "n", "yhat", "E", "d")
NUMBERS = (0, 1, 2, 3, 10, 784, -1, -2, "1/2", "-1/2", "2/3", "1/1000", "-3/100000", "1/128", 10**25, "5/2")
EXPONENTS = (2, 3, -1, -2, "1/2", "-1/2", 10, "k", "n", "T_1")
FUNCTIONS = (
    ("exp", 1),
    ("tr", 1),
    ("diag", 1),
    ("sigmoid", 1),
    ("inv", 1),
    ("kron", 2),
    ("dot", 2),
    ("max", 2),
    ("where", 3),
)
PRODUCTS = ("*", "*", "*", "*", ".*", "/", "./", "\\", "kron", "dot")
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
NORM_KINDS = ("", "2", "1", "inf", "F", "*")
WEIGHTS = {
    "product": 30,
    "sum": 18,
    "negative": 4,
    "power": 10,
    "transpose": 8,
    "call": 8,
    "norm": 5,
    "bars": 3,
    "index": 4,
    "indexsum": 6,
    "compare": 3,
    "block": 2,
}


def random_ast(seed: int, size: int = 12) -> Ast:
    """An expression of about ``size`` nodes, the same for the same seed.

    >>> from matcalc.notation.text import to_text
    >>> to_text(random_ast(3, 4)) == to_text(random_ast(3, 4))
    True

    Parameters
    ----------
    seed: any integer.
    size: how many nodes that are not leaves.
    """
    rng = random.Random(seed)
    pool: list[Ast] = []
    for _ in range(size):
        pool.append(_node(rng, pool))
    return pool[-1]


def _leaf(rng: random.Random) -> Ast:
    return Name(rng.choice(NAMES)) if rng.random() < 0.75 else Num(Fraction(rng.choice(NUMBERS)))


def _node(rng: random.Random, pool: list[Ast]) -> Ast:
    def pick() -> Ast:
        # mostly the newest node, so that trees get deep; taken out, so that they stay small
        if not pool or rng.random() < 0.4:
            return _leaf(rng)
        return pool.pop() if rng.random() < 0.7 else pool.pop(rng.randrange(len(pool)))

    kind = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
    match kind:
        case "product":
            return Binary(rng.choice(PRODUCTS), pick(), pick())
        case "sum":
            return Add(tuple((rng.choice((1, 1, -1)), pick()) for _ in range(rng.randint(2, 4))))
        case "negative":
            return Add(((-1, pick()),))
        case "power":
            return Binary(rng.choice(("^", "^", ".^")), pick(), pick() if rng.random() < 0.3 else _exponent(rng))
        case "transpose":
            return Transpose(pick())
        case "call":
            func, arity = rng.choice(FUNCTIONS)
            return Call(func, tuple(pick() for _ in range(arity)))
        case "norm":
            return Norm(rng.choice(NORM_KINDS), pick())
        case "bars":
            return Bars(pick())
        case "index":
            return _index(rng, pick())
        case "indexsum":
            return _index_sum(rng, pick())
        case "compare":
            return Binary(rng.choice(COMPARISONS), pick(), pick())
        case _:
            columns = rng.randint(1, 2)
            rows = rng.randint(1 if columns > 1 else 2, 3)
            return Block(tuple(tuple(pick() for _ in range(columns)) for _ in range(rows)))


def _exponent(rng: random.Random) -> Ast:
    choice = rng.choice(EXPONENTS)
    if isinstance(choice, str) and choice[0].isalpha():
        return Name(choice)
    return Num(Fraction(choice))


def _index(rng: random.Random, base: Ast) -> Ast:
    shifted = Add(((1, Name("i")), (1, Num(Fraction(1)))))
    items: tuple[Ast, ...] = rng.choice(
        (
            (Name("i"),),
            (shifted,),
            (Num(Fraction(2)),),
            (Name("i"), Name("j")),
            (Name("i"), Range(None, None)),
            (Range(Num(Fraction(2)), Name("n")),),
            (Binary("*", Num(Fraction(2)), Name("i")), Num(Fraction(1))),
        )
    )
    subscript = rng.random() < 0.5 and isinstance(base, Name) and not any(isinstance(item, Range) for item in items)
    return Index(base, items, subscript)


def _index_sum(rng: random.Random, body: Ast) -> Ast:
    kind = rng.choice(("sum", "sum", "prod"))
    if rng.random() < 0.4:
        return IndexSum(kind, rng.choice((("i",), ("i", "j"))), None, None, body)
    upper = rng.choice((Name("n"), Num(Fraction(10)), Add(((1, Name("n")), (-1, Num(Fraction(1)))))))
    return IndexSum(kind, ("i",), Num(Fraction(1)), upper, body)


# --- equality ------------------------------------------------------------------------------------

_NORM_OF_FUNCTION = {"norm": "", "norm1": "1", "norminf": "inf", "normF": "F", "nuclear": "*"}
_SIGNED_PRODUCTS = frozenset(PRODUCTS)

Canonical = tuple[int, Any]
"""A sign and a nest of tuples."""


def canonical(root: Ast) -> Canonical:
    """The form in which an AST and the AST read back from its text are equal.

    Gone are: spans, how a number or a product was spelled, the nesting of sums, where in a product a sign stands,
    whether an operator or its function (``kron``, ``dot``, norms) was written, and whether an element was written as a
    subscript.

    Parameters
    ----------
    root: an expression.
    """
    stack: list[tuple[Ast, bool]] = [(root, False)]
    done: list[Canonical] = []
    while stack:
        node, ready = stack.pop()
        parts = children(node)
        if not ready:
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(parts))
            continue
        values = done[len(done) - len(parts) :]
        del done[len(done) - len(parts) :]
        sign, core = _combine(node, values)
        done.append((1 if core == ("num", 0) else sign, core))
    return done[0]


def _combine(node: Ast, parts: list[Canonical]) -> Canonical:
    match node:
        case Num(value=value):
            return (-1 if value < 0 else 1), ("num", abs(value))
        case Name(id=name):
            return 1, ("name", name)
        case Add(terms=terms):
            return _sum([(sign * part[0], part[1]) for (sign, _), part in zip(terms, parts, strict=True)])
        case Binary(op=op):
            return _binary(op, parts[0], parts[1])
        case Transpose():
            return 1, ("transpose", parts[0])
        case Norm(kind=kind):
            return 1, ("norm", kind, parts[0])
        case Bars():
            return 1, ("bars", parts[0])
        case Call(func="kron" | "dot" as func, kwargs=()) if len(parts) == 2:
            return _binary(func, parts[0], parts[1])
        case Call(func=func, kwargs=()) if func in _NORM_OF_FUNCTION and len(parts) == 1:
            return 1, ("norm", _NORM_OF_FUNCTION[func], parts[0])
        case Call(func=func, kwargs=kwargs):
            return 1, ("call", func, tuple(key for key, _ in kwargs), tuple(parts))
        case Range(start=start, stop=stop):
            return 1, ("range", start is None, stop is None, tuple(parts))
        case Index(base=Name(id=base), items=(Name(id=item),), subscript=True) if "_" not in base:
            return 1, ("name", f"{base}_{item}")
        case Index(base=Name(id=base), items=(Num(value=value),), subscript=True) if value >= 0 and "_" not in base:
            return 1, ("name", f"{base}_{value}")
        case Index():
            return 1, ("index", tuple(parts))
        case IndexSum(kind=kind, indices=indices, lower=lower, upper=upper):
            return 1, ("indexsum", kind, indices, lower is None, upper is None, tuple(parts))
        case Block(rows=rows):
            return 1, ("block", tuple(map(len, rows)), tuple(parts))
        case _:
            return 1, (type(node).__name__, tuple(parts))


def _sum(terms: list[Canonical]) -> Canonical:
    if len(terms) == 1:
        return terms[0]
    flat: list[Canonical] = []
    for sign, core in terms:
        if core[0] == "sum":
            flat.extend((sign * inner, term) for inner, term in core[1])
        else:
            flat.append((sign, core))
    return 1, ("sum", tuple(flat))


def _binary(op: str, left: Canonical, right: Canonical) -> Canonical:
    if op == "/" and left[1][0] == "num" and right[1][0] == "num" and right[1][1]:
        return left[0] * right[0], ("num", left[1][1] / right[1][1])
    if op in _SIGNED_PRODUCTS:
        return left[0] * right[0], (op, (1, left[1]), (1, right[1]))
    return 1, (op, left, right)
