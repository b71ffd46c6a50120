"""Section III-B: which regions does an IQA network need? Figure 2, its controls and its comparison with HalfImage."""
