"""Pure decisions of the generator: what a code means, what follows a failure, what is sent; I/O only of data files."""
