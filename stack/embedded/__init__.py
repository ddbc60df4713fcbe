"""Owns the real PostgreSQL, Kafka and S3 server that one machine runs as plain processes."""
