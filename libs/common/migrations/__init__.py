"""The schema's history as SQL files; `libs.common.migrate` applies them."""
