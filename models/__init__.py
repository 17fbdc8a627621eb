"""What sampler and learner share: loading, prompts, character offsets, log-probs of given tokens."""
