"""The imitated GPU: its facts, its tensors, its mixed precision, and torch.cuda's answers."""
