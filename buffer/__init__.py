"""The online FIFO buffer of labelled groups."""
