r"""The commands of LaTeX that mean something here, and those that mean nothing: rows of data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..greek import NAME_TO_LETTER

LETTERS: Mapping[str, str] = MappingProxyType(
    {name: name for name in NAME_TO_LETTER}
    | {
        "varepsilon": "epsilon", "vartheta": "theta", "varphi": "phi", "varrho": "rho", "varkappa": "kappa",
        "varpi": "varpi", "varsigma": "varsigma", "ell": "ell", "hslash": "hbar", "imath": "i", "jmath": "j",
        "infty": "inf", "varGamma": "Gamma", "varDelta": "Delta", "varSigma": "Sigma", "varOmega": "Omega",
        "varTheta": "Theta", "varLambda": "Lambda", "varPhi": "Phi", "varPsi": "Psi", "varXi": "Xi",
    }
)  # fmt: skip
"""Commands that are letters: the name inside."""

FUNCTIONS: Mapping[str, str] = MappingProxyType(
    {
        name: name
        for name in [
            "exp", "log", "ln", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "det",
            "tr", "sign", "diag", "vec", "softmax", "relu", "erf", "erfc", "abs", "norm", "sigmoid", "softplus",
            "logdet", "max", "min", "vech", "kron", "mean", "var", "logsumexp", "adj", "argmax", "argmin"
        ]
    }
    | {
        "Tr": "tr", "trace": "tr", "Trace": "tr", "lg": "log10", "lb": "log2", "sgn": "sign", "Diag": "diag",
        "ReLU": "relu", "Relu": "relu", "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh", "Det": "det",
        "Softmax": "softmax", "SoftMax": "softmax", "Sigmoid": "sigmoid", "LayerNorm": "layernorm", "KL": "kl",
        "BatchNorm": "batchnorm", "Var": "var", "Mean": "mean", "GELU": "gelu", "SiLU": "silu", "ELU": "elu",
        "SELU": "selu", "LSE": "logsumexp", "lse": "logsumexp", "LeakyReLU": "leaky_relu", "cof": "cofactor",
        "arctg": "atan", "tg": "tan",
    }
)  # fmt: skip
r"""Function names, as commands (``\tr``) and as words (``\operatorname{tr}``); the registry knows further words."""

COMMAND_FUNCTIONS = frozenset(
    [
        "exp", "log", "ln", "lg", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "tg",
        "arctg", "det", "max", "min", "tr", "Tr", "trace", "Trace", "sgn", "sign", "diag", "Diag", "softmax", "relu",
        "ReLU", "sigmoid", "erf", "vech", "softplus", "logdet"
    ]
)  # fmt: skip
r"""Those that are read with a backslash even if the text does not define them (``\vec`` is an accent)."""

_BOLD = "mathbf boldsymbol bm bf pmb mathbold textbf symbf bfseries"
_PLAIN = "vec mathit mathnormal mathsf mathtt underline overrightarrow symup textit"

FONTS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(_BOLD.split(), "bold")
    | dict.fromkeys(_PLAIN.split(), "plain")
    | dict.fromkeys(("mathcal", "mathscr", "mathfrak", "cal"), "fancy")
    | dict.fromkeys(("mathbb", "mathds", "Bbb", "mathbbm"), "board")
)
"""Commands that set their argument in another face."""

SWITCHES: Mapping[str, str] = MappingProxyType(
    {"bf": "bold", "bfseries": "bold", "boldmath": "bold", "cal": "fancy", "it": "", "rm": "", "sf": "", "tt": ""}
)
"""Old commands that act to the end of their group and take no argument: the face they set."""

WORDS = frozenset(
    [
        "mathrm", "text", "textrm", "operatorname", "operatorname*", "mbox", "hbox", "textnormal", "textup", "texttt",
        "textsf", "textsc"
    ]
)  # fmt: skip
"""Commands whose argument is a word: a name, the name of a function, or prose."""

ACCENTS: Mapping[str, str] = MappingProxyType(
    {
        "hat": "hat", "widehat": "hat", "bar": "bar", "overline": "bar", "tilde": "tilde", "widetilde": "tilde",
        "dot": "dot", "ddot": "ddot", "check": "check", "breve": "breve", "acute": "acute", "grave": "grave",
        "mathring": "ring", "underbar": "bar",
    }
)  # fmt: skip

ARGUMENTS: Mapping[str, int] = MappingProxyType(
    {"frac": 2, "dfrac": 2, "tfrac": 2, "cfrac": 2, "sfrac": 2, "nicefrac": 2, "sqrt": 1, "binom": 2, "overset": 2,
     "underset": 2, "stackrel": 2, "substack": 1, "phantom": 1, "hspace": 1, "vspace": 1, "color": 1, "label": 1,
     "tag": 1, "boxed": 1, "underbrace": 1, "overbrace": 1, "cancel": 1, "mathrlap": 1, "mathop": 1, "mathbin": 1,
     "mathrel": 1, "mathord": 1, "textcolor": 2, "eqref": 1, "ref": 1, "cite": 1, "intertext": 1}
    | dict.fromkeys({*FONTS, *WORDS, *ACCENTS} - set(SWITCHES), 1)
)  # fmt: skip
"""How many arguments a command takes."""

FRACTIONS = frozenset({"frac", "dfrac", "tfrac", "cfrac", "sfrac", "nicefrac"})

TRANSPARENT = frozenset({"boxed", "mathrlap", "mathbin", "mathrel", "mathord", "mathop", "cancel"})
"""Commands that leave their argument as it is."""

DROPPED = frozenset({"label", "tag", "tag*", "phantom", "hspace", "hspace*", "vspace", "vspace*", "color", "cite",
                     "ref", "eqref", "intertext"})  # fmt: skip
"""Commands that are left out together with their argument."""

IGNORED = frozenset(
    [
        ",", ";", ":", "!", ">", "/", "-", "@", "quad", "qquad", "enspace", "thinspace", "medspace", "thickspace",
        "negthinspace", "displaystyle", "textstyle", "scriptstyle", "scriptscriptstyle", "limits", "nolimits",
        "nonumber", "notag", "hfill", "allowbreak", "nobreak", "noindent", "centering", "relax", "par", "hline",
        "big", "Big", "bigg", "Bigg", "null", "mathstrut", "strut", "displaylimits", "nobreakspace", "space",
        "small", "large", "normalsize", "footnotesize", "leavevmode", "smallskip", "medskip", "it", "rm", "sf",
        "tt", "bf", "cal", "bfseries", "boldmath"
    ]
) | {" ", "\n"}  # fmt: skip
"""Commands that only concern the layout."""

SIZES: Mapping[str, str] = MappingProxyType(
    {f"{size}{side}": side for size in ("big", "Big", "bigg", "Bigg") for side in ("l", "r")}
    | {"left": "l", "right": "r", "mleft": "l", "mright": "r", "big": "", "Big": "", "bigg": "", "Bigg": ""}
)
"""Commands in front of a bracket: which side it is."""

BRACKETS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "(": ("(", "l"), ")": ("(", "r"), "[": ("[", "l"), "]": ("[", "r"), r"\{": ("{", "l"), r"\}": ("{", "r"),
        r"\lbrace": ("{", "l"), r"\rbrace": ("{", "r"), r"\lbrack": ("[", "l"), r"\rbrack": ("[", "r"),
        r"\lparen": ("(", "l"), r"\rparen": ("(", "r"),
        r"\langle": ("<", "l"), r"\rangle": ("<", "r"), r"\lfloor": ("floor", "l"), r"\rfloor": ("floor", "r"),
        r"\lceil": ("ceil", "l"), r"\rceil": ("ceil", "r"), r"\lvert": ("|", "l"), r"\rvert": ("|", "r"),
        r"\lVert": ("||", "l"), r"\rVert": ("||", "r"), "|": ("|", ""), r"\vert": ("|", ""), r"\mid": ("|", ""),
        r"\|": ("||", ""), r"\Vert": ("||", ""), "‖": ("||", ""), "∥": ("||", ""), "⟨": ("<", "l"), "⟩": ("<", "r"),
    }
)  # fmt: skip
"""Brackets as they are written: which bracket, and which side of it."""

PRODUCTS: Mapping[str, str] = MappingProxyType(
    {
        "*": "*", r"\cdot": "dot", r"\times": "*", r"\odot": ".*", r"\circ": ".*", r"\otimes": "kron", "/": "/",
        r"\oslash": "./", r"\ast": "*", r"\bullet": "dot", r"\div": "/", r"\backslash": "\\", "·": "dot", "⋅": "dot",
        r"\centerdot": "dot", r"\cdotp": "dot", r"\star": ".*", "⊙": ".*", "∘": ".*", "⊗": "kron", "×": "*",
        r"\setminus": "\\",
    }
)  # fmt: skip

COMPARISONS: Mapping[str, str] = MappingProxyType(
    {
        "<": "<", ">": ">", r"\le": "<=", r"\leq": "<=", r"\ge": ">=", r"\geq": ">=", r"\ne": "!=", r"\neq": "!=",
        r"\lt": "<", r"\gt": ">", r"\leqslant": "<=", r"\geqslant": ">=", r"\leqq": "<=", r"\geqq": ">=",
        "≤": "<=", "≥": ">=", "≠": "!=",
    }
)  # fmt: skip

EQUALS = frozenset(
    [
        r"=", r"≔", r"\coloneqq", r"\triangleq", r"\equiv", r"\doteq", r"\colonequals", r"\gets", r"\leftarrow",
        r"\coloneq", r"\eqdef"
    ]
)  # fmt: skip

MATRICES = frozenset({"matrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix", "smallmatrix", "array",
                      "psmallmatrix", "bsmallmatrix"})  # fmt: skip

OBJECTIVES = frozenset({"min", "max", "argmin", "argmax", "minimize", "maximize", "minimise", "maximise", "inf", "sup",
                        "arg min", "arg max", "Minimize", "Maximize"})  # fmt: skip

UNSUPPORTED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "int": ("an integral", "write its value, or the sum that approximates it"),
        "iint": ("an integral", "write its value, or the sum that approximates it"),
        "oint": ("an integral", "write its value, or the sum that approximates it"),
        "lim": ("a limit", "write its value"),
        "binom": ("a binomial coefficient", r"write it by \exp and \operatorname{lgamma}"),
        "pm": ("two formulas in one, by a plus-minus sign", "write the two cases one by one"),
        "mp": ("two formulas in one, by a plus-minus sign", "write the two cases one by one"),
        "dots": ("a list that is left to the reader, by dots", r"write a sum or product over an index"),
        "ldots": ("a list that is left to the reader, by dots", r"write a sum or product over an index"),
        "cdots": ("a list that is left to the reader, by dots", r"write a sum or product over an index"),
        "vdots": ("a list that is left to the reader, by dots", r"write a sum or product over an index"),
        "ddots": ("a list that is left to the reader, by dots", r"write a sum or product over an index"),
        "dotsc": ("a list that is left to the reader, by dots", r"write a sum or product over an index"),
        "forall": ("a quantifier", "leave it out; a free index on the left of `=` runs over all entries"),
        "exists": ("a quantifier", "leave it out"),
        "cup": ("a union of sets", "write a 0/1 mask"),
        "cap": ("an intersection of sets", "write a 0/1 mask"),
        "bigcup": ("a union of sets", "write a 0/1 mask"),
        "subset": ("a statement on sets", "leave it out"),
        "subseteq": ("a statement on sets", "leave it out"),
        "oplus": ("a direct sum", r"write `+`, or `\operatorname{blockdiag}(A, B)`"),
        "ominus": ("a sign with several meanings", "write `-`"),
        "approx": ("an approximate equality", "write `=` to define"),
        "simeq": ("an approximate equality", "write `=` to define"),
        "propto": ("a proportionality", "write the constant as a factor"),
        "sim": ("a distribution", "write the density or the loss itself"),
        "to": ("an arrow", "write one formula"),
        "rightarrow": ("an arrow", "write one formula"),
        "mapsto": ("an arrow", "write `f(x) = ...`"),
        "Rightarrow": ("an implication", "write one formula"),
        "implies": ("an implication", "write one formula"),
        "iff": ("an equivalence", "write one formula"),
        "Leftrightarrow": ("an equivalence", "write one formula"),
        "Longrightarrow": ("an implication", "write one formula"),
        "land": ("a logical connective", r"multiply the two conditions"),
        "lor": ("a logical connective", r"combine the two conditions by \max"),
        "wedge": ("a wedge product", "write the matrix product"),
        "preceq": ("a matrix inequality", "declare the matrix positive definite instead"),
        "succeq": ("a matrix inequality", r"declare the matrix: `A \in \mathbb{S}_{+}^n`"),
        "succ": ("a matrix inequality", r"declare the matrix: `A \in \mathbb{S}_{++}^n`"),
        "Re": ("a real part", "everything is real here"),
        "Im": ("an imaginary part", "everything is real here"),
        "Pr": ("a probability", "write the density or the loss itself"),
        "notin": ("a condition on a set", "write a 0/1 mask"),
        "triangle": ("a sign with several meanings", "write the operation in words"),
        "bigoplus": ("a direct sum", r"write `\operatorname{blockdiag}(A, B)`"),
        "bigotimes": ("a product over an index", r"write the factors out, with \otimes"),
        "ker": ("a null space", "write the matrix that spans it"),
        "dim": ("a dimension", "name the size by a letter"),
        "deg": ("a degree", "name it by a letter"),
        "middle": ("a condition", "leave it out"),
        "given": ("a condition", "leave it out"),
        "over": ("an old fraction", r"write \frac{…}{…}"),
        "hbar": ("Planck's constant", "name it by a letter"),
        "operatorname": ("an operator without a name", r"write \operatorname{tr}"),
    }
)
"""Commands with a meaning that has no place here: what they are, and what to write instead."""

PROSE_SEPARATORS = frozenset({"and", "where", "with", "for", "let", "so", "then", "thus", "hence", "or", ""})
"""Words in the text between two formulas."""

SECOND_FIRST = frozenset({"where", "with", "for"})
"""Those behind which the definitions stand that the formula before needs."""

BLACKBOARD_SETS: Mapping[str, str] = MappingProxyType({"R": "", "S": "symmetric"})
"""Sets a declared name may be in, and the property of their members."""
