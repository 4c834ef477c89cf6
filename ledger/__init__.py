"""What happened, provably: records, the tree over them, the store that keeps both, and their verification."""
