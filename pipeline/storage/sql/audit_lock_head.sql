SELECT seq, hash FROM audit_trail_head FOR UPDATE
