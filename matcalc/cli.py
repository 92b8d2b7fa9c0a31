"""The command ``matcalc``: answers on standard output, talk and errors on standard error."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, NoReturn

from . import __version__
from .errors import MatcalcError, ParseError, UsageError

OK, NEGATIVE, USAGE, SHAPE, NOT_DIFFERENTIABLE = range(5)
INTERNAL, BROKEN_PIPE, INTERRUPTED = 70, 128 + 13, 128 + 2

COMMANDS: Mapping[str, str] = {
    "diff": "differentiate an expression and print the formula",
    "jacobian": "the derivative of an output of any shape",
    "hessian": "the second derivative of a scalar",
    "check": "compare your own derivative with the right one",
    "explain": "show how the derivative comes about, line by line",
    "eval": "evaluate an expression, or its derivative, on data",
    "code": "print source for a value and its derivative, for NumPy or another target",
    "ops": "list the functions of the language",
    "rules": "search the identities of matrix calculus",
    "errors": "explain what an error means, by example, and what to do",
    "doctor": "show versions and test the installation",
}

EPILOG = """\
exit status: 0 ok, 1 a negative answer, 2 usage or syntax, 3 shape or name, 4 cannot differentiate or decide

examples:
  matcalc diff "x^T A x" --wrt x
  matcalc diff "x^T A x" --wrt x --var "A: matrix(n, n) symmetric" --verify
  matcalc hessian "sum(log(1 + exp(X w)))" --wrt w --latex
  matcalc check "x^T A x" --wrt x --claim "2 A x"
  matcalc explain "||A x - b||^2" --wrt x --style differential
  matcalc eval "x^T x" --set x=1,2,3
  matcalc rules log det
"""


class _Parser(argparse.ArgumentParser):
    """A parser that raises instead of leaving, so that every error is reported in one way."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="matcalc",
        description="Matrix calculus: derivatives of matrix expressions.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"matcalc {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        command.add_argument("--json", action="store_true", help="print one JSON object")
        if name == "ops":
            command.add_argument("name", nargs="?", metavar="NAME", help="one function")
            command.add_argument("--markdown", action="store_true", help="print the reference page")
        elif name == "rules":
            command.add_argument("words", nargs="*", metavar="WORDS", help="words, or a part of a formula")
            command.add_argument("--latex", action="store_true", help="print the identities as LaTeX")
            command.add_argument("--markdown", action="store_true", help="print a page of tables")
        elif name == "errors":
            command.add_argument("code", nargs="?", metavar="CODE", help="one code, such as shape")
            command.add_argument("--markdown", action="store_true", help="print the reference page")
        elif name != "doctor":
            _add_expression(command)
            _OPTIONS[name](command)
    return parser


def _add_expression(command: argparse.ArgumentParser) -> None:
    command.add_argument("text", nargs="?", metavar="TEXT", help="the expression; - reads standard input")
    command.add_argument("--file", metavar="PATH", help="read the expression from a file")
    command.add_argument(
        "--var", action="append", default=[], metavar="DECLARATION", help='such as "A: matrix(n, n) symmetric"'
    )
    command.add_argument(
        "--syntax", default="auto", metavar="SYNTAX", help="text, latex or auto (by what it looks like)"
    )
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="give up after so many seconds")


def _add_wrt(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--wrt", action="append", default=[], metavar="NAME", help="differentiate by this; twice for a mixed derivative"
    )


def _add_formula(command: argparse.ArgumentParser) -> None:
    _add_wrt(command)
    command.add_argument(
        "--layout", default="gradient", metavar="LAYOUT", help="gradient, numerator, denominator, vec or vec-row"
    )
    command.add_argument("--form", metavar="FORM", help="map, kronecker, index, einsum or adjoint; else the shortest")
    command.add_argument(
        "--structure", metavar="SPACE", help="for a symmetric, diagonal, … variable: respect, free or vech"
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument("--latex", action="store_true", help="print the formula as LaTeX")
    form.add_argument("--unicode", action="store_true", help="print the formula with mathematical signs")
    command.add_argument("--code", action="store_true", help="print the NumPy source, too")
    command.add_argument("--verify", action="store_true", help="compare with numerical derivatives")


def _add_diff(command: argparse.ArgumentParser) -> None:
    _add_formula(command)
    command.add_argument("--order", type=int, default=None, metavar="N", help="1 or 2")


def _add_check(command: argparse.ArgumentParser) -> None:
    _add_wrt(command)
    command.add_argument("--claim", metavar="FORMULA", help="the derivative you found")
    command.add_argument("--layout", default="gradient", metavar="LAYOUT", help="of the claim, as for diff")
    command.add_argument("--order", type=int, default=None, metavar="N", help="1 or 2")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the random points")


def _add_explain(command: argparse.ArgumentParser) -> None:
    _add_wrt(command)
    command.add_argument("--style", default="chain", metavar="STYLE", help="chain, differential or index")
    command.add_argument("--order", type=int, default=None, metavar="N", help="1 or 2")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--latex", action="store_true", help="print the derivation as LaTeX")
    form.add_argument("--unicode", action="store_true", help="print the derivation with mathematical signs")


def _add_eval(command: argparse.ArgumentParser) -> None:
    _add_wrt(command)
    command.add_argument("--data", metavar="PATH", help="arrays by name, in a .npz or .json file")
    command.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUES", help="x=1,2,3 or A=1,2;3,4 (rows end with ;)"
    )


def _add_code(command: argparse.ArgumentParser) -> None:
    _add_wrt(command)
    command.add_argument(
        "--target", default="numpy", metavar="TARGET", help="numpy (unless said), jax, torch, julia, matlab or eigen"
    )
    command.add_argument("--sizes", metavar="SIZES", help="such as n=1000,m=50: say what a call costs for these")
    command.add_argument("--plan", action="store_true", help="say what runs for the sizes, and why")


_OPTIONS: Mapping[str, Callable[[argparse.ArgumentParser], None]] = {
    "diff": _add_diff,
    "jacobian": _add_formula,
    "hessian": _add_formula,
    "check": _add_check,
    "explain": _add_explain,
    "eval": _add_eval,
    "code": _add_code,
}


# --- the words of the command line ---------------------------------------------------------------


def _subparsers(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}


def arrange(arguments: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Sort the words so that an expression or a value may begin with a minus.

    Raises
    ------
    UsageError: an unknown command or option, with the one that was probably meant.
    """
    words = list(arguments)
    if not words or words[0] in ("-h", "--help", "--version"):
        return words
    commands = _subparsers(parser)
    command, rest = words[0], words[1:]
    if command not in commands:
        if command.startswith("--") and re.fullmatch(r"--[a-z-]+", command):
            raise UsageError(f"there is no option {command}", hint="see matcalc --help")
        nearest = get_close_matches(command, commands, 1, 0.6)
        hint = f"did you mean {nearest[0]}?" if nearest else f"the commands are {', '.join(commands)}"
        if not nearest and not command.isalpha():
            hint = f'put the command first: matcalc diff "{command}"'
        raise UsageError(f"there is no command {command}", hint=hint)
    known = commands[command]._option_string_actions
    options: list[str] = []
    texts: list[str] = []
    position = 0
    while position < len(rest):
        word = rest[position]
        position += 1
        if word == "--":
            texts += rest[position:]
            break
        name, equals, _ = word.partition("=")
        action = known.get(word) or (known.get(name) if equals else None)
        if action is None:
            if re.fullmatch(r"--[a-z][a-z-]+(=.*)?", word):
                nearest = get_close_matches(name, known, 1, 0.6)
                hint = f"did you mean {nearest[0]}?" if nearest else f"see matcalc {command} --help"
                raise UsageError(f"there is no option {name} for {command}", hint=hint)
            texts.append(word)
        elif equals or action.nargs == 0:
            options.append(word)
        else:
            if position == len(rest):
                raise UsageError(f"{word} needs a value", hint=f"write {word} {action.metavar}")
            options.append(f"{word}={rest[position]}")
            position += 1
    return [command, *options, *(["--", *texts] if texts else [])]


# --- output --------------------------------------------------------------------------------------


def _colourful(stream: Any) -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(getattr(stream, "isatty", lambda: False)())


def _paint(text: str, code: str, stream: Any) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if text and _colourful(stream) else text


def _dim(text: str) -> str:
    return _paint(text, "2", sys.stdout)


def _talk(text: str) -> None:
    print(text, file=sys.stderr)


class Answer:
    """What a command found: plain data for ``--json``, lines for people, remarks for standard error."""

    def __init__(
        self, result: Mapping[str, Any], lines: Sequence[str], remarks: Sequence[str] = (), status: int = OK
    ) -> None:
        self.result = result
        self.lines = lines
        self.remarks = remarks
        self.status = status


def _facts(derivative: Any, form: Any) -> str:
    """The line under a formula: shape, layout, form, types, conditions."""
    inferred = set(derivative.inferred)
    types = [f"{name}: {text}{' (inferred)' if name in inferred else ''}" for name, text in derivative.vars.items()]
    if types and len(inferred) == len(types):
        types = [f"{', '.join(f'{name}: {text}' for name, text in derivative.vars.items())} (inferred)"]
    parts = [f"shape {derivative.shape_text}", f"layout {derivative.layout_text}"]
    if form is not None and form.name == "kronecker":
        parts = [f"shape ({', '.join(map(str, form.shape))})", f"layout {derivative.stacked_text}"]
    if form is not None:
        parts.append(f"form {form.name} ({form.meaning})")
    if derivative.structure_text:
        parts.append(f"structure {derivative.structure_text}")
    parts.append(", ".join(types))
    if derivative.conditions:
        parts.append("where " + ", ".join(derivative.conditions))
    return " · ".join(part for part in parts if part)


# --- commands ------------------------------------------------------------------------------------


@contextmanager
def _within(timeout: float | None) -> Iterator[None]:
    """Hold a whole command to the seconds that it was given."""
    if timeout is None:
        yield
        return
    from .limits import bounded, limited

    with limited(timeout=timeout) as allowed, bounded(allowed):
        yield


def _text(options: argparse.Namespace) -> str:
    if options.file is not None and options.text is not None:
        raise UsageError("give the expression either as text or with --file", hint="leave out one of the two")
    if options.file is not None:
        try:
            with open(options.file, encoding="utf-8") as file:  # noqa: PTH123  pathlib costs a cold start 4 ms
                return file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{options.file} cannot be read: {error}", hint="--file takes the path of a text in UTF-8"
            ) from None
    if options.text == "-":
        return sys.stdin.read()
    if options.text is None:
        raise UsageError(
            "an expression is missing", hint=f'matcalc {options.command} "x^T A x", or - to read standard input'
        )
    return str(options.text)


def _declared(options: argparse.Namespace) -> dict[str, str]:
    from .expression import declarations

    found: dict[str, str] = {}
    for text in options.var:
        try:
            found |= declarations(text)
        except ParseError as error:
            error.hint = error.hint or 'write "A: matrix(n, n) symmetric"'
            raise
    return found


def _wrt(options: argparse.Namespace) -> str | tuple[str, ...] | None:
    names = [name.strip() for given in options.wrt for name in given.split(",")]
    if not names:
        return None
    return names[0] if len(names) == 1 else tuple(names)


def _diff(options: argparse.Namespace) -> Answer:
    from .api import derive

    order = 2 if options.command == "hessian" else getattr(options, "order", None)
    derivative = derive(
        _text(options), _wrt(options), _declared(options), order, options.layout, options.syntax, options.structure
    )
    if options.command == "hessian" and derivative.function.node.shape:
        raise UsageError(
            "the expression is not a scalar, so it has no Hessian",
            source=derivative.function.text,
            hint="use matcalc diff --order 2 for its second derivative",
        )
    result = derivative.to_dict() if options.json else {}
    form = derivative.form(options.form) if options.form else derivative.shortest
    shown = derivative if form is None else form
    formula = shown.latex if options.latex else shown.unicode if options.unicode else str(shown)
    lines = [formula, _dim(_facts(derivative, form))]
    if form is not None:
        result["form"] = form.name
    status = OK
    if options.code:
        result["code"] = derivative.source
        lines += ["", derivative.source.rstrip("\n")]
    if options.verify:
        report = derivative.check()
        result["verified"] = report.to_dict()
        lines += [_dim(report.message), _dim(report.details)]
        status = OK if report.ok else NEGATIVE
    return Answer(result, lines, derivative.notes, status)


def _check(options: argparse.Namespace) -> Answer:
    from .claims import check  # computes with numbers

    report = check(
        _text(options),
        _wrt(options),
        options.claim,
        _declared(options),
        options.layout,
        options.order,
        seed=options.seed,
        syntax=options.syntax,
    )
    first, *rest = report.lines()
    colour = {"right": "1;32", "wrong": "1;31"}.get(report.verdict, "1")
    status = {"right": OK, "wrong": NEGATIVE}.get(report.verdict, NOT_DIFFERENTIABLE)
    return Answer(report.to_dict(), [_paint(first, colour, sys.stdout), *rest], report.notes, status)


def _explain(options: argparse.Namespace) -> Answer:
    from .api import derive, explain

    asked = derive(_text(options), _wrt(options), _declared(options), options.order, syntax=options.syntax)
    found = explain(asked, style=options.style)
    shown = found.latex if options.latex else found.unicode if options.unicode else found.text
    lines = [shown, _dim(_facts(found.derivative, None)), _dim(found.verification.message)]
    return Answer(found.to_dict(), lines, asked.notes, OK if found.verification.ok else NEGATIVE)


def _code(options: argparse.Namespace) -> Answer:
    from .api import jacobian, value_and_grad
    from .expression import Expr

    expr = Expr(_text(options), _declared(options), syntax=options.syntax)
    if options.wrt or expr.request is not None:
        make = jacobian if expr.node.shape else value_and_grad
        function = make(expr, _wrt(options))
    else:
        function = expr.compile()
    text = function.source if options.target == "numpy" else function.export(options.target)
    result: dict[str, Any] = {"code": text, "arguments": list(function.args)}
    lines = [text.rstrip("\n")]
    sizes = _sizes(options.sizes) if options.sizes else None
    if sizes is not None:
        result["cost"] = function.cost(sizes).to_dict()
        lines += [] if options.plan else ["", repr(function.cost(sizes))]
    if options.plan:
        result["plan"] = function.explain_plan(sizes)
        lines = [result["plan"]]
    return Answer(result, lines, expr.notes)


def _sizes(text: str) -> dict[str, int]:
    """The sizes of ``n=1000,m=50``.

    >>> _sizes("n=1000, m=50")
    {'n': 1000, 'm': 50}

    Raises
    ------
    UsageError: a part is not a name and a number.
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not name or not equals or not value.isdecimal():
            raise UsageError(f"{part.strip()!r} is not a size", hint="write --sizes n=1000,m=50")
        sizes[name] = int(value)
    return sizes


def _eval(options: argparse.Namespace) -> Answer:
    import numpy as np  # the only command besides --verify and --code that computes with numbers

    from .api import jacobian
    from .expression import Expr

    data = _load(options.data) if options.data else {}
    for setting in options.set:
        name, equals, values = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting} is not NAME=VALUES", hint="write --set x=1,2,3")
        data[name.strip()] = _array(values)
    expr = Expr(_text(options), _declared(options), syntax=options.syntax)
    asked = bool(options.wrt) or expr.request is not None
    function = jacobian(expr, _wrt(options)) if asked else expr.compile()
    from .syntax.greek import spell

    given = {spell(name): value for name, value in data.items()}
    unused = [name for name in given if name not in function.args]
    results = function(**{name: value for name, value in given.items() if name in function.args})
    arrays = results if isinstance(results, tuple) else (results,)
    remarks = [*expr.notes, *(f"{name} is not used by the expression" for name in unused)]
    values = [np.asarray(array).tolist() for array in arrays]
    lines = [
        np.array2string(np.asarray(array), separator=", ", threshold=10_000) if np.ndim(array) else repr(value)
        for array, value in zip(arrays, values, strict=True)
    ]
    return Answer({"value": values if len(values) > 1 else values[0]}, lines, remarks)


def _load(path: str) -> dict[str, Any]:
    """Arrays by name from a file."""
    import numpy as np

    try:
        if path.endswith(".json"):
            with open(path, encoding="utf-8") as file:  # noqa: PTH123
                return {name: np.asarray(value, dtype=float) for name, value in json.load(file).items()}
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", hint="give arrays by name in a .npz or .json file"
        ) from None


def _array(text: str) -> Any:
    """A number, ``1,2,3`` or ``1,2;3,4``."""
    import numpy as np

    rows = [row for row in text.strip().strip("[]").split(";") if row.strip()]
    try:
        values = [[float(entry) for entry in row.replace(",", " ").split()] for row in rows]
    except ValueError:
        raise UsageError(
            f"{text!r} is not a list of numbers", hint="write --set x=1,2,3 or --set 'A=1,2;3,4'"
        ) from None
    if not values or any(len(row) != len(values[0]) for row in values):
        raise UsageError(f"the rows of {text!r} differ in length", hint="write --set 'A=1,2;3,4'")
    if ";" in text:
        return np.array(values)
    if "," in text or len(values[0]) > 1 or "[" in text:
        return np.array(values[0])
    return np.float64(values[0][0])


def _ops(options: argparse.Namespace) -> Answer:
    from .ops.registry import FAMILIES, OPERATIONS

    if options.name is None:
        result = {family: [describe(operation) for operation in operations] for family, operations in FAMILIES.items()}
        if options.markdown:
            return Answer(result, [operations_page(result).rstrip("\n")])
        lines: list[str] = []
        for family, operations in result.items():
            lines += [*([""] if lines else []), _paint(family, "1", sys.stdout)]
            lines += [f"  {operation['name']:<15} {operation['doc']}" for operation in operations]
        return Answer({"families": result}, lines)
    found = OPERATIONS.get(options.name)
    if found is None:
        nearest = get_close_matches(options.name, OPERATIONS, 3, 0.5)
        hint = f"did you mean {', '.join(nearest)}?" if nearest else "matcalc ops lists them all"
        error = UsageError(f"there is no function {options.name}", hint=hint)
        error.exit_status = SHAPE
        raise error
    result = describe(found)
    return Answer(result, [f"{key}: {_plain(value)}" for key, value in result.items() if value not in ("", [], {})])


def _rules(options: argparse.Namespace) -> Answer:
    from .rulebook import latex, nearest, page, rules

    query = " ".join(options.words)
    found = rules(query)
    result: dict[str, Any] = {"rules": [{**identity.to_dict(), "latex": latex(identity)} for identity in found]}
    if not found:
        close = nearest(query)
        remark = f"the nearest are: {'; '.join(close)}" if close else "matcalc rules lists them all"
        return Answer({**result, "nearest": list(close)}, [], [f"no identity matches {query}", remark], NEGATIVE)
    if options.markdown:
        return Answer(result, [page(found).rstrip("\n")])
    if options.latex:
        return Answer(result, [latex(identity) for identity in found])
    lines: list[str] = []
    for identity in found:
        where = f" · where {', '.join(identity.conditions)}" if identity.conditions else ""
        lines += [_paint(identity.name, "1", sys.stdout), f"  {identity.statement}"]
        lines.append(_dim(f"  {identity.reference}{where}"))
    return Answer(result, lines)


def _errors(options: argparse.Namespace) -> Answer:
    from .error_guide import GUIDES, guide_of, index, page

    guides = GUIDES if options.code is None else (guide_of(options.code),)
    result = {
        guide.kind.code: {
            "class": guide.kind.__name__,
            "exit_status": guide.kind.exit_status,
            "meaning": guide.meaning,
            "causes": [cause._asdict() for cause in guide.causes],
        }
        for guide in guides
    }
    if options.code is not None:
        text = page(guides[0], _printed)
        shown = text if options.markdown else re.sub(r"^(```.*|<!--.*|#+ )\n?", "", text, flags=re.MULTILINE)
        return Answer(result, [shown.rstrip("\n")])
    if options.markdown:
        return Answer(result, [index().rstrip("\n")])
    return Answer(result, [f"{guide.kind.code:<20}{guide.kind.__name__:<20}{guide.brief}" for guide in guides])


def _printed(words: Sequence[str]) -> str:
    """What a command prints, answer and talk together."""
    both = io.StringIO()
    with contextlib.redirect_stdout(both), contextlib.redirect_stderr(both):
        main(words)
    return both.getvalue()


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return str(value)


def describe(operation: Any) -> dict[str, Any]:
    """The facts of a record that can be printed."""
    if operation.nondifferentiable:
        differentiable = f"no: {operation.nondifferentiable}"
    elif operation.zero_derivative:
        differentiable = f"zero: {operation.zero_derivative}"
    else:
        differentiable = "yes"
    return {
        "name": operation.name,
        "aliases": list(operation.aliases),
        "doc": operation.doc,
        "kind": operation.kind,
        "signature": operation.signature,
        "options": {name: str(value) for name, value in operation.options.items()},
        "differentiable": differentiable,
        "domain": _of_arguments(operation.domain),
        "kink": operation.kink,
        "reference": operation.reference,
    }


def _of_arguments(domain: str) -> str:
    """A domain in words: ``{0}`` is the argument, of several the first."""
    if "{1}" not in domain:
        return domain.replace("{0}", "argument")
    return domain.replace("{0}", "argument 1").replace("{1}", "argument 2").replace("{2}", "argument 3")


def operations_page(families: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The reference page of all operations."""
    lines = [
        "# Operations",
        "",
        "<!-- generated by `matcalc ops --markdown`; change the records in matcalc/ops instead -->",
        "",
        "Every function of the language. `matcalc ops NAME` shows one of them.",
    ]
    for family, operations in families.items():
        lines += [
            "",
            f"## {family.capitalize()}",
            "",
            "| name | meaning | derivative | domain |",
            "| --- | --- | --- | --- |",
        ]
        for operation in operations:
            names = ", ".join(f"`{name}`" for name in (operation["name"], *operation["aliases"]))
            meaning = operation["doc"] + (f" At kinks: {operation['kink']}." if operation["kink"] else "")
            cells = (names, meaning, operation["differentiable"], operation["domain"])
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _doctor(_: argparse.Namespace) -> Answer:
    from importlib.metadata import PackageNotFoundError, version
    from platform import platform, python_version

    from .api import derive
    from .syntax.grammar_file import read_grammar

    facts: dict[str, str] = {
        "matcalc": f"{__version__} in {os.path.dirname(os.path.abspath(__file__))}",  # noqa: PTH100, PTH120
        "python": f"{python_version()} in {sys.executable}",
        "platform": platform(),
    }
    for package in ("numpy", "scipy", "sympy", "lark"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "missing"
    facts["grammar"] = f"{len(read_grammar('matcalc.lark').splitlines())} lines"
    derivative = derive("sum(log(1 + exp(-y .* (X w)))) + a/2 ||w||^2", "w")
    report = derivative.check()
    facts["self-test"] = f"{report.message} ({derivative.formula})"
    healthy = report.ok and "missing" not in facts.values()
    lines = [f"{name:<10}{fact}" for name, fact in facts.items()]
    return Answer({"healthy": healthy, **facts}, lines, status=OK if healthy else NEGATIVE)


_RUN: Mapping[str, Callable[[argparse.Namespace], Answer]] = {
    "diff": _diff,
    "jacobian": _diff,
    "hessian": _diff,
    "check": _check,
    "explain": _explain,
    "eval": _eval,
    "code": _code,
    "ops": _ops,
    "rules": _rules,
    "errors": _errors,
    "doctor": _doctor,
}


# --- running -------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    >>> main(["diff", "sin(t)", "--wrt", "t", "--var", "t: scalar"])
    cos(t)
    shape scalar · layout gradient · t: scalar
    0

    Parameters
    ----------
    arguments: the words after ``matcalc``; those of the process by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words[0] if words else ""
    as_json = "--json" in words
    parser = build_parser()
    try:
        arranged = arrange(words, parser)
        if not arranged:
            parser.print_help()
            return USAGE
        options = parser.parse_args(arranged)
        with _within(getattr(options, "timeout", None)):
            answer = _RUN[options.command](options)
    except MatcalcError as error:
        if as_json:
            print(json.dumps({"ok": False, "command": command, "error": error.to_dict(), "version": __version__}))
        else:
            _talk(f"{_paint('error', '1;31', sys.stderr)}: {error}")
        return error.exit_status
    except SystemExit as stop:  # argparse leaves this way after --help and --version
        return stop.code if isinstance(stop.code, int) else OK
    if as_json:
        envelope = {
            "ok": answer.status == OK,
            "command": options.command,
            "result": answer.result,
            "warnings": list(answer.remarks),
            "version": __version__,
        }
        print(json.dumps(envelope, ensure_ascii=False))
        return answer.status
    for line in answer.lines:
        print(line)
    for remark in answer.remarks:
        _talk(f"{_paint('note', '1', sys.stderr)}: {remark}")
    return answer.status


def entry() -> NoReturn:
    """Run as a process: what reaches the shell is a status, never a traceback for something a person did."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader has gone; nothing may be written any more, not even by the interpreter when it closes the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = BROKEN_PIPE
    except KeyboardInterrupt:
        _talk("interrupted")
        status = INTERRUPTED
    except Exception as error:
        if os.environ.get("MATCALC_DEBUG"):
            raise
        _talk(f"error: this is a mistake in matcalc, not in the input ({type(error).__name__}: {error})")
        _talk("hint: run again with MATCALC_DEBUG=1 for the traceback, and report it")
        status = INTERNAL
    sys.exit(status)
