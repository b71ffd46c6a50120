"""IQA networks and methods, pyiqa's above all, from local files alone.

`offline` keeps pyiqa's constructors from the network and sees what they ask for; `networks` says which official files
belong to which metric, and builds. On these stand the two doors:
`model` for networks from which saliency is taken, `methods` for scoring pictures (Table III).
"""
