"""From the trees of a policy's files to the model: each part read with every fault at its place."""
