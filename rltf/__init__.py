"""The roof: command line, the driver that wires everything, evaluation, report."""
