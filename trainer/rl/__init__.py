"""Pure tensor functions of reinforcement learning: advantages, policy and value losses, log-probabilities in chunks."""
