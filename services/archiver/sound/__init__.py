"""Owns what is done to sound: decoding, measuring and coding by ffmpeg as a separate program."""
