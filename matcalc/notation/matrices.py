"""The way back: a node as an expression of the language, in matrix notation where its network allows it.

Scalars, columns and matrices are written with products, transposes, traces and ``diag``; what has more than two axes,
or does not reduce, as ``einsum("…", …)``. The result is always valid input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase
from types import MappingProxyType
from typing import TypeGuard

from ..calculus.simplify import without_axis
from ..calculus.slices import slice_axis
from ..errors import Unsupported
from ..expr.build import add, as_number, delta, is_ones, magnitude, product, split_coefficient, swap_axes
from ..expr.dims import Dim, Shape
from ..expr.nodes import Call, Exact, Factor, Map, Node, Product, Structure, Sum, Term, Variable, derived, postorder
from ..ops.registry import OPERATIONS
from ..ops.signature import cores
from ..syntax import ast
from .cost import operator_count
from .echo import echo
from .intermediates import LARGEST_TREE, name_intermediates
from .network import Network, read_network, reduce, structure_ast
from .pieces import (
    Chain,
    call,
    chain_ast,
    dimension,
    entrywise_chain,
    flip,
    integer,
    raised,
    rational,
    signed,
    single,
    with_scalars,
)
from .precedence import distinct, written_size

COMPARISONS: Mapping[str, str] = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
RENAMED_MAPS: Mapping[str, str] = {"maximum": "max", "minimum": "min"}
#: Above this many nodes of written-out syntax, repeated sub-expressions get names.
LARGEST_INLINE = 400
#: Above this many nodes of syntax, the reader's own names do not make a formula that could be read.
LARGEST_WRITTEN = 100_000
#: Block matrices with more rows or columns of blocks than this are written as sums.
LARGEST_GRID = 6
#: The kind of value a variable with so many axes is.
KINDS: Mapping[int, str] = MappingProxyType({0: "scalar", 1: "column", 2: "matrix"})
#: How many variables of a sub-expression decide its place among others.
MOST_RANKS = 8


def _shorter_turned(node: Node, order: Sequence[str], tree: ast.Ast) -> ast.Ast:
    """``(X B + B X)^T`` for ``B^T X^T + X^T B^T``: a matrix whose transpose is written with fewer operators."""
    if node.order != 2 or not isinstance(node, Sum | Product):
        return tree
    turned = _Writer(order).expression(swap_axes(node))
    if operator_count(turned) + 1 >= operator_count(tree):
        return tree
    if isinstance(turned, ast.Add) and len(turned.terms) == 1:
        sign, term = turned.terms[0]
        return signed(sign, ast.Transpose(term))
    return ast.Transpose(turned)


def to_ast(node: Node, order: Sequence[str] = ()) -> ast.Ast:
    """The node as syntax: an `Expression <matcalc.syntax.ast.Ast>`, or a `Program` with named intermediates.

    Parameters
    ----------
    node: any node; the shape is the shape of the value (a vector is written as a column).
    order: the variables in the order in which the reader wrote them; terms and factors follow it.
    """
    return _shorter_turned(node, order, _Writer(order).expression(node))


def to_program(
    node: Node,
    order: Sequence[str] = (),
    taken: Sequence[str] = (),
    definitions: Mapping[str, Node] = MappingProxyType({}),
    spellings: frozenset[str] = frozenset(),
    named: bool = True,
) -> ast.Ast:
    """Like `to_ast`, but the formula names what it repeats: ``p = softmax(A x); (diag(p) - p p^T) A``.

    Parameters
    ----------
    taken: names that may not be used for intermediates.
    definitions: intermediates that the reader named, in order; a name is used where that makes the formula shorter.
    spellings: the reader's own, see `habits <matcalc.notation.echo.habits>`.
    named: whether what repeats gets a name; a very long formula has names in any case.
    """
    nodes = list(postorder(node))
    inline = _inline_program(nodes, order, taken)
    kinds: dict[str, str] = {}
    used: set[str] = set()
    if named and len(nodes) < LARGEST_TREE:
        kinds = _kinds_of(nodes)
        sizes = {name for part in nodes for dim in part.shape for name in dim.names}
        used = {*taken, *order, *definitions, *sizes}
        inline = name_intermediates(echo(inline, spellings, kinds), kinds, used)
    own_names = _with_definitions(node, order, definitions) if definitions else None
    if own_names is None:
        return inline
    for statement in own_names.statements[:-1]:
        value = definitions[statement.target.id] if isinstance(statement, ast.Assign) else node
        kinds |= _kinds_of(postorder(value))
    kinds |= {name: KINDS.get(value.order, "") for name, value in definitions.items()}
    own = name_intermediates(echo(own_names, spellings, kinds), kinds, used)
    shorter = operator_count(inline) - operator_count(own)
    return own if shorter > 0 or (shorter == 0 and isinstance(inline, ast.Program)) else inline


def _kinds_of(nodes: Iterable[Node]) -> dict[str, str]:
    """The kinds of values that variables are, by name."""
    return {part.name: KINDS.get(part.order, "") for part in nodes if isinstance(part, Variable)}


def _inline_program(nodes: Sequence[Node], order: Sequence[str], taken: Sequence[str]) -> ast.Ast:
    """The formula in one piece; a long one names what it repeats while it is written.

    Parameters
    ----------
    nodes: the nodes of the formula, operands first.
    """
    node = nodes[-1]
    writer = _Writer(order)
    sizes: dict[bytes, int] = {}
    uses: dict[bytes, int] = {}
    for part in nodes:
        sizes[part.digest] = min(10**9, 1 + sum([sizes[child.digest] for child in part.children]))
        for child in part.children:
            uses[child.digest] = uses.get(child.digest, 0) + 1
    if sizes[node.digest] <= LARGEST_INLINE:
        return _shorter_turned(node, order, writer.expression(node))
    used = {part.name for part in nodes if isinstance(part, Variable)} | set(taken)
    statements: list[ast.Ast] = []
    weight: dict[bytes, int] = {}
    count = 0
    for part in nodes:
        own = weight[part.digest] = 1 + sum([weight[child.digest] for child in part.children])
        named = own >= 4 and uses.get(part.digest, 0) > 1
        long = own > LARGEST_INLINE // 4 and part is not node
        if not (named or long) or part.order > 2 or not part.children or not writer.can_write(part):
            continue
        count += 1
        while f"t{count}" in used:
            count += 1
        name = ast.Name(f"t{count}")
        statements.append(ast.Assign(name, writer.expression(part)))
        writer.names[part.digest] = name
        weight[part.digest] = 1
    statements.append(ast.Output(writer.expression(node)))
    if len(statements) == 1:
        return writer.expression(node)
    return ast.Program(tuple(statements))


def _with_definitions(node: Node, order: Sequence[str], definitions: Mapping[str, Node]) -> ast.Program | None:
    """The formula in the reader's own names for intermediates, with the definitions it needs in front."""
    inside = {part.digest for part in postorder(node)}
    reachable: dict[str, Node] = {}
    for name in reversed(list(definitions)):
        value = definitions[name]
        if value.digest in inside and value.children:
            reachable[name] = value
            inside |= {part.digest for part in postorder(value)}
    if not reachable:
        return None
    writer = _Writer(order)
    statements: list[ast.Ast] = []
    for name, value in definitions.items():
        if name in reachable and value.digest not in writer.names:
            statements.append(ast.Assign(ast.Name(name), writer.expression(value)))
            writer.names[value.digest] = ast.Name(name)
    body = writer.expression(node)
    if sum(map(written_size, (*statements, body))) > LARGEST_WRITTEN:
        return None
    used = {part.id for part in distinct(*statements, body) if isinstance(part, ast.Name)}
    kept = [statement for statement in statements if isinstance(statement, ast.Assign) and statement.target.id in used]
    return ast.Program((*kept, ast.Output(body)))


class _Writer:
    """Writes nodes bottom-up; one tree per distinct node."""

    def __init__(self, order: Sequence[str]) -> None:
        self.rank = {name: position for position, name in enumerate(order)}
        self.names: dict[bytes, ast.Ast] = {}
        self.written: dict[bytes, ast.Ast] = {}
        self.keys: dict[bytes, tuple[int, ...]] = {}

    # -- order of appearance

    def appearance(self, root: Node) -> tuple[int, ...]:
        """The ranks of the first variables of a node, ascending."""
        keys = self.keys
        stack = [] if root.digest in keys else [root]
        while stack:
            node = stack[-1]
            missing = [child for child in node.children if child.digest not in keys]
            if missing:
                stack += missing
                continue
            stack.pop()
            if isinstance(node, Variable):
                keys[node.digest] = (self.rank.get(node.name, len(self.rank)),)
            else:
                found = {rank for child in node.children for rank in keys[child.digest]}
                keys[node.digest] = tuple(sorted(found)[:MOST_RANKS])
        return keys[root.digest]

    def factor_key(self, factor: Factor) -> tuple[object, ...]:
        constant = isinstance(factor.node, Structure)
        plain = isinstance(factor.node, Variable)
        return (
            constant,
            not plain,
            self.appearance(factor.node),
            factor.node.order,
            _complexity(factor.node),
            factor.labels,
            factor.node.digest,
        )

    def term_key(self, term: Term) -> tuple[object, ...]:
        ranks = self.appearance(term.node)
        return term.coefficient < 0, not ranks, ranks, _complexity(term.node), term.node.digest

    def turned(self, node: Node) -> ast.Ast | None:
        """The syntax of a transposed sum, term by term, when that has fewer transposes than ``(…)^T``."""
        if not isinstance(node, Sum) or not 2 <= len(node.terms) <= 6 or node.digest in self.names:
            return None
        tree = self.expression(swap_axes(node))
        return tree if operator_count(tree) <= operator_count(self.tree(node)) else None

    # -- expressions

    def can_write(self, node: Node) -> bool:
        """Whether the node is an expression by itself."""
        try:
            self.expression(node)
        except Unsupported:
            return False
        return True

    def expression(self, root: Node) -> ast.Ast:
        """The tree of a node and of everything below it."""
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if node.digest in self.written or node.digest in self.names:
                continue
            if ready or not node.children:
                self.written[node.digest] = self.write(node)
                continue
            stack.append((node, True))
            if self.by_slices(node) is None:
                stack += [(child, False) for child in node.children]
        return self.tree(root)

    def tree(self, node: Node) -> ast.Ast:
        """The tree of a node that has been written."""
        return self.names.get(node.digest) or self.written.get(node.digest) or self.expression(node)

    def write(self, node: Node) -> ast.Ast:
        if isinstance(node, Variable):
            return ast.Name(node.name)
        if isinstance(node, Structure):
            return structure_ast(node)
        if isinstance(node, Sum):
            return self.write_sum(node)
        if isinstance(node, Product):
            blocks = self.write_blocks(node)
            if blocks is not None:
                return blocks
            sign, tree = self.write_term(1, node)
            return signed(sign, tree)
        if isinstance(node, Map):
            return self.write_map(node)
        assert isinstance(node, Call)
        return self.write_call(node)

    # -- sums

    def write_sum(self, node: Sum) -> ast.Ast:
        value = as_number(node)
        if value is not None:
            return rational(value) if value > 0 else integer(0) if value == 0 else signed(-1, rational(-value))
        if not node.terms:
            return call("zeros", *(dimension(dim) for dim in node.shape))
        blocks = self.write_blocks(node)
        if blocks is not None:
            return blocks
        terms = sorted(node.terms, key=self.term_key)
        full = any(_fills(term.node) for term in terms) if len(terms) > 1 else False
        written: list[tuple[int, ast.Ast]] = []
        for coefficient, part in terms:
            short = self.write_broadcast(coefficient, part) if full else None
            written.append(short if short is not None else self.write_term(coefficient, part))
        written.sort(key=lambda term: term[0] < 0)
        if len(written) == 1:
            return signed(*written[0])
        return ast.Add(tuple(written))

    def write_broadcast(self, coefficient: Exact, node: Node) -> tuple[int, ast.Ast] | None:
        """A term that is constant along some axes, in a sum with terms that are not: it expands by itself."""
        if isinstance(node, Structure) and node.kind == "delta":
            return with_scalars(coefficient, (), (), ast.Name("I"))
        if not isinstance(node, Product) or not node.order:
            return None
        carried = {label for factor in node.factors for label in factor.labels if label < node.order}
        deltas = [
            factor for factor in node.factors if isinstance(factor.node, Structure) and factor.node.kind == "delta"
        ]
        if len(carried) == node.order:
            if len(deltas) == 1 and node.order == 2:
                rest = [factor for factor in node.factors if factor is not deltas[0]]
                if not any(factor.labels for factor in rest):
                    above = [raised(self.tree(f.node), f.exponent, False) for f in rest if f.exponent > 0]
                    below = [raised(self.tree(f.node), -f.exponent, False) for f in rest if f.exponent < 0]
                    return with_scalars(coefficient, above, below, ast.Name("I"))
            return None
        if not carried:
            inner = Product(tuple(node.factors), 0, node.sizes[node.order :]) if not node.factors else None
            if not node.factors:
                return with_scalars(coefficient, (), (), None)
            from_labels = tuple(
                Factor(f.node, f.exponent, tuple(label - node.order for label in f.labels)) for f in node.factors
            )
            inner = Product(from_labels, 0, node.sizes[node.order :])
            if len(from_labels) == 1 and from_labels[0].exponent == 1 and not from_labels[0].labels:
                return self.write_term(coefficient, from_labels[0].node)
            return self.write_term(coefficient, inner)
        if node.order == 2 and len(carried) == 1:
            axis = next(iter(carried))
            kept = {axis: 0, **{label: label - 1 for label in range(2, len(node.sizes))}}
            factors = tuple(Factor(f.node, f.exponent, tuple(kept[label] for label in f.labels)) for f in node.factors)
            small = Product(factors, 1, (node.sizes[axis], *node.sizes[2:]))
            if len(factors) == 1 and factors[0].exponent == 1 and factors[0].labels == (0,):
                sign, tree = self.write_term(coefficient, factors[0].node)
            else:
                sign, tree = self.write_term(coefficient, small)
            return (sign, tree) if axis == 0 else (sign, ast.Transpose(tree))
        return None

    # -- products

    def write_term(self, coefficient: Exact, node: Node) -> tuple[int, ast.Ast]:
        """A sign and a tree for a number times a node."""
        part, inner = split_coefficient(node)
        if part != 1 and node.digest not in self.names:
            coefficient, node = coefficient * part, inner
        if isinstance(node, Sum) and not node.order and as_number(node) is None and coefficient not in (1, -1):
            return with_scalars(coefficient, (), (), self.tree(node))
        if not isinstance(node, Product) or node.digest in self.names:
            return with_scalars(coefficient, (), (), self.tree(node))
        sliced = self.by_slices(node)
        if sliced is not None:
            return with_scalars(coefficient, (), (), sliced)
        network = (
            read_network(node, self.tree, self.turned, self.appearance, self.factor_key) if node.order <= 2 else None
        )
        if network is None or not reduce(network):
            return self.write_einsum(coefficient, node)
        body = self.assemble(network)
        self.write_means(network, node)
        return with_scalars(coefficient, network.above, network.below, body)

    def write_means(self, network: Network, node: Product) -> None:
        """``1/n sum(x)`` among the scalar factors is ``mean(x)``."""
        for factor in node.factors:
            total = factor.node
            if factor.labels or factor.exponent != 1 or not isinstance(total, Product) or len(total.summed) != 1:
                continue
            tree, count = self.tree(total), total.sizes[0].name
            if not (isinstance(tree, ast.Call) and tree.func == "sum" and not tree.kwargs and tree in network.above):
                continue
            for divisor in network.below:
                if isinstance(divisor, ast.Name) and divisor.id == count:
                    network.below.remove(divisor)
                    network.above[network.above.index(tree)] = call("mean", *tree.args)
                    break

    def assemble(self, network: Network) -> ast.Ast | None:
        """What hangs between the output labels of a reduced network, as one expression."""
        sizes = network.sizes
        if network.order == 0:
            return None
        if network.order == 1:
            column = network.take_vectors(0)
            return chain_ast(column) if column is not None else call("ones", dimension(sizes[0]))
        if network.tied:
            for edge in list(network.edges):
                network.edges.remove(edge)
                network.add_vector(0, single(call("diag", chain_ast(edge.chain(0)))))
            column = network.take_vectors(0)
            if column is not None and len(column) == 1 and _is_diagonal(column[0].ast):
                return ast.Binary(".*", column[0].ast.args[0], ast.Name("I"))
            return call("diag", chain_ast(column)) if column is not None else call("I", dimension(sizes[0]))
        left, right = network.take_vectors(0), network.take_vectors(1)
        if not network.edges:
            if left is None and right is None:
                return call("ones", dimension(sizes[0]), dimension(sizes[1]))
            rows: Chain = left if left is not None else single(call("ones", dimension(sizes[0])))
            columns: Chain = right if right is not None else single(call("ones", dimension(sizes[1])))
            return chain_ast((*rows, *flip(columns)))
        chain = entrywise_chain([edge.turned(0) for edge in network.edges])
        if left is not None and right is not None and not _is_row_sum(left):
            outer = chain_ast((*left, *flip(right)))
            only = network.edges[0]
            if len(network.edges) == 1 and only.structure is not None and only.structure.kind == "lower":
                return call("tril" if only.row == 0 else "triu", outer)
            # diag(x) A diag(y), with one operator less
            return ast.Binary(".*", outer, chain_ast(chain))
        if left is not None and _is_row_sum(left):
            # a column expands over the columns of a matrix by itself
            chain = single(ast.Binary(".*", chain_ast(left), chain_ast(chain)))
        elif left is not None:
            chain = (*single(call("diag", chain_ast(left)), True), *chain)
        if right is not None:
            chain = (*chain, *single(call("diag", chain_ast(right)), True))
        return chain_ast(chain)

    def write_einsum(self, coefficient: Exact, node: Product) -> tuple[int, ast.Ast]:
        """A contraction by label string; parts that matrices can say are written as matrices."""
        letters = ascii_lowercase[8:] + ascii_lowercase[:8] + ascii_uppercase
        above: list[ast.Ast] = []
        below: list[ast.Ast] = []
        operands: list[tuple[tuple[int, ...], ast.Ast]] = []
        for factor in node.factors:
            if not factor.labels:
                powered = raised(self.tree(factor.node), magnitude(factor.exponent), False)
                (above if factor.exponent > 0 else below).append(powered)
        for group in self.components(node):
            operands += self.write_component(node, group)
        carried = {label for labels, _ in operands for label in labels}
        for label in range(node.order):
            if label not in carried:
                operands.append(((label,), call("ones", dimension(node.sizes[label]))))
        if not operands:
            return with_scalars(coefficient, above, below, None)
        used = list(range(node.order)) + sorted(
            {label for labels, _ in operands for label in labels if label >= node.order}
        )
        if len(used) > len(letters):
            raise Unsupported("a contraction over more than 52 indices cannot be written")
        letter = dict(zip(used, letters, strict=False))
        specs = ["".join(letter[label] for label in labels) for labels, _ in operands]
        out = "".join(letters[: node.order])
        if specs == [out]:
            return with_scalars(coefficient, above, below, operands[0][1])
        body = call("einsum", ast.Str(",".join(specs) + "->" + out), *(tree for _, tree in operands))
        return with_scalars(coefficient, above, below, body)

    def components(self, node: Product) -> list[list[Factor]]:
        """The factors with labels, grouped by the summed labels that join them, in the reader's order."""
        factors = sorted((factor for factor in node.factors if factor.labels), key=self.factor_key)
        groups: list[tuple[set[int], list[Factor]]] = []
        for factor in factors:
            inner = {label for label in factor.labels if label >= node.order}
            joined = [group for group in groups if group[0] & inner]
            members = [member for group in joined for member in group[1]] + [factor]
            labels = inner.union(*(group[0] for group in joined))
            place = groups.index(joined[0]) if joined else len(groups)
            groups = [group for group in groups if group not in joined]
            groups.insert(place, (labels, members))
        return [members for _, members in groups]

    def write_component(self, node: Product, group: list[Factor]) -> list[tuple[tuple[int, ...], ast.Ast]]:
        """One component as one matrix operand, or factor by factor when it has no matrix form."""
        outer = sorted({label for factor in group for label in factor.labels if label < node.order})
        if len(group) > 1 and len(outer) <= 2:
            # of A X and X^T A^T the one with fewer transposes is the operand
            written = [self.write_as_matrix(node, group, labels) for labels in {tuple(outer), tuple(outer[::-1])}]
            found = [(operator_count(body), labels, body) for labels, body in filter(None, written)]
            if found:
                return [min(found, key=lambda operand: operand[:2])[1:]]
        operands = []
        for base, exponent, labels in group:
            tree = self.tree(base)
            if exponent < 0:
                tree = ast.Binary("./", integer(1), raised(tree, -exponent, True))
            elif exponent != 1:
                tree = raised(tree, exponent, True)
            operands.append((labels, tree))
        return operands

    def write_as_matrix(
        self, node: Product, group: list[Factor], outer: tuple[int, ...]
    ) -> tuple[tuple[int, ...], ast.Ast] | None:
        """One component as a matrix with its output labels in the given order, where it has such a form."""
        names = {label: position for position, label in enumerate(outer)}
        for factor in group:
            for label in factor.labels:
                names.setdefault(label, len(names))
        sizes = tuple(node.sizes[label] for label in sorted(names, key=lambda label: names[label]))
        factors = tuple(Factor(f.node, f.exponent, tuple(names[label] for label in f.labels)) for f in group)
        small = Product(factors, len(outer), sizes)
        network = read_network(small, self.tree, self.turned, self.appearance, self.factor_key)
        if network is not None and reduce(network) and not network.above and not network.below:
            body = self.assemble(network)
            if body is not None:
                return outer, body
        return None

    # -- blocks

    def write_blocks(self, node: Node) -> ast.Ast | None:
        """A sum of pieces placed by constant selections as ``[A, B; C, D]``, or None when they do not tile."""
        if node.order not in (1, 2):
            return None
        terms = node.terms if isinstance(node, Sum) else (Term(1, node),)
        if len(terms) > LARGEST_GRID**2:
            return None
        cells: dict[tuple[tuple[Dim, Dim], ...], list[tuple[Exact, Node]]] = {}
        for coefficient, part in terms:
            placed = _placed(part)
            if placed is None:
                return None
            ranges, inner = placed
            cells.setdefault(ranges, []).append((coefficient, inner))
        grid: list[list[tuple[Dim, Dim]]] = []
        for axis in range(node.order):
            tiling = _tile({ranges[axis] for ranges in cells}, node.shape[axis])
            if tiling is None:
                return None
            grid.append(tiling)
        if all(len(tiling) == 1 for tiling in grid):
            return None
        if node.order == 1:
            return ast.Block(tuple((self.cell(cells.get((part,)), (part[1],)),) for part in grid[0]))
        return ast.Block(
            tuple(
                tuple(self.cell(cells.get((rows, columns)), (rows[1], columns[1])) for columns in grid[1])
                for rows in grid[0]
            )
        )

    def cell(self, parts: Sequence[tuple[Exact, Node]] | None, shape: Shape) -> ast.Ast:
        """One block; a block of one entry is a number, a vector above or below others a row."""
        scalar = all(dim.constant == 1 for dim in shape)
        if parts is None:
            return integer(0) if scalar else call("zeros", *(dimension(dim) for dim in shape))
        value = add(parts, parts[0][1].shape)
        if len(shape) < 2 or value.order != 1 or shape[0].constant != 1:
            return self.expression(value)
        coefficient, column = split_coefficient(value)
        return signed(*with_scalars(coefficient, (), (), chain_ast(flip(single(self.expression(column))))))

    # -- functions

    def write_map(self, node: Map) -> ast.Ast:
        args: list[ast.Ast] = []
        covered = [set(axes) == set(range(node.order)) for axes in node.axes]
        for arg, axes in zip(node.args, node.axes, strict=True):
            args.append(self.aligned(arg, axes, node.shape, any(covered)))
        if node.op in COMPARISONS:
            return ast.Binary(COMPARISONS[node.op], args[0], args[1])
        if node.op == "step":
            return self.write_threshold(node.args[0], args[0])
        if node.op == "pow":
            return ast.Binary("^" if not node.args[0].order else ".^", args[0], args[1])
        return call(RENAMED_MAPS.get(node.op, node.op), *args)

    def write_threshold(self, arg: Node, tree: ast.Ast) -> ast.Ast:
        """``x > 0``, and ``|r| > 1/4`` for ``|r| - 1/4 > 0``."""
        if isinstance(arg, Sum) and len(arg.terms) == 2 and arg.digest not in self.names:
            for constant, rest in (arg.terms, arg.terms[::-1]):
                if is_ones(constant.node) and constant.coefficient < 0 and rest.coefficient == 1:
                    return ast.Binary(">", self.tree(rest.node), rational(-constant.coefficient))
        return ast.Binary(">", tree, integer(0))

    def aligned(self, arg: Node, axes: tuple[int, ...], shape: Shape, full: bool) -> ast.Ast:
        """An operand of an entrywise function, expanded where it would not expand by itself."""
        tree = self.tree(arg)
        order = len(shape)
        if axes == tuple(range(order)) or not axes:
            return tree
        if order == 2 and axes == (1, 0):
            return ast.Transpose(tree)
        if order == 2 and len(axes) == 1 and full:
            return tree if axes == (0,) else ast.Transpose(tree)
        letters = ascii_lowercase[8:] + ascii_lowercase[:8]
        specs = ["".join(letters[axis] for axis in axes)]
        operands = [tree]
        for axis in range(order):
            if axis not in axes:
                specs.append(letters[axis])
                operands.append(call("ones", dimension(shape[axis])))
        out = "".join(letters[axis] for axis in range(order))
        return call("einsum", ast.Str(",".join(specs) + "->" + out), *operands)

    def write_call(self, node: Call) -> ast.Ast:
        parameters = dict(node.parameters)
        args = [self.tree(arg) for arg in node.args]
        first = node.args[0]
        core = int(parameters["core"]) if "core" in parameters else None
        if node.op == "inv" and first.order == 2:
            return ast.Binary("^", args[0], integer(-1))
        if node.op == "matpow" and first.order == 2:
            return ast.Binary("^", args[0], args[1])
        if node.op == "tracepow" and first.order == 2:
            return call("tr", ast.Binary("^", args[0], args[1]))
        if node.op == "normalize" and core == first.order:
            length = ast.Norm("F" if core == 2 else "", args[0])
            return ast.Binary("/", args[0], length)
        if node.op == "norm" and core == first.order:
            return ast.Norm("F" if core == 2 else "", args[0])
        if core is not None and core < first.order:
            if core != 1 or node.op not in OPERATIONS or "axis" not in OPERATIONS[node.op].options:
                raise Unsupported(f"{node.op} over the last axes of an array with {first.order} axes cannot be written")
            return call(node.op, args[0], axis=integer(first.order - 1))
        if core is not None:
            if core > 1 and "axis" not in OPERATIONS[node.op].options:
                raise Unsupported(f"{node.op} over all entries of a matrix cannot be written as one expression")
            return call(node.op, *args)
        return call(node.op, *(self.unstacked(node, k) for k in range(len(args))))

    def unstacked(self, node: Call, position: int) -> ast.Ast:
        """An operand of a call on stacks, without the stack where it is the same in all of it."""
        arg = node.args[position]
        stack = arg.order - len(cores(OPERATIONS[node.op].signature)[0][position])
        small: Node | None = arg
        for _ in range(stack):
            small = without_axis(small, 0) if small is not None else None
        return self.expression(small) if small is not None else self.tree(arg)

    # -- sums over an index, for what has no matrix form

    def by_slices(self, node: Node) -> ast.Ast | None:
        """A product over stacked matrices as ``sum_{i=1}^{n} …``, or None when it is not one."""
        if not isinstance(node, Product) or node.digest in self.names:
            return None
        label = _stacked_label(node)
        if label is None:
            return None
        if label < node.order:
            return None
        index = self.fresh_index(node)
        place = Dim.of(index)
        factors: list[tuple[Node, Exact, tuple[int, ...]]] = []
        for factor in node.factors:
            base, labels = factor.node, list(factor.labels)
            while label in labels:
                axis = labels.index(label)
                base = slice_axis(base, axis, place)
                del labels[axis]
            factors.append((base, factor.exponent, tuple(labels)))
        sizes = {k: dim for k, dim in enumerate(node.sizes) if k != label}
        body = product(factors, range(node.order), sizes)
        still_stacked: bool = derived(body, "stacked", _is_stacked)
        if still_stacked:
            # the label is not a batch axis of what is stacked: slicing along it would never end
            return None
        tree = self.expression(body)
        return ast.IndexSum("sum", (index,), integer(1), dimension(node.sizes[label]), tree)

    def fresh_index(self, node: Node) -> str:
        used = {part.name for part in postorder(node) if isinstance(part, Variable)} | set(self.rank)
        for part in postorder(node):
            for dim in part.shape:
                used |= set(dim.names)
            if isinstance(part, Structure):
                for dim in part.parameters:
                    used |= set(dim.names)
        return next(name for name in ("i", "j", "k", "l", *(f"i{n}" for n in range(1, 99))) if name not in used)


def _placed(node: Node) -> tuple[tuple[tuple[Dim, Dim], ...], Node] | None:
    """Where constant selections put a term: an offset and a length for each axis, and the part that is placed."""
    if not isinstance(node, Product):
        if isinstance(node, Structure) and node.kind == "unit":
            return ((node.parameters[0] - 1, Dim.of(1)),), product([], ())
        return None
    ranges: list[tuple[Dim, Dim]] = []
    rest: list[tuple[Node, Exact, tuple[int, ...]]] = list(node.factors)
    out: list[int] = []
    sizes = {label: dim for label, dim in enumerate(node.sizes) if label >= node.order}
    for axis in range(node.order):
        here = [factor for factor in node.factors if axis in factor.labels]
        if len(here) != 1 or not isinstance(here[0].node, Structure):
            return None
        factor = here[0]
        kind, parameters = here[0].node.kind, here[0].node.parameters
        if kind == "unit":
            ranges.append((parameters[0] - 1, Dim.of(1)))
        elif kind == "select" and factor.labels[1] == axis and factor.labels[0] >= node.order:
            ranges.append((parameters[2], parameters[0]))
            inner = factor.labels[0]
            if inner in out:
                # both axes select along one label: the block is diagonal
                twin = len(node.sizes)
                sizes[twin] = sizes[inner]
                rest.append((delta(sizes[inner]), 1, (inner, twin)))
                inner = twin
            out.append(inner)
        else:
            return None
        rest.remove(factor)
    return tuple(ranges), product(rest, out, sizes)


def _tile(ranges: set[tuple[Dim, Dim]], total: Dim) -> list[tuple[Dim, Dim]] | None:
    """Ranges of one axis in order, with the gaps between them; None when they overlap or are too many."""
    by_start = dict(ranges)
    if len(by_start) != len(ranges):
        return None
    tiling: list[tuple[Dim, Dim]] = []
    place = Dim.of(0)
    while place != total:
        if len(tiling) > LARGEST_GRID:
            return None
        if place in by_start:
            length = by_start.pop(place)
        else:
            following = [start - place for start in by_start if _is_positive_dim(start - place)]
            following = following or [total - place]
            if not _is_positive_dim(following[0]):
                return None
            length = min(following, key=lambda dim: (dim.constant is None, dim.constant or 0, dim.key))
        tiling.append((place, length))
        place = place + length
    return tiling if not by_start else None


def _is_positive_dim(dim: Dim) -> bool:
    return bool(dim.terms) and dim.is_nonnegative


def _is_diagonal(tree: ast.Ast) -> TypeGuard[ast.Call]:
    return isinstance(tree, ast.Call) and tree.func == "diag"


def _is_row_sum(chain: Chain) -> bool:
    tree = chain[0].ast
    return len(chain) == 1 and isinstance(tree, ast.Call) and bool(tree.kwargs) and not chain[0].transposed


def _stacked_label(node: Product) -> int | None:
    """A label that is a batch axis of a call which has no notation for batches."""
    for factor in node.factors:
        stacked: bool = derived(factor.node, "stacked", _is_stacked)
        if factor.labels and stacked:
            return factor.labels[0]
    return None


def _is_stacked(node: Node) -> bool:
    own = isinstance(node, Call) and (node.order > 2 or any(arg.order > 2 for arg in node.args))
    return own or any(child.cache["stacked"] for child in node.children)


def _complexity(node: Node) -> int:
    return derived(
        node, "complexity", lambda part: min(10**6, 1 + sum(int(c.cache["complexity"]) for c in part.children))
    )


def _fills(node: Node) -> bool:
    """Whether a term carries all its axes, so that terms that lack some may expand along it."""
    if isinstance(node, Structure):
        return False
    if isinstance(node, Product):
        carried = {label for factor in node.factors for label in factor.labels if label < node.order}
        if node.order == 2 and any(isinstance(f.node, Structure) and f.node.kind == "delta" for f in node.factors):
            return any(not isinstance(f.node, Structure) and f.labels for f in node.factors)
        return len(carried) == node.order
    return True
