SELECT coalesce(i.settled_at, now()) AS at, i.record FROM digest_items AS i JOIN digests AS d USING (digest_id)
WHERE i.recipient_id = ANY($1::text[]) AND d.state <> 'sent'
FOR UPDATE;
