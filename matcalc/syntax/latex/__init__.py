"""LaTeX in: macros, symbols, grammar tokens and the syntax tree."""
