"""The platform's services; each folder is one service, one container and one consumer group of the same name."""
