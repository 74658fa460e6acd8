"""Generated from proto/moma/pb by scripts/proto; committed, never edited."""
