"""Opens and clicks of mail."""
