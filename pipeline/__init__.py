"""Notifications as a Kafka stream-processing pipeline: every one of them exactly accounted for."""
