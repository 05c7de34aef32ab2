"""Word embeddings to start from: a factorisation of which tokens occur near which, seconds instead of epochs of training."""

import torch

WINDOW = 5
CONTEXT_SMOOTHING = 0.75
STANDARD_DEVIATION = 0.04


def token_counts(sequences: list[list[int]], vocabulary: int) -> torch.Tensor:
    return torch.bincount(torch.tensor([token for ids in sequences for token in ids]), minlength=vocabulary)


def embeddings(sequences: list[list[int]], vocabulary: int, width: int, padding: int) -> torch.Tensor:
    """[vocabulary, width]: truncated SVD of the positive pointwise mutual information (Levy and Goldberg, 2014)."""
    counts = _cooccurrences(sequences, vocabulary, padding)
    context = counts.sum(0) ** CONTEXT_SMOOTHING
    expected = counts.sum(1, keepdim=True).clamp(min=1) * (context / context.sum()).clamp(min=1e-12)
    information = torch.log(counts / expected).clamp(min=0)
    left, singular_values, _ = torch.svd_lowrank(information, q=width, niter=3)
    factors = left * singular_values.sqrt()
    return factors * (STANDARD_DEVIATION / factors.std())


def _cooccurrences(sequences: list[list[int]], vocabulary: int, padding: int) -> torch.Tensor:
    """[vocabulary, vocabulary]: how often two tokens are at most `WINDOW` apart in a sequence."""
    separator = [padding] * WINDOW
    token_ids = torch.tensor([token for ids in sequences for token in ids + separator])
    counts = torch.zeros(vocabulary * vocabulary)
    for distance in range(1, WINDOW + 1):
        left, right = token_ids[:-distance], token_ids[distance:]
        inside = (left != padding) & (right != padding)
        counts += torch.bincount(left[inside] * vocabulary + right[inside], minlength=vocabulary**2)
    counts = counts.view(vocabulary, vocabulary)
    return counts + counts.T
