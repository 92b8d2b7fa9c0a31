"""Wrong claims with a known fault, and right claims written differently, made from the corpus by tree surgery.

`wrong_claims` injects one fault (or two) into the right formula of a corpus case; `right_claims` rewrites the formula
without changing its value. Both are judged by the interpreter of `tests/oracle.py`, which shares no code with the
engine: a mutation that happens to be equal to the right answer is no fault and is left out, and so is a rewriting
that is not equal.

Run the whole sweep with figures: ``python tests/claim_faults.py``.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import islice

import numpy as np
import oracle
from corpus_data import Case, load_cases, sample_case
from program_checks import places, put

import matcalc as mc
from matcalc.elaborate import type_text
from matcalc.errors import MatcalcError, UnknownName
from matcalc.expression import read
from matcalc.notation.text import to_text
from matcalc.syntax.ast import Add, Assign, Ast, Binary, Call, Name, Num, Output, Program, Str, Transpose

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim about a case: what was done to the right formula, and what a diagnosis may call it.

    ``kinds`` are the names that describe the fault correctly; ``also`` those of a second fault. A claim without kinds
    is right.
    """

    case: Case
    text: str
    fault: str
    kinds: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()
    layout: str = "gradient"
    wrt: tuple[str, ...] = ()
    vars: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    @property
    def types(self) -> Mapping[str, str]:
        return self.vars or self.case.vars


TRANSPOSES = frozenset({"missing transpose", "extra transpose", "inverse transpose", "term transpose"})
WHOLE_TRANSPOSE = frozenset({"transpose", "layout"})
FACTORS = frozenset({"factor", "size", "scalar", "number", "term factor"})


# --- the formulas --------------------------------------------------------------------------------


def plain(program: Program) -> Ast | None:
    """The expression of a program that is nothing else."""
    if len(program.statements) != 1 or not isinstance(program.statements[0], Output):
        return None
    return program.statements[0].value


def shown(tree: Ast) -> str:
    return to_text(tree, separator="; ")


def rebuilt(program: Program, value: Ast) -> str:
    """The program with another expression at its end."""
    return shown(Program((*program.statements[:-1], Output(value))))


def last_value(program: Program) -> Ast:
    last = program.statements[-1]
    assert isinstance(last, Output | Assign)
    return last.value


def numeric(tree: Ast) -> bool:
    """Whether a tree has numbers only."""
    return not any(isinstance(node, Name | Call) for _, node in places(Output(tree)))


def sizes_in(case: Case) -> list[str]:
    types = " ".join(case.vars.values())
    return sorted({name for name in oracle.choose_dimensions(case.vars, case.dims) if name in types})


@cache
def right_value(name: str, seed: int) -> Array:
    case = CASES[name]
    return value_of(case, case.expected, seed, None)


def is_known(case: Case) -> bool:
    """Whether the interpreter knows every function of the right formula."""
    try:
        right_value(case.name, 0)
    except UnknownName:
        return False
    return True


def value_of(case: Case, text: str, seed: int, shape: Sequence[int] | None) -> Array:
    """The value of a formula at a point of the case, by the interpreter."""
    dims, values = sample_case(case, seed)
    if shape is None:
        shape = expected_shape(case, dims)
    return np.asarray(oracle.evaluate(oracle.read(text), values, dims, shape))


def expected_shape(case: Case, dims: Mapping[str, int]) -> tuple[int, ...]:
    d = mc.derive(case.text, case.variables, dict(case.vars), case.order)
    return tuple(dim.evaluate(dims) for dim in d.node.shape)


def differs(case: Case, text: str) -> bool | None:
    """Whether a claim differs from the right formula at two points; None where the interpreter cannot tell."""
    verdicts = []
    for seed in (0, 1):
        want = right_value(case.name, seed)
        try:
            got = value_of(case, text, seed, want.shape)
        except MatcalcError:
            return True  # the shapes in it do not fit
        except (oracle.NotAnalyticError, np.linalg.LinAlgError, ValueError):
            return None
        if got.shape != want.shape:
            return True
        if not (np.all(np.isfinite(got)) and np.all(np.isfinite(want))):
            return None
        scale = max(1e-6, float(np.max(np.abs(want), initial=0.0)), float(np.max(np.abs(got), initial=0.0)))
        error = float(np.max(np.abs(got - want), initial=0.0)) / scale
        if 1e-10 < error < 1e-5:
            return None
        verdicts.append(error >= 1e-5)
    return any(verdicts)


CASES: dict[str, Case] = {
    case.name: case
    for case in load_cases()
    if case.expected and not case.dims and isinstance(read(case.expected).statements[-1], Output)
}


# --- faults --------------------------------------------------------------------------------------

Injected = tuple[str, str, frozenset[str], frozenset[str]]
NONE: frozenset[str] = frozenset()


def of(*kinds: str) -> frozenset[str]:
    return frozenset(kinds)


def whole_faults(case: Case, program: Program) -> Iterator[Injected]:
    """A factor, a transpose, or both, of the whole formula."""
    value = last_value(program)
    if is_unsized(case, program):
        return

    def times(factor: Ast) -> str:
        return rebuilt(program, Binary("*", factor, value, juxtaposed=True))

    minus = Add(((-1, value),))
    yield "sign", rebuilt(program, minus), of("sign"), NONE
    for number in (Fraction(2), Fraction(1, 2), Fraction(3), Fraction(1, 4)):
        made: Ast = Num(number) if number.denominator == 1 else Binary("/", Num(Fraction(1)), Num(Fraction(1) / number))
        yield "factor", times(made), of("factor"), NONE
    yield "factor and sign", rebuilt(program, Add(((-1, Binary("*", Num(Fraction(2)), value)),))), of("factor"), NONE
    for size in sizes_in(case):
        yield "size", times(Name(size)), of("size"), NONE
        yield "size", times(Binary("/", Num(Fraction(1)), Name(size))), of("size"), NONE
    for name, kind in case.vars.items():
        if kind.startswith("scalar") and "integer" not in kind:
            yield "scalar", times(Name(name)), of("scalar"), NONE
            yield "scalar", rebuilt(program, Binary("/", value, Name(name))), of("scalar"), NONE
    want = right_value(case.name, 0)
    if want.ndim == 2 and want.shape[0] == want.shape[1] and not np.allclose(np.abs(want), np.abs(want.T)):
        yield "transpose", rebuilt(program, Transpose(value)), WHOLE_TRANSPOSE, NONE
        yield "sign and transpose", rebuilt(program, Transpose(minus)), WHOLE_TRANSPOSE, of("sign")


def is_unsized(case: Case, program: Program) -> bool:
    """Whether a formula takes its size from the context (``2 I``)."""
    dims, values = sample_case(case)
    try:
        oracle.evaluate(program, values, dims)
    except MatcalcError:
        return True
    return False


def term_faults(case: Case, program: Program) -> Iterator[Injected]:
    """A term missing, too many, with another sign or factor."""
    value = last_value(program)
    if isinstance(value, Add) and len(value.terms) > 1:
        for place, (sign, term) in enumerate(value.terms):
            rest = (*value.terms[:place], *value.terms[place + 1 :])
            yield "missing term", rebuilt(program, Add(rest)), of("missing term"), NONE
            flipped = (*value.terms[:place], (-sign, term), *value.terms[place + 1 :])
            yield "term sign", rebuilt(program, Add(flipped)), of("term sign"), NONE
            for number in (2, 3):
                scaled = Binary("*", Num(Fraction(number)), term, juxtaposed=True)
                more = (*value.terms[:place], (sign, scaled), *value.terms[place + 1 :])
                yield "term factor", rebuilt(program, Add(more)), of("term factor"), NONE
    _, values = sample_case(case)
    want = right_value(case.name, 0).shape
    if is_unsized(case, program) or isinstance(value, Add):
        return
    for name, array in values.items():
        if np.shape(array) == want and want and name != to_text(value):
            yield "extra term", rebuilt(program, Add(((1, value), (1, Name(name))))), of("extra term"), NONE


def inner_faults(case: Case, program: Program) -> Iterator[Injected]:
    """One operation somewhere in the formula replaced by another."""
    for path, node in places(program):
        for fault, new, kinds in replaced(node):
            made = put(program, path, new)
            yield fault, shown(made), kinds, NONE


def replaced(node: Ast) -> Iterator[tuple[str, Ast, frozenset[str]]]:
    match node:
        case Transpose(arg):
            yield "missing transpose", arg, TRANSPOSES | WHOLE_TRANSPOSE
        case Binary("^", base, exponent) if to_text(exponent) in ("-1", "(-1)"):
            yield "inverse transpose", Transpose(node), TRANSPOSES | WHOLE_TRANSPOSE
            yield "missing inverse", base, of("missing inverse")
        case Binary(".*", left, right):
            yield "product", Binary("*", left, right, juxtaposed=True), of("matrix product")
            yield from dropped(left, right)
            yield from dropped(right, left)
        case Binary("*" | "dot", left, right):
            if not numeric(left):
                yield "product", Binary(".*", left, right), of("entrywise product")
                turned = Binary("*", right, left, juxtaposed=True)
                yield "operand order", turned, of("operand order") | WHOLE_TRANSPOSE
            yield from dropped(left, right)
            yield from dropped(right, left)
        case Binary("/" | "./", left, right):
            yield from dropped(right, left)
        case Call(func, (arg,)) if func in ("exp", "log", "tanh", "sigmoid", "sin", "cos", "sqrt", "abs", "diag"):
            yield "missing function", arg, of("missing function", "diagonal", "matrix product", "factor", "function")


def dropped(factor: Ast, rest: Ast) -> Iterator[tuple[str, Ast, frozenset[str]]]:
    """A product without one factor."""
    if numeric(factor):
        if not numeric(rest):
            yield "inner number", rest, FACTORS | of("missing factor")
        return
    if not numeric(rest):
        yield "missing factor", rest, of("missing factor", "chain", "scalar", "size", "term factor")


def chain_faults(case: Case) -> Iterator[Injected]:
    """The derivative by an intermediate, as if the chain rule ended there."""
    if case.order != 1:
        return
    program = read(case.text)
    body = plain(program)
    if body is None:
        return
    for path, node in places(program):
        if not isinstance(node, Call | Binary | Add) or path == ("statements", 0, "value"):
            continue
        if not any(isinstance(part, Name) and part.id == case.wrt for _, part in places(Output(node))):
            continue
        outside = put(program, path, Name("inner"))
        if any(isinstance(part, Name) and part.id == case.wrt for _, part in places(outside)):
            continue
        try:
            inner = mc.parse(shown(node), dict(case.vars))
            kind = type_text(inner.type)
            d = mc.derive(shown(outside), "inner", {**case.vars, "inner": kind})
            formula = read(d.formula)
        except MatcalcError:
            continue
        setting = Assign(Name("inner"), node)
        yield "chain", shown(Program((setting, *formula.statements))), of("chain", "missing factor") | FACTORS, NONE


def structure_faults(case: Case, program: Program) -> Iterator[Injected]:
    """The convention of handbooks for symmetric matrices, and projections that nobody asked for."""
    kind = case.vars[case.wrt]
    value = last_value(program)
    shape = right_value(case.name, 0).shape
    if case.order != 1 or len(shape) != 2 or shape[0] != shape[1] or not kind.startswith("matrix"):
        return
    if is_unsized(case, program):
        return
    turned = Transpose(value)
    if "symmetric" in kind or "spd" in kind:
        twice = Binary("*", Num(Fraction(2)), value, juxtaposed=True)
        handbook = Add(((1, twice), (-1, Call("diag", (Call("diag", (value,)),)))))
        yield "handbook", rebuilt(program, handbook), of("handbook"), NONE
        free = {name: kind.partition(")")[0] + ")" if name == case.wrt else text for name, text in case.vars.items()}
        d = mc.derive(case.text, case.wrt, free)
        yield "unstructured", d.formula, of("unstructured", "missing term") | WHOLE_TRANSPOSE, NONE
    elif kind.endswith(")"):
        half = Binary("/", Num(Fraction(1)), Num(Fraction(2)))
        mean = Binary("*", half, Add(((1, value), (1, turned))), juxtaposed=True)
        yield "structured", rebuilt(program, mean), of("structured"), NONE


def injected(case: Case) -> Iterator[Injected]:
    program = read(case.expected)
    yield from whole_faults(case, program)
    yield from term_faults(case, program)
    yield from inner_faults(case, program)
    yield from chain_faults(case)
    yield from structure_faults(case, program)


def other_faults(case: Case) -> Iterator[Claim]:
    """Claims whose text is right for another question: another variable, another layout, other declarations."""
    if case.order != 1:
        return
    for name in case.vars:
        if name != case.wrt:
            try:
                d = mc.derive(case.text, name, dict(case.vars))
                text = d.formula
            except MatcalcError:
                continue
            if not d.warnings and "integer" not in case.vars[name]:
                yield Claim(case, text, "variable", of("variable", "chain"))
    for layout in ("numerator", "denominator"):
        try:
            here = mc.derive(case.text, case.wrt, dict(case.vars), layout=layout)
        except MatcalcError:
            continue
        if here.shape_text != mc.derive(case.text, case.wrt, dict(case.vars)).shape_text:
            yield Claim(case, case.expected, "layout", of("layout", "row", "column", "transpose"), layout=layout)
    for name, kind in case.vars.items():
        if name != case.wrt and kind.endswith(" symmetric"):
            loose = {**case.vars, name: kind.removesuffix(" symmetric")}
            yield Claim(case, case.expected, "assumption", of("assumption") | TRANSPOSES, vars=loose)


def wrong_claims(case: Case) -> Iterator[Claim]:
    """Every wrong claim about a case whose fault is known; those that are right by chance are left out."""
    seen = set()
    for fault, text, kinds, also in injected(case):
        if text in seen:
            continue
        seen.add(text)
        if differs(case, text):
            yield Claim(case, text, fault, kinds, also)
    for claim in other_faults(case):
        if is_wrong_elsewhere(claim):
            yield claim


def some_wrong_claims(cases: Sequence[Case], each: int, seed: int) -> list[Claim]:
    """A few wrong claims of every case, judged one by one: the quick way to a small sample."""
    chosen = random.Random(seed)
    found = []
    for case in filter(is_known, cases):
        program = read(case.expected)
        made = [*whole_faults(case, program), *term_faults(case, program), *inner_faults(case, program)]
        chosen.shuffle(made)
        claims = (Claim(case, text, fault, kinds, also) for fault, text, kinds, also in made if differs(case, text))
        found += list(islice(claims, each))
    return found


def is_wrong_elsewhere(claim: Claim) -> bool:
    """Whether the claim differs from the derivative that is asked for, by numerical differentiation."""
    case = claim.case
    if claim.fault == "variable":
        return bool(differs(case, claim.text))
    if claim.fault == "layout":
        want = right_value(case.name, 0)
        return want.ndim == 1 or not np.allclose(want, want.T if want.shape[0] == want.shape[1] else 0)
    dims = oracle.choose_dimensions(claim.types, case.dims)
    program = oracle.read(case.text)
    for seed in (0, 1):
        values = oracle.sample(claim.types, dims, seed, case.scale)
        try:
            want = oracle.derivative(program, values, dims, case.wrt, types=claim.types)
            got = oracle.evaluate(oracle.read(claim.text), values, dims, want.shape)
        except (MatcalcError, oracle.NotAnalyticError, ValueError):
            return False
        if not np.all(np.isfinite(want)):
            return False
        if np.max(np.abs(want - got)) > 1e-5 * max(1.0, float(np.max(np.abs(want)))):
            return True
    return False


# --- right claims --------------------------------------------------------------------------------


def right_claims(case: Case) -> Iterator[Claim]:
    """The right formula in other words; what is not equal by the interpreter is left out."""
    program = read(case.expected)
    made: list[tuple[str, str]] = [("reference", case.expected)]
    for how, rewrite in REWRITES.items():
        tree = rewritten(program, rewrite)
        if tree is not None:
            made.append((how, shown(tree)))
    d = mc.derive(case.text, case.variables, dict(case.vars), case.order)
    made.append(("printed", d.formula))
    value = last_value(program)
    if not is_unsized(case, program):
        half = Binary("/", Num(Fraction(1)), Num(Fraction(2)))
        doubled = Binary("*", half, Add(((1, value), (1, value))), juxtaposed=True)
        made.append(("a mean of two", rebuilt(program, doubled)))
        made.append(("transposed twice", rebuilt(program, Transpose(turned_over(value)))))
    seen = set()
    for how, text in made:
        if text not in seen and differs(case, text) is False:
            seen.add(text)
            yield Claim(case, text, how)
    if case.order == 1:
        for layout in ("numerator", "denominator", "vec"):
            try:
                arranged = mc.derive(case.text, case.wrt, dict(case.vars), layout=layout)
            except MatcalcError:
                continue
            yield Claim(case, arranged.formula, f"layout {layout}", layout=layout)


def rewritten(root: Program, rewrite: Callable[[Ast], Ast | None]) -> Program | None:
    """A program with a rewriting applied everywhere, from the leaves up; None where it does not apply."""
    tree = root
    changed = False
    for path, _ in sorted(places(root), key=lambda item: -len(item[0])):
        node: object = tree
        for step in path:
            node = node[step] if isinstance(step, int) else getattr(node, step)  # type: ignore[index]
        new = rewrite(node) if isinstance(node, Ast) else None
        if new is not None:
            tree = put(tree, path, new)
            changed = True
    return tree if changed else None


def distributed(node: Ast) -> Ast | None:
    """``a (b + c)`` as ``a b + a c``."""
    if isinstance(node, Binary) and node.op in ("*", ".*"):
        if isinstance(node.right, Add) and len(node.right.terms) > 1:
            return Add(tuple((sign, Binary(node.op, node.left, term)) for sign, term in node.right.terms))
        if isinstance(node.left, Add) and len(node.left.terms) > 1:
            return Add(tuple((sign, Binary(node.op, term, node.right)) for sign, term in node.left.terms))
    return None


def reordered(node: Ast) -> Ast | None:
    """Terms and entrywise factors the other way round."""
    if isinstance(node, Add) and len(node.terms) > 1:
        return Add(node.terms[::-1])
    if isinstance(node, Binary) and node.op == ".*":
        return Binary(".*", node.right, node.left)
    return None


def turned_over(node: Ast) -> Ast:
    """The transpose of a chain of matrix products, written factor by factor."""
    if isinstance(node, Add):
        return Add(tuple((sign, turned_over(term)) for sign, term in node.terms))
    if isinstance(node, Binary) and node.op == "*" and not numeric(node.left):
        return Binary("*", turned_over(node.right), turned_over(node.left), juxtaposed=True)
    return node.arg if isinstance(node, Transpose) else Transpose(node)


def scalars_transposed(node: Ast) -> Ast | None:
    """``x^T y`` as ``y^T x``."""
    if isinstance(node, Binary) and node.op == "*" and isinstance(node.left, Transpose):
        return Binary("*", Transpose(node.right), node.left.arg, juxtaposed=True)
    return None


def as_einsum(node: Ast) -> Ast | None:
    """``A x`` and ``A B`` of names as einsum."""
    if isinstance(node, Binary) and node.op == "*" and isinstance(node.left, Name) and isinstance(node.right, Name):
        left, right = node.left.id, node.right.id
        if left[0].isupper() and right[0].isupper():
            return Call("einsum", (Str("ij,jk->ik"), node.left, node.right))
        if left[0].isupper():
            return Call("einsum", (Str("ij,j->i"), node.left, node.right))
    return None


REWRITES: Mapping[str, Callable[[Ast], Ast | None]] = {
    "expanded": distributed,
    "reordered": reordered,
    "scalars transposed": scalars_transposed,
    "einsum": as_einsum,
}


# --- the sweep -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Outcome:
    """What `check` made of a claim."""

    claim: Claim
    verdict: str
    kinds: tuple[str, ...]
    right_if: tuple[str, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """The right verdict, and for a wrong claim the fault by a correct name."""
        if not self.claim.kinds:
            return self.verdict == "right"
        if self.verdict != "wrong":
            return False
        if self.claim.fault == "assumption" and self.right_if:
            return True
        named = bool(self.claim.kinds & set(self.kinds))
        return named and (not self.claim.also or bool(self.claim.also & set(self.kinds)))


def examine(claim: Claim) -> Outcome:
    start = time.perf_counter()
    order = claim.case.order
    wrt: str | tuple[str, ...] = claim.case.variables if order == 2 else claim.case.wrt
    try:
        report = mc.check(claim.case.text, wrt, claim.text, dict(claim.types), claim.layout, order)
    except MatcalcError as error:
        return Outcome(claim, "refused", (error.message,), (), time.perf_counter() - start)
    kinds = tuple(fault.kind for fault in report.faults)
    return Outcome(claim, report.verdict, kinds, report.right_if, time.perf_counter() - start)


def sample_of(claims: Mapping[str, list[Claim]], each: int, seed: int) -> list[Claim]:
    """Some claims of every fault."""
    chosen = random.Random(seed)
    found = []
    for fault in sorted(claims):
        some = list(claims[fault])
        chosen.shuffle(some)
        found += some[:each]
    return found


def by_fault(make: Callable[[Case], Iterator[Claim]], cases: Sequence[Case]) -> dict[str, list[Claim]]:
    found: dict[str, list[Claim]] = {}
    for case in filter(is_known, cases):
        for claim in make(case):
            found.setdefault(claim.fault, []).append(claim)
    return found


def main() -> None:
    step = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    each = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    cases = list(CASES.values())[::step]
    for title, make in (("wrong", wrong_claims), ("right", right_claims)):
        start = time.perf_counter()
        outcomes = [examine(claim) for claim in sample_of(by_fault(make, cases), each, 0)]
        good = sum(outcome.ok for outcome in outcomes)
        print(f"{title}: {good} of {len(outcomes)} ({good / len(outcomes):.1%}), {time.perf_counter() - start:.0f} s")
        total = Counter(outcome.claim.fault for outcome in outcomes)
        hits = Counter(outcome.claim.fault for outcome in outcomes if outcome.ok)
        for fault in sorted(total):
            print(f"  {fault:20} {hits[fault]:4} of {total[fault]}")
        for outcome in outcomes:
            if not outcome.ok:
                claim = outcome.claim
                print(
                    f"  MISSED {claim.fault}: {claim.case.text!r} by {claim.case.wrt}: {claim.text!r} "
                    f"right {claim.case.expected!r} -> {outcome.verdict} {outcome.kinds} {outcome.right_if}"
                )


if __name__ == "__main__":
    main()
