"""A derivative entry by entry: ``D[i, j, k, l] = I[i, k] X[l, j]``, with identity matrices as Kronecker deltas."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from string import ascii_lowercase

from ..errors import Unsupported
from ..expr.build import magnitude
from ..expr.nodes import Factor, Node, Variable, postorder
from ..notation.intermediates import name_intermediates
from ..notation.matrices import KINDS, to_ast
from ..notation.pieces import call, dimension, integer, raised, times, with_scalars
from ..syntax import ast
from .terms import Block, Term, blocks_of, in_order, terms_of

#: The letters of indices, in the order in which they are taken.
IN_OTHER_FORM = "use the form map or einsum"

LETTERS = "ijklpqrs" + "".join(letter for letter in ascii_lowercase if letter not in "ijklpqrse")


def entries(node: Node, order: Sequence[str] = (), taken: Collection[str] = ()) -> ast.Ast:
    """A definition of the derivative entry by entry, the expression itself where it is a scalar.

    Parameters
    ----------
    node: the derivative, in a form to be read.
    order: the variables in the order in which the reader wrote them.
    taken: names that may not be used for indices and for the derivative.

    Raises
    ------
    Unsupported: more indices are needed than there are letters.
    """
    writer = _Writer(node, order, taken)
    writer.value()
    kinds = {part.name: KINDS.get(part.order, "") for part in postorder(node) if isinstance(part, Variable)}
    arrays = ast.Call("arrays", tuple(writer.arrays))
    named = name_intermediates(arrays, kinds, {*taken, *order, *writer.used, "D"})
    statements: tuple[ast.Ast, ...] = ()
    if isinstance(named, ast.Program):
        *before, last = named.statements
        statements = tuple(before)
        assert isinstance(last, ast.Output)
        assert isinstance(last.value, ast.Call)
        writer.replacements = last.value.args
    value = writer.value()
    if node.order:
        name = next(name for name in ("D", *(f"D_{k}" for k in range(1, len(taken) + 2))) if name not in taken)
        value = ast.Assign(ast.Name(name), value, tuple(writer.letters[axis] for axis in range(node.order)))
    return ast.Program((*statements, value if node.order else ast.Output(value))) if statements else value


class _Writer:
    """Writes the terms of a node; a second time with other syntax for the arrays whose entries are taken."""

    def __init__(self, node: Node, order: Sequence[str], taken: Collection[str]) -> None:
        self.node = node
        self.order = order
        self.free = iter([letter for letter in LETTERS if letter not in taken])
        self.letters: dict[int, str] = dict(zip(range(node.order), self.next_letters(), strict=False))
        self.spare = list(self.free)
        self.used = set(self.letters.values())
        self.terms = terms_of(node)
        self.arrays: list[ast.Ast] = []
        self.replacements: Sequence[ast.Ast] | None = None
        self.anchored = {
            axis
            for term in self.terms
            for block in blocks_of(term.factors, range(node.order))
            if not block.is_delta
            for axis in block.axes
        }

    def next_letters(self) -> Iterator[str]:
        """Letters that nothing else is called."""
        for _ in range(self.node.order):
            letter = next(self.free, None)
            if letter is None:
                raise Unsupported("there are not enough letters for all indices", hint=IN_OTHER_FORM)
            yield letter

    def value(self) -> ast.Ast:
        """The right-hand side."""
        self.arrays = []
        written = [self.term(term) for term in self.terms]
        return in_order(written) if written else self.zero()

    def array(self, node: Node) -> ast.Ast:
        """The syntax of an array or a scalar of a term."""
        self.arrays.append(to_ast(node, self.order))
        return self.arrays[-1] if self.replacements is None else self.replacements[len(self.arrays) - 1]

    def zero(self) -> ast.Ast:
        """``0 ones(m)[i] ones(n)[j]``: a zero that says the size of every index."""
        tree: ast.Ast = integer(0)
        for axis in range(self.node.order):
            tree = times(tree, self.entry(call("ones", dimension(self.node.shape[axis])), (axis,), self.letters))
        return tree

    def term(self, term: Term) -> tuple[int, ast.Ast]:
        """A sign and a tree: numbers and scalars, sums over indices, then the entries."""
        axes = range(self.node.order)
        above: list[ast.Ast] = []
        below: list[ast.Ast] = []
        inside: list[ast.Ast] = []
        sums: list[str] = []
        for factor in term.scalars:
            powered = raised(self.array(factor.node), magnitude(factor.exponent), False)
            (above if factor.exponent > 0 else below).append(powered)
        spare = iter(self.spare)
        carried: set[int] = set()
        for block in sorted(blocks_of(term.factors, axes), key=lambda block: block.axes):
            carried |= set(block.axes)
            if not block.axes:
                above.append(self.array(term.array(block.factors, ())))
                continue
            kept = _kept(block)
            names = dict(self.letters)
            for label in kept:
                letter = next(spare, None)
                if letter is None:
                    raise Unsupported("there are not enough letters for all indices", hint=IN_OTHER_FORM)
                names[label] = letter
                self.used.add(letter)
                sums.append(letter)
            outer = (*block.axes, *kept)
            for inner in sorted(blocks_of(block.factors, outer), key=lambda block: block.axes):
                self.add(term, inner, names, inside if kept else above, inside if kept else below)
        bare = [axis for axis in axes if axis not in carried]
        above += [self.entry(call("ones", dimension(term.sizes[axis])), (axis,), self.letters) for axis in bare]
        sign, tree = with_scalars(term.coefficient, above, below, None)
        if not sums:
            return sign, tree
        body = inside[0]
        for entry in inside[1:]:
            body = times(body, entry)
        total = ast.IndexSum("sum", tuple(sums), None, None, body)
        return sign, total if isinstance(tree, ast.Num) and tree.value == 1 else times(tree, total)

    def add(
        self, term: Term, block: Block, names: Mapping[int, str], above: list[ast.Ast], below: list[ast.Ast]
    ) -> None:
        """The entries of a block, above or below the line."""
        if block.is_delta:
            known = {*self.anchored, *(label for label in block.axes if label >= self.node.order)}
            identity: ast.Ast = ast.Name("I")
            if not set(block.axes) & known:
                identity = call("I", dimension(term.sizes[block.axes[0]]))
            above.append(self.entry(identity, block.axes, names))
            return
        if len(block.factors) == 1:
            node, exponent, labels = block.factors[0]
            if set(labels) == set(block.axes):
                tree = raised(self.entry(self.array(node), labels, names), magnitude(exponent), False)
                if exponent < 0 and above is below:
                    tree = ast.Binary("/", integer(1), tree)
                (above if exponent > 0 else below).append(tree)
                return
        if len(block.axes) > 2:
            raise Unsupported(
                "a factor with three or more axes that are not its own cannot be written by index", hint=IN_OTHER_FORM
            )
        array = term.array(block.factors, block.axes)
        above.append(self.entry(self.array(array), block.axes, names))

    def entry(self, tree: ast.Ast, labels: Sequence[int], names: Mapping[int, str]) -> ast.Ast:
        """``A[i, k]``, of a transpose ``A[k, i]``."""
        while isinstance(tree, ast.Transpose) and len(labels) == 2:
            tree, labels = tree.arg, labels[::-1]
        return ast.Index(tree, tuple(ast.Name(names[label]) for label in labels))


def _kept(block: Block) -> list[int]:
    """The summed labels that need an index of their own: without them the block falls into vectors and matrices."""
    if len(block.axes) <= 2 or len(block.factors) == 1:
        return []
    kept = sorted({label for factor in block.factors for label in factor.labels if label not in block.axes})
    for label in list(kept):
        fewer = [other for other in kept if other != label]
        if all(_is_plain(inner.factors, inner.axes) for inner in blocks_of(block.factors, (*block.axes, *fewer))):
            kept = fewer
    return kept


def _is_plain(factors: Sequence[Factor], axes: Sequence[int]) -> bool:
    return len(axes) <= 2 or (len(factors) == 1 and set(factors[0].labels) == set(axes))
