"""What another catalogue would have decided: of recorded traffic, or of what comes in at the moment."""
