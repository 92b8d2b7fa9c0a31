"""Letters a name may hold and their one spelling inside: Greek by name, raised and lowered signs as plain ones."""

from __future__ import annotations

from keyword import iskeyword

LETTER_TO_NAME: dict[str, str] = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma",
    "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi",
    "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
"""One letter for one name; the other Greek letters cannot be told from Latin ones by eye."""

VARIANT_TO_NAME: dict[str, str] = {
    "ϵ": "epsilon", "ϑ": "theta", "ϰ": "kappa", "ϕ": "phi", "ϱ": "rho", "ϖ": "varpi", "ς": "varsigma",
    "\N{MICRO SIGN}": "mu", "\N{OHM SIGN}": "Omega", "\N{INCREMENT}": "Delta", "ℓ": "ell",
}  # fmt: skip
"""Second shapes of the same letters, read but never printed."""

NAME_TO_LETTER: dict[str, str] = {name: letter for letter, name in LETTER_TO_NAME.items()}

LOOKALIKE_GREEK: dict[str, tuple[str, str]] = {
    "Α": ("A", "Alpha"), "Β": ("B", "Beta"), "Ε": ("E", "Epsilon"), "Ζ": ("Z", "Zeta"), "Η": ("H", "Eta"),
    "Ι": ("I", "Iota"), "Κ": ("K", "Kappa"), "Μ": ("M", "Mu"), "Ν": ("N", "Nu"), "Ο": ("O", "Omicron"),
    "Ρ": ("P", "Rho"), "Τ": ("T", "Tau"), "Υ": ("Y", "Upsilon"), "Χ": ("X", "Chi"), "ο": ("o", "omicron"),
}  # fmt: skip
"""Greek letters drawn like a Latin one: the Latin letter and the name."""

SUBSCRIPTS: dict[str, str] = dict(zip("₀₁₂₃₄₅₆₇₈₉ₐₑₒₓₕₖₗₘₙₚₛₜᵢⱼᵣᵤᵥ", "0123456789aeoxhklmnpstijruv", strict=True)) | {
    "ᵦ": "beta", "ᵧ": "gamma", "ᵨ": "rho", "ᵩ": "phi", "ᵪ": "chi",
}  # fmt: skip

SUPERSCRIPTS: dict[str, str] = dict(
    zip(
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵁⱽᵂ",
        "0123456789+-abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRUVW",
        strict=True,
    )
)

LATIN = "A-Za-zÀ-ÖØ-öø-İĴ-ķĹ-ľŁ-ňŊ-ž"
"""Latin letters, as the inside of a character class (without the dotless i and the ligatures)."""

GREEK = "".join(LETTER_TO_NAME) + "".join(VARIANT_TO_NAME)
"""Greek letters, as the inside of a character class."""

_PLAIN = LETTER_TO_NAME | VARIANT_TO_NAME


def as_keyword(name: str) -> str:
    """A name as it may be written for an argument in Python, where ``lambda`` is reserved.

    >>> as_keyword("lambda"), as_keyword("is"), as_keyword("mu")
    ('λ', 'is_', 'mu')
    """
    if not iskeyword(name):
        return name
    return NAME_TO_LETTER.get(name, f"{name}_")


def spell_keyword(keyword: str) -> str:
    """The name that the keyword of an argument stands for.

    >>> spell_keyword("lambda_"), spell_keyword("λ"), spell_keyword("mu_")
    ('lambda', 'lambda', 'mu_')
    """
    return keyword[:-1] if iskeyword(keyword[:-1]) and keyword.endswith("_") else spell(keyword)


def spell(text: str) -> str:
    """Write Greek letters by name and lowered signs as a subscript.

    >>> spell("λ_1"), spell("σ"), spell("x₁"), spell("W_max")
    ('lambda_1', 'sigma', 'x_1', 'W_max')
    """
    if text.isascii():
        return text
    parts: list[str] = []
    lowered = False
    for character in text:
        below = SUBSCRIPTS.get(character)
        if below is not None and not lowered:
            parts.append("_")
        lowered = below is not None
        parts.append(below if below is not None else _PLAIN.get(character, character))
    return "".join(parts)
