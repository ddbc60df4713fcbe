"""The engine pad3: plan in, PCM and MP3 out; knows nothing of HTTP, jobs or processes."""

ENGINE = "pad3"
ENGINE_VERSION = "2.0.0"  # any change that alters a sample raises it: renders are compared by hash within a version
