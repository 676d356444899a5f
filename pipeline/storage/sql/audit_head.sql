SELECT seq, hash FROM audit_trail_head
