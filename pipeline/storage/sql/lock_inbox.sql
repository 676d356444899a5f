-- Until the end of the transaction: who marks items of one inbox takes turns, whatever order they find them in.
SELECT pg_advisory_xact_lock(hashtextextended('inbox:' || $1, 0));
