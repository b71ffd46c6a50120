"""Section III-A: do maps of IQA networks show where people look? Table I, Figure 1 and their controls."""
