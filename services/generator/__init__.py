"""Calls music providers within their quota, keeps attempts and reconciles what webhooks lost."""
