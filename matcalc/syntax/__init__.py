"""Text to syntax tree; import the readers from `matcalc.syntax.parse`, the tree from `matcalc.syntax.ast`."""
