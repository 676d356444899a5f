DELETE FROM waiting_other WHERE state IN ('released', 'ended') AND due_at < $1;
