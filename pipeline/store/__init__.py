"""What became of notifications: the delivery-status topic in PostgreSQL, and in an archive once it is old."""
