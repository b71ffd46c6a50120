"""How results are shown: tables, figures and the style that they share."""
