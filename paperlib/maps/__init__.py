"""Maps of where a model looks, and what is done to them before they are scored."""
