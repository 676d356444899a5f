"""Everything that waits for a time: kept in PostgreSQL, let go at a pace, decided afresh; and digests."""
