"""A syntax tree as one compact line, for tests and for looking at."""

from __future__ import annotations

from .ast import (
    Add,
    Assign,
    Ast,
    Bars,
    Binary,
    Block,
    Call,
    Declare,
    Define,
    Index,
    IndexSum,
    Name,
    Norm,
    Num,
    Output,
    Program,
    Range,
    Str,
    Transpose,
    TypeExpr,
)

Piece = str | Ast


def dump(node: Ast) -> str:
    """Write a syntax tree as an s-expression; a juxtaposed product is ``(_ a b)``, statements are joined by ``; ``.

    >>> dump(Binary("*", Transpose(Name("x")), Name("y"), True))
    '(_ (T x) y)'
    """
    parts: list[str] = []
    waiting: list[Piece] = [node]
    while waiting:
        piece = waiting.pop()
        if isinstance(piece, str):
            parts.append(piece)
        else:
            waiting.extend(reversed(_pieces(piece)))
    return "".join(parts)


def _list(head: str, items: list[Ast | None]) -> list[Piece]:
    pieces: list[Piece] = [f"({head}"]
    for item in items:
        pieces.append(" ")
        pieces.append("_" if item is None else item)
    return [*pieces, ")"]


def _pieces(node: Ast) -> list[Piece]:
    match node:
        case Num(value):
            return [str(value)]
        case Name(word):
            return [word]
        case Str(value):
            return [f'"{value}"']
        case Add(((-1, term),)):
            return ["(- ", term, ")"]
        case Add(terms):
            pieces: list[Piece] = ["(+"]
            for sign, term in terms:
                pieces += [" ", term] if sign > 0 else [" (- ", term, ")"]
            return [*pieces, ")"]
        case Binary(op, left, right, juxtaposed):
            return _list("_" if juxtaposed else op, [left, right])
        case Transpose(arg):
            return _list("T", [arg])
        case Call(func, args, kwargs):
            named: list[Piece] = []
            for key, value in kwargs:
                named += [f" {key}=", value]
            return [*_list(f"call {func}", list(args))[:-1], *named, ")"]
        case Norm(kind, arg):
            return _list(f"norm{kind}", [arg])
        case Bars(arg):
            return _list("bars", [arg])
        case Range(None, None):
            return [":"]
        case Range(start, stop):
            return _list(":", [start, stop])
        case Index(base, items, subscript):
            return _list("sub" if subscript else "index", [base, *items])
        case IndexSum(kind, indices, lower, upper, body):
            return _list(f"{kind} ({' '.join(indices)})", [lower, upper, body])
        case Block(rows):
            block: list[Piece] = ["(block"]
            for row in rows:
                block += [" ", *_list("row", list(row))]
            return [*block, ")"]
        case TypeExpr(kind, dims, properties):
            return [*_list(kind, list(dims))[:-1], *(f" {word}" for word in properties), ")"]
        case Declare(names, found):
            return _list("declare", [*names, found])
        case Assign(target, value, indices):
            return _list("= " + f"[{' '.join(indices)}]" if indices else "=", [target, value])
        case Define(name, params, body):
            return _list("define", [name, *params, body])
        case Output(value):
            return [value]
        case Program(statements):
            joined: list[Piece] = []
            for statement in statements:
                joined += ["; ", statement] if joined else [statement]
            return joined
        case _:
            raise TypeError(f"{type(node).__name__} has no compact form")
