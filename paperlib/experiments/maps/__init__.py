"""The maps of pictures by every source, shard by shard: what all sections measure, mask by or learn from."""
