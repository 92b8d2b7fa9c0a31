"""A product read as a graph and reduced to matrix notation.

Labels are the nodes of the graph, factors of order two its edges, vectors hang on labels. A summed label with one
edge folds its vectors into a vector at the other end (``A x``), one with two edges joins them (``A diag(v) B``),
parallel edges are an entrywise product, a closed cycle is a trace, what hangs on an output is a ``diag``. Constant
structures read as slices, blocks, ``vec`` and ``kron``. A network that does not reduce is left to the caller, who
writes ``einsum``.
The reduction follows the graph view of DiffMatic.jl in kind (series, parallel, pendant), extended by cycles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..expr.build import is_symmetric, magnitude
from ..expr.dims import Dim
from ..expr.nodes import Factor, Node, Product, Structure
from ..syntax import ast
from .pieces import (
    Chain,
    Item,
    Quotient,
    best_cycle,
    best_scalar,
    call,
    chain_ast,
    dimension,
    entrywise_chain,
    flip,
    integer,
    raised,
    single,
    times,
)
from .precedence import is_inverse


@dataclass(slots=True)
class Edge:
    """Matrices between two labels: the entrywise product of chains with rows ``row`` and columns ``column``."""

    row: int
    column: int
    content: Quotient
    structure: Structure | None = None

    def turned(self, row: int) -> Quotient:
        """The content with rows at the given label."""
        if row == self.row:
            return self.content
        return Quotient(
            tuple(flip(chain) for chain in self.content.above),
            tuple(ast.Transpose(tree) for tree in self.content.below),
        )

    def chain(self, row: int) -> Chain:
        """The edge as one chain with rows at the given label; an entrywise product turns whole if that is shorter."""
        turned = self.turned(row)
        is_compound = len(turned.above) + len(turned.below) > 1
        if row != self.row and is_compound and _transposes(turned) > _transposes(self.content):
            return flip(entrywise_chain([self.content]))
        return entrywise_chain([turned])

    def other(self, label: int) -> int:
        return self.column if label == self.row else self.row


def _transposes(content: Quotient) -> int:
    return sum(item.transposed for chain in content.above for item in chain) + sum(
        isinstance(tree, ast.Transpose) for tree in content.below
    )


@dataclass(slots=True)
class Network:
    """The pieces that are left, by label."""

    order: int
    sizes: tuple[Dim, ...]
    vectors: dict[int, list[Quotient]] = field(default_factory=dict)
    units: dict[int, Structure] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    pairs: list[Factor] = field(default_factory=list)
    above: list[ast.Ast] = field(default_factory=list)
    below: list[ast.Ast] = field(default_factory=list)
    tied: bool = False
    summed: set[int] = field(default_factory=set)

    def at(self, label: int) -> list[Edge]:
        return [edge for edge in self.edges if label in (edge.row, edge.column)]

    def in_pairs(self, label: int) -> bool:
        return any(label in factor.labels for factor in self.pairs)

    def add_vector(self, label: int, chain: Chain) -> None:
        self.vectors.setdefault(label, []).append(Quotient((chain,), ()))

    def take_vectors(self, label: int) -> Chain | None:
        """Everything that hangs on a label as one column, removed from it."""
        pieces = self.vectors.pop(label, [])
        unit = self.units.pop(label, None)
        if unit is not None:
            pieces = [*pieces, Quotient((single(unit_ast(unit)),), ())]
        return entrywise_chain(pieces) if pieces else None


def unit_ast(unit: Structure) -> ast.Ast:
    """``e(k, n)``."""
    return call("e", dimension(unit.parameters[0]), dimension(unit.parameters[1]))


def read_network(
    node: Product,
    write: Callable[[Node], ast.Ast],
    turn: Callable[[Node], ast.Ast | None],
    appearance: Callable[[Node], tuple[int, ...]],
    sort_key: Callable[[Factor], tuple[object, ...]],
) -> Network | None:
    """Sort the factors of a product into the pieces of a network; None when a factor has too many axes.

    Parameters
    ----------
    write: the syntax of a factor.
    turn: the syntax of a transposed factor where that is more than ``^T``.
    appearance: where the variables of a factor stand in the reader's text.
    sort_key: the order of factors.
    """
    network = Network(node.order, node.sizes, summed=set(node.summed))
    for factor in sorted(node.factors, key=sort_key):
        base, exponent, labels = factor
        if isinstance(base, Structure) and base.order:
            if not _read_structure(network, factor):
                return None
            continue
        if base.order > 2:
            return None
        tree = write(base)
        positive = exponent > 0
        body = raised(tree, magnitude(exponent), entrywise=base.order > 0)
        if base.order == 0:
            (network.above if positive else network.below).append(body)
            continue
        symmetric = base.order == 2 and is_symmetric(base)
        rank = appearance(base)
        turned = turn(base) if exponent == 1 and base.order == 2 and not symmetric else None
        content = Quotient((single(body, symmetric, turned, rank),), ()) if positive else Quotient((), (body,))
        if base.order == 1:
            network.vectors.setdefault(labels[0], []).append(content)
        elif labels[0] == labels[1] and exponent == 1:
            network.edges.append(Edge(labels[0], labels[1], content))
        elif labels[0] == labels[1]:
            diagonal = call("diag", tree)
            body = raised(diagonal, magnitude(exponent), entrywise=True)
            network.vectors.setdefault(labels[0], []).append(
                Quotient((single(body),), ()) if positive else Quotient((), (body,))
            )
        elif exponent == 2 and symmetric and is_inverse(tree) and _is_alone(node, labels):
            # tr(M^-2) has one operator less than ||M^-1||_F^2
            assert isinstance(tree, ast.Binary)
            network.summed -= set(labels)
            network.above.append(call("tr", ast.Binary("^", tree.left, integer(-2))))
        else:
            network.edges.append(Edge(labels[0], labels[1], content))
    return network


def _is_alone(node: Product, labels: tuple[int, ...]) -> bool:
    """Whether summed labels belong to one factor only."""
    return all(label >= node.order and sum(f.labels.count(label) for f in node.factors) == 1 for label in labels)


def _read_structure(network: Network, factor: Factor) -> bool:
    base, exponent, labels = factor
    assert isinstance(base, Structure)
    if base.kind == "delta":
        network.tied = True
        return network.order == 2
    if base.kind == "unit" and exponent > 0:
        known = network.units.get(labels[0])
        if known is not None and known != base:
            # e(2, m)[i] is not 1: one of the two picks an entry of the other
            is_number = known.parameters[0].constant is not None
            base, other = (base, known) if is_number else (known, base)
            network.add_vector(labels[0], single(unit_ast(other)))
        network.units[labels[0]] = base
        return True
    if base.kind == "range":
        start = base.parameters[0]
        tree: ast.Ast = call("cumsum", call("ones", dimension(base.parameters[1])))
        if start.constant != 1:
            tree = ast.Add(((1, tree), (1, dimension(start - 1))))
        body = raised(tree, magnitude(exponent), entrywise=True)
        content = Quotient((single(body),), ()) if exponent > 0 else Quotient((), (body,))
        network.vectors.setdefault(labels[0], []).append(content)
        return True
    if base.kind in ("select", "lower") and exponent > 0:
        if labels[0] == labels[1]:
            return False
        network.edges.append(Edge(labels[0], labels[1], Quotient((single(structure_ast(base)),), ()), base))
        return True
    if base.kind in ("pair", "halfpair", "levicivita") and len(set(labels)) == 3:
        if base.kind == "levicivita" and exponent != 1:
            return False
        network.pairs.append(factor)
        return True
    return False


def structure_ast(base: Structure) -> ast.Ast:
    """A constant tensor as an expression of the language."""
    parameters = base.parameters
    match base.kind:
        case "delta":
            return call("I", dimension(parameters[0]))
        case "unit":
            return unit_ast(base)
        case "lower":
            return call("tril", call("ones", dimension(parameters[0]), dimension(parameters[0])))
        case "select":
            m, n, offset = parameters
            if _is_negative(offset):
                # rows of zeros, then the identity: columns of a longer identity
                return ast.Index(
                    call("I", dimension(m)),
                    (ast.Range(None, None), ast.Range(dimension(Dim.of(1) - offset), dimension(n - offset))),
                )
            return ast.Index(
                call("I", dimension(n)),
                (ast.Range(dimension(offset + 1), dimension(offset + m)), ast.Range(None, None)),
            )
        case "pair":
            return call("vec_tensor", dimension(parameters[0]), dimension(parameters[1]))
        case "halfpair":
            return call("vech_tensor", dimension(parameters[0]))
        case "levicivita":
            return call("levi_civita")
        case "range":
            start = call("cumsum", call("ones", dimension(parameters[1])))
            if parameters[0].constant == 1:
                return start
            return ast.Add(((1, start), (1, dimension(parameters[0] - 1))))
        case "size":
            return dimension(parameters[0])
        case "pi" | "e" | "inf":
            return ast.Name(base.kind) if base.kind != "e" else call("exp", integer(1))
    raise AssertionError(base.kind)


def _is_negative(dim: Dim) -> bool:
    return bool(dim.terms) and all(coefficient < 0 for _, coefficient in dim.terms)


# --- reduction -----------------------------------------------------------------------------------


def reduce(network: Network) -> bool:
    """Eliminate every summed label; False when the network is not of a shape that matrices can say."""
    steps = (
        _close_scalars,
        _take_elements,
        _fold_pendants,
        _close_cycles,
        _join_series,
        _read_pairs,
        _merge_parallel,
    )
    for _ in range(10 * len(network.sizes) + 20):
        if not network.summed and not network.pairs:
            _merge_parallel(network)
            return _loops_to_vectors(network)
        if not any(step(network) for step in steps):
            return False
    return False


def _loops_to_vectors(network: Network) -> bool:
    for edge in list(network.edges):
        if edge.row == edge.column:
            network.edges.remove(edge)
            network.add_vector(edge.row, single(call("diag", chain_ast(edge.chain(edge.row)))))
    return True


def _close_scalars(network: Network) -> bool:
    """A summed label without edges: an inner product or a sum."""
    for label in sorted(network.summed):
        if network.at(label) or network.in_pairs(label):
            continue
        pieces = network.vectors.pop(label, [])
        unit = network.units.pop(label, None)
        network.summed.discard(label)
        if unit is not None:
            chain = entrywise_chain(pieces) if pieces else single(call("ones", dimension(network.sizes[label])))
            network.above.append(ast.Index(chain_ast(chain), (dimension(unit.parameters[0]),)))
            return True
        tree = _inner(pieces, network.sizes[label])
        network.above.append(_as_mean(network, tree, network.sizes[label]))
        return True
    return False


def _as_mean(network: Network, tree: ast.Ast, size: Dim) -> ast.Ast:
    """``sum(x) / n`` is ``mean(x)`` when x has n entries."""
    if not (isinstance(tree, ast.Call) and tree.func == "sum" and size.name is not None):
        return tree
    for divisor in network.below:
        if isinstance(divisor, ast.Name) and divisor.id == size.name:
            network.below.remove(divisor)
            return call("mean", *tree.args)
    return tree


def _inner(pieces: Sequence[Quotient], size: Dim) -> ast.Ast:
    above = [chain for piece in pieces for chain in piece.above]
    below = [tree for piece in pieces for tree in piece.below]
    if not above and not below:
        return dimension(size)
    if len(above) == 2 and not below:
        return chain_ast(best_scalar((*flip(above[0]), *above[1])))
    if len(above) == 1 and not below:
        return _sum_of(above[0])
    if len(above) >= 2 and not below:
        rest = entrywise_chain([Quotient(tuple(above[1:]), ())])
        return chain_ast((*flip(above[0]), *rest))
    return call("sum", chain_ast(entrywise_chain(pieces)))


def _sum_of(chain: Chain) -> ast.Ast:
    """The sum of the entries of a vector; squares as a norm or an inner product."""
    tree = chain_ast(chain)
    if isinstance(tree, ast.Binary) and tree.op == ".^" and isinstance(tree.right, ast.Num) and tree.right.value == 2:
        base = tree.left
        if isinstance(base, ast.Name):
            return times(ast.Transpose(base), base)
        return ast.Binary("^", ast.Norm("", base), integer(2))
    return call("sum", tree)


def _take_elements(network: Network) -> bool:
    """A unit vector on a summed label picks a row or a column of its only edge."""
    for label, unit in sorted(network.units.items()):
        if label not in network.summed or network.in_pairs(label) or network.vectors.get(label):
            continue
        edges = network.at(label)
        if len(edges) != 1 or edges[0].row == edges[0].column:
            continue
        edge = edges[0]
        place = dimension(unit.parameters[0])
        other = edge.other(label)
        everything = ast.Range(None, None)
        chain = edge.chain(edge.row)
        if len(chain) == 1 and chain[0].transposed:
            base, is_row = chain[0].ast, label != edge.row
        else:
            base, is_row = chain_ast(chain), label == edge.row
        items = (place, everything) if is_row else (everything, place)
        del network.units[label]
        network.edges.remove(edge)
        network.summed.discard(label)
        network.add_vector(other, (Item(ast.Index(base, items), is_row, False),))
        return True
    return False


def _fold_pendants(network: Network) -> bool:
    """A summed label with one edge: ``A x``, or row sums where nothing hangs on it."""
    for label in sorted(network.summed):
        edges = network.at(label)
        if len(edges) != 1 or network.in_pairs(label) or edges[0].row == edges[0].column:
            continue
        edge = edges[0]
        other = edge.other(label)
        hanging = network.take_vectors(label)
        network.edges.remove(edge)
        network.summed.discard(label)
        if hanging is None:
            _sum_edge(network, edge, label, other)
            return True
        if edge.structure is not None:
            network.add_vector(other, _apply_structure(edge, label, hanging))
            return True
        network.add_vector(other, (*edge.chain(other), *hanging))
        return True
    return False


def _sum_edge(network: Network, edge: Edge, label: int, other: int) -> None:
    """The sum over one end of an edge on which nothing hangs."""
    alone = (
        other in network.summed
        and not network.at(other)
        and not network.in_pairs(other)
        and other not in network.vectors
        and other not in network.units
    )
    tree = chain_ast(edge.chain(edge.row))
    if alone:
        network.summed.discard(other)
        squared = isinstance(tree, ast.Binary) and tree.op == ".^" and isinstance(tree.right, ast.Num)
        if squared and isinstance(tree, ast.Binary) and isinstance(tree.right, ast.Num) and tree.right.value == 2:
            network.above.append(ast.Binary("^", ast.Norm("F", tree.left), integer(2)))
            return
        network.above.append(call("sum", tree))
        return
    axis = 0 if label == edge.row else 1
    summed = call("sum", tree, axis=integer(axis))
    network.add_vector(other, (Item(summed, axis == 0, False),))


def _apply_structure(edge: Edge, label: int, hanging: Chain) -> Chain:
    """A slice, a padded block or a running sum of a vector."""
    structure = edge.structure
    assert structure is not None
    tree = chain_ast(hanging)
    if structure.kind == "lower":
        if label == edge.column:
            return single(call("cumsum", tree))
        return (*flip(edge.chain(edge.row)), *hanging)
    m, n, offset = structure.parameters
    takes = label == edge.column
    if takes != _is_negative(offset):
        start = offset if takes else Dim.of(0) - offset
        count = m if takes else n
        return single(ast.Index(tree, (ast.Range(dimension(start + 1), dimension(start + count)),)))
    before = offset if not takes else Dim.of(0) - offset
    total = n if not takes else m
    inside = m if not takes else n
    after = total - inside - before
    rows: list[tuple[ast.Ast, ...]] = []
    if before.constant != 0:
        rows.append((call("zeros", dimension(before)),))
    rows.append((tree,))
    if after.constant != 0:
        rows.append((call("zeros", dimension(after)),))
    return single(tree if len(rows) == 1 else ast.Block(tuple(rows)))


def _close_cycles(network: Network) -> bool:
    """A loop on a summed label, or two edges between two summed labels on which nothing else ends: a trace."""
    for edge in network.edges:
        if edge.row == edge.column and edge.row in network.summed and not network.in_pairs(edge.row):
            label = edge.row
            network.edges.remove(edge)
            chain = edge.chain(label)
            if network.at(label) or network.vectors.get(label) or label in network.units:
                network.add_vector(label, single(call("diag", chain_ast(chain))))
                return True
            network.summed.discard(label)
            network.above.append(call("tr", chain_ast(best_cycle(chain))))
            return True
    return False


def _join_series(network: Network) -> bool:
    """A summed label with two edges: their matrix product."""
    for label in sorted(network.summed, key=lambda label: _joins_last(network.sizes[label], label)):
        edges = network.at(label)
        if len(edges) != 2 or network.in_pairs(label):
            continue
        first, second = edges
        if first.row == first.column or second.row == second.column:
            continue
        if any(edge.content.below and not edge.content.above for edge in edges) and first.other(label) == second.other(
            label
        ):
            continue
        start, end = first.other(label), second.other(label)
        if start == end and start in network.summed and len(network.at(start)) > 2:
            continue
        if start == end and start < network.order and _sums_better(network, first, second, label, start):
            _merge_edges(network, edges)
            return True
        hanging = network.take_vectors(label)
        network.edges.remove(first)
        network.edges.remove(second)
        network.summed.discard(label)
        left, right = first.chain(start), second.chain(label)
        structured = _series_structure(first, second, label, start, end) if hanging is None else None
        if structured is not None:
            network.edges.append(structured)
            return True
        middle: Chain = ()
        if hanging is not None:
            middle = single(call("diag", chain_ast(hanging)), True)
        network.edges.append(Edge(start, end, Quotient(((*left, *middle, *right),), ())))
        return True
    return False


def _joins_last(size: Dim, label: int) -> tuple[bool, int]:
    """Labels in the order in which they are eliminated: a number of samples ``N`` last, its sum is left standing."""
    return size.name is not None and size.name[:1].isupper(), label


def _sums_better(network: Network, first: Edge, second: Edge, label: int, output: int) -> bool:
    """Whether ``sum(A .* B, axis=1)`` has fewer transposes than ``diag(A B^T)``."""
    if network.vectors.get(label) or label in network.units or first.structure or second.structure:
        return False
    left, right = first.chain(output), second.chain(label)
    as_diagonal = sum(item.transposed for item in (*left, *right))
    row = _natural_row([first, second], output, label)
    as_sum = sum(_transposes(edge.turned(row)) for edge in (first, second)) + (row == label)
    single_factors = len(left) == 1 and len(right) == 1
    return as_sum < as_diagonal or (as_sum == as_diagonal and not single_factors)


def _series_structure(first: Edge, second: Edge, label: int, start: int, end: int) -> Edge | None:
    """A slice or a padded block of a matrix."""
    if first.structure is None and second.structure is not None:
        first, second, start, end = second, first, end, start
    structure = first.structure
    if structure is None or structure.kind != "select" or start == end:
        return None
    chain = second.chain(label)
    tree = chain_ast(chain)
    m, n, offset = structure.parameters
    takes = label == first.column
    if takes == _is_negative(offset):
        return None
    begin = offset if takes else Dim.of(0) - offset
    count = m if takes else n
    rows = ast.Range(dimension(begin + 1), dimension(begin + count))
    everything = ast.Range(None, None)
    if len(chain) == 1:
        base = chain[0].ast
        items: tuple[ast.Ast, ...] = (everything, everything)
        indexed = base
        if isinstance(indexed, ast.Index) and len(indexed.items) == 2 and not indexed.subscript:
            base, items = indexed.base, indexed.items
        place = 1 if chain[0].transposed else 0
        if _is_everything(items[place]):
            picked = ast.Index(base, (rows, items[1]) if place == 0 else (items[0], rows))
            return Edge(start, end, Quotient(((Item(picked, place == 1, False),),), ()))
    return Edge(start, end, Quotient((single(ast.Index(tree, (rows, everything))),), ()))


def _is_everything(item: ast.Ast) -> bool:
    return isinstance(item, ast.Range) and item.start is None and item.stop is None


def _merge_parallel(network: Network) -> bool:
    """Edges between the same two labels are one entrywise product; a mask of ones below the diagonal is ``tril``."""
    by_ends: dict[tuple[int, int], list[Edge]] = {}
    for edge in network.edges:
        by_ends.setdefault((min(edge.row, edge.column), max(edge.row, edge.column)), []).append(edge)
    for (low, high), edges in sorted(by_ends.items()):
        if len(edges) < 2 or low == high:
            continue
        _merge_edges(network, edges, low if low < network.order else None)
        return True
    return False


def _merge_edges(network: Network, edges: Sequence[Edge], row: int | None = None) -> None:
    """Replace parallel edges by one, with rows at the given end or where fewest are transposed."""
    low, high = min(edges[0].row, edges[0].column), max(edges[0].row, edges[0].column)
    if row is None:
        row = _natural_row(edges, low, high)
    column = high if row == low else low
    masks = [edge for edge in edges if edge.structure is not None and edge.structure.kind == "lower"]
    rest = [edge for edge in edges if edge not in masks]
    if masks and rest:
        tree = chain_ast(entrywise_chain([edge.turned(row) for edge in rest]))
        for mask in masks:
            tree = call("tril" if mask.row == row else "triu", tree)
        merged = Edge(row, column, Quotient((single(tree),), ()))
    else:
        contents = [edge.turned(row) for edge in edges]
        merged = Edge(
            row,
            column,
            Quotient(
                tuple(chain for content in contents for chain in content.above),
                tuple(tree for content in contents for tree in content.below),
            ),
        )
    network.edges = [edge for edge in network.edges if edge not in edges]
    network.edges.append(merged)


def _natural_row(edges: Sequence[Edge], low: int, high: int) -> int:
    """The end at which most of parallel edges have their rows untransposed."""
    counts = {label: sum(_transposes(edge.turned(label)) for edge in edges) for label in (low, high)}
    return low if counts[low] <= counts[high] else high


def _read_pairs(network: Network) -> bool:
    """``vec``, ``unvec``, ``vech``, ``kron`` and ``cross`` from the constant tensors that define them."""
    for factor in network.pairs:
        if _read_pair(network, factor):
            return True
    return _read_kron(network)


def _read_pair(network: Network, factor: Factor) -> bool:
    structure = factor.node
    assert isinstance(structure, Structure)
    if structure.kind == "levicivita":
        return _read_cross(network, factor)
    place, i, j = factor.labels
    others = [other for other in network.pairs if other is not factor]
    shared = {label for other in others for label in other.labels}
    if i in network.summed and j in network.summed and i not in shared and j not in shared:
        ends = [edge for edge in network.edges if {edge.row, edge.column} & {i, j}]
        if all({edge.row, edge.column} == {i, j} for edge in ends) and len(ends) <= 1:
            u, v = network.take_vectors(i), network.take_vectors(j)
            chain = _matrix_between(ends[0] if ends else None, i, u, v, structure)
            for edge in ends:
                network.edges.remove(edge)
            network.pairs.remove(factor)
            network.summed -= {i, j}
            name = "vec" if structure.kind == "pair" else "vech"
            network.add_vector(place, single(call(name, chain_ast(chain))))
            return True
    if place in network.summed and place not in shared and not network.at(place) and structure.kind == "pair":
        hanging = network.take_vectors(place)
        if hanging is None:
            return False
        m, n = structure.parameters
        network.pairs.remove(factor)
        network.summed.discard(place)
        tree = call("unvec", chain_ast(hanging), dimension(m), dimension(n))
        network.edges.append(Edge(i, j, Quotient((single(tree),), ())))
        return True
    return False


def _matrix_between(edge: Edge | None, row: int, u: Chain | None, v: Chain | None, structure: Structure) -> Chain:
    m, n = structure.shape[1], structure.shape[2]
    if edge is not None:
        chain = edge.chain(row)
        if u is not None:
            chain = (*single(call("diag", chain_ast(u)), True), *chain)
        if v is not None:
            chain = (*chain, *single(call("diag", chain_ast(v)), True))
        return chain
    left = u if u is not None else single(call("ones", dimension(m)))
    right = v if v is not None else single(call("ones", dimension(n)))
    return (*left, *flip(right))


def _read_cross(network: Network, factor: Factor) -> bool:
    for turn in range(3):
        labels = factor.labels[turn:] + factor.labels[:turn]
        free, first, second = labels
        plain = all(
            label in network.summed
            and not network.at(label)
            and sum(label in other.labels for other in network.pairs) == 1
            and (network.vectors.get(label) or label in network.units)
            for label in (first, second)
        )
        if not plain:
            continue
        a, b = network.take_vectors(first), network.take_vectors(second)
        assert a is not None
        assert b is not None
        network.pairs.remove(factor)
        network.summed -= {first, second}
        network.add_vector(free, single(call("cross", chain_ast(a), chain_ast(b))))
        return True
    return False


def _read_kron(network: Network) -> bool:
    """Two vec tensors joined by two matrices, or by a matrix and a common label, are a Kronecker product."""
    pairs = [factor for factor in network.pairs if factor.node.shape and _kind(factor) == "pair"]
    for one, first in enumerate(pairs):
        for second in pairs[one + 1 :]:
            if first.labels[0] == second.labels[0]:
                continue
            read = _kron_chain(network, first, second)
            if read is None:
                continue
            chain, joining = read
            network.pairs = [factor for factor in network.pairs if factor is not first and factor is not second]
            for edge in joining:
                network.edges.remove(edge)
            for label in (first.labels[1], first.labels[2], second.labels[1], second.labels[2]):
                network.summed.discard(label)
            network.edges.append(Edge(first.labels[0], second.labels[0], Quotient((chain,), ())))
            return True
    return False


def _kron_chain(network: Network, first: Factor, second: Factor) -> tuple[Chain, list[Edge]] | None:
    """``B ⊗ A``, or ``(B ⊗ A) K`` where the second vec is that of a transpose, and the edges that are used up."""
    for fast_end, slow_end in ((1, 2), (2, 1)):
        fast = _between(network, first.labels[1], second.labels[fast_end])
        slow = _between(network, first.labels[2], second.labels[slow_end])
        if fast is None or slow is None:
            continue
        edges = [*fast[1], *slow[1]]
        product = single(call("kron", slow[0], fast[0]))
        if fast_end == 1:
            return product, edges
        m, n = (network.sizes[label] for label in second.labels[1:])
        turned = call("commutation", dimension(n), dimension(m))
        swap = single(call("commutation", dimension(m), dimension(n)), turned=turned)
        return ((*product, *swap) if edges else swap), edges
    return None


def _kind(factor: Factor) -> str:
    return factor.node.kind if isinstance(factor.node, Structure) else ""


def _between(network: Network, a: int, b: int) -> tuple[ast.Ast, list[Edge]] | None:
    """The matrix between two labels of two vec tensors: an edge, or the identity when the labels are one."""
    for label in {a, b}:
        if label not in network.summed or network.vectors.get(label) or label in network.units:
            return None
        if sum(label in factor.labels for factor in network.pairs) != (2 if a == b else 1):
            return None
    if a == b:
        if network.at(a):
            return None
        return call("I", dimension(network.sizes[a])), []
    edges = network.at(a)
    if len(edges) != 1 or network.at(b) != edges:
        return None
    return chain_ast(edges[0].chain(a)), edges
