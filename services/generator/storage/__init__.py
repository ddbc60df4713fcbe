"""The generator's SQL: one function a query; each takes a connection and opens no transaction."""
