"""Attention of rows over the keys and values of all tokens, and the positions of rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from acl_lightning.encoders.backbone import KeysValues


def split_heads(projected_BRD: Tensor, width: int) -> Tensor:
    """Split projections into heads of `width` columns: (B, R, D) -> (B, heads, R, width)."""
    return projected_BRD.view(*projected_BRD.shape[:-1], -1, width).transpose(1, 2)


def attend(
    query_BHRd: Tensor,
    keys_values: KeysValues,
    mask_BS: Tensor | None,
    *,
    dropout: float,
    bias_BHRS: Tensor | None = None,
    window_RS: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """Return `softmax(scale * Q K' + bias) V` of every head, joined: (B, R, heads * d).

    A token is read if the mask and the window allow it. If they allow no token, which happens for padding only, the
    result is finite.

    Args:
        query_BHRd: Queries of R rows.
        keys_values: Keys and values of S tokens.
        mask_BS: True for tokens, False for padding; None without padding.
        dropout: Dropout probability of the attention weights.
        bias_BHRS: Added to the scores; it may be broadcast over samples and heads.
        window_RS: True where a row may read a token.
        scale: Factor of the scores; None: `d ** -0.5`.
    """
    allowed = None if mask_BS is None else mask_BS[:, None, None, :]
    if window_RS is not None:
        allowed = window_RS if allowed is None else allowed & window_RS
    if bias_BHRS is not None:
        bias_BHRS = bias_BHRS.to(query_BHRd.dtype)  # as required by the fused kernel
        if allowed is not None:
            bias_BHRS = bias_BHRS.masked_fill(~allowed, torch.finfo(bias_BHRS.dtype).min)
        allowed = bias_BHRS
    context_BHRd = scaled_dot_product_attention(
        query_BHRd, keys_values.keys_BHSd, keys_values.values_BHSd, attn_mask=allowed, dropout_p=dropout, scale=scale
    )
    return context_BHRd.transpose(1, 2).flatten(2)


def row_positions(num_rows: int, num_tokens: int, device: torch.device) -> Tensor:
    """Return the positions (R,) of rows that read S tokens, for encoders with relative positions.

    The first S rows are the tokens, at positions 0 to S - 1. A row in addition to the tokens, and a single row, have
    position 0: an exit row reads the tokens from the place of [CLS] (our reading; the mean of tokens has no position).
    """
    positions_R = torch.arange(num_rows, device=device)
    return torch.where(positions_R < num_tokens, positions_R, 0)
