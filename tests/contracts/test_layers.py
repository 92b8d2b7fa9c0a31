"""A module imports only from its own layer or a lower one; what is slow to import is imported where it is needed."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "matcalc"

LAYERS = (
    ("errors", "collection", "limits"),
    ("syntax",),
    ("expr",),
    ("ops",),
    ("elaborate",),
    ("calculus",),
    ("notation",),
    ("forms",),
    ("lower",),
    ("export",),
    ("expression", "layout"),
    ("structure",),
    ("conditions",),
    ("derivation",),
    ("remarks",),
    ("operators",),
    ("functions",),
    ("compressed",),
    ("verify",),
    ("explanation",),
    ("rulebook", "error_guide"),
    ("api", "saving"),
    ("claims",),
    ("learn", "testing"),
    ("cli", "jupyter"),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# Methods that return an object of a higher layer import it when they are called.
LATE = {
    ("expression", "derivation"),
    ("expression", "functions"),
    ("derivation", "functions"),
    ("derivation", "verify"),
    ("derivation", "explanation"),
}

# What each layer may import from outside at module level.
FOREIGN = {
    "syntax": {"lark"},
    "lower": {"numpy", "scipy", "numba", "llvmlite"},
    "export": {"numpy"},
    "explanation": {"numpy"},
    "operators": {"numpy"},
    "compressed": {"numpy"},
    "verify": {"numpy", "scipy"},
    "claims": {"numpy"},
    "learn": {"numpy", "scipy"},
    "testing": {"numpy", "scipy"},
}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that is imported, in full, and whether at module level (outside functions and type checking)."""
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    stack: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text(encoding="utf-8")), True)]
    while stack:
        node, top = stack.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, top
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            if node.module:
                yield ".".join([*base, node.module]), top
            else:
                for alias in node.names:
                    yield ".".join([*base, alias.name]), top
        inner = top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            inner = False
        stack.extend((child, inner) for child in ast.iter_child_nodes(node))


def layer_of(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_has_a_layer(path: Path) -> None:
    assert layer_of(name_of(path)) in LEVEL, "name the layer of the new module in LAYERS"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_downwards(path: Path) -> None:
    own = layer_of(name_of(path))
    upward = [
        module
        for module, top in imports(path)
        if module.startswith("matcalc.")
        and module != "matcalc.__version__"
        and LEVEL[layer_of(module)] > LEVEL[own]
        and (top or (own, layer_of(module)) not in LATE)
    ]
    assert upward == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_foreign_packages_stay_in_their_layer(path: Path) -> None:
    allowed = FOREIGN.get(layer_of(name_of(path)), set())
    foreign = {
        module.partition(".")[0]
        for module, top in imports(path)
        if top and not module.startswith("matcalc") and module.partition(".")[0] not in sys.stdlib_module_names
    }
    assert foreign <= allowed


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_does(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    if path.name == "__init__.py" and not source.strip():
        return
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring
    assert docstring.split("\n\n")[0].endswith("."), "the first sentence ends with a full stop"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_user_text_is_executed(path: Path) -> None:
    """Generated source is compiled in one place; nothing else may call `eval`, `exec` or `compile`."""
    called = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    if layer_of(name_of(path)) == "lower":
        assert "eval" not in called
    else:
        assert not called & {"eval", "exec", "compile"}
