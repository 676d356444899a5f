-- Who changed in the last $1 (an interval), with the version that the change gave them.
SELECT user_id, version FROM user_versions WHERE changed_at > now() - $1::interval;
