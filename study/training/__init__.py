"""The parts of a training run that `study.trainer` puts together. Plain PyTorch; knows nothing of Ray."""
