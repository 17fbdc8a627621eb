"""How weights travel from the learner to the samplers: a source and a sink, one file per transport."""
