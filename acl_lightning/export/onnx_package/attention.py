"""Translation of attention to the fused operator of onnxruntime, for `torch.onnx.export`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import onnx
import onnx_ir
import torch
from onnx.defs import OpSchema
from onnxscript import opset20
from onnxscript.values import Op, Opset

#: Domain of the operators that onnxruntime adds to ONNX.
DOMAIN = "com.microsoft"

#: Element type INT32 of ONNX, which the operator expects of the mask.
INT32 = int(onnx.TensorProto.INT32)

BOOL = onnx_ir.DataType.BOOL


def _schema() -> OpSchema:
    """Return the inputs of `MultiHeadAttention` up to the mask; the onnx package knows only the standard operators."""
    parameter = OpSchema.FormalParameter
    optional = OpSchema.FormalParameterOption.Optional
    return OpSchema(
        "MultiHeadAttention",
        DOMAIN,
        1,
        inputs=[
            parameter("query", "T"),
            parameter("key", "T"),
            parameter("value", "T"),
            parameter("bias", "T", param_option=optional),
            parameter("key_padding_mask", "M", param_option=optional),
        ],
        outputs=[parameter("output", "T")],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)"], ""), ("M", ["tensor(int32)"], "")],
        attributes=[OpSchema.Attribute("num_heads", OpSchema.AttrType.INT, "")],
    )


op: Any = opset20  # its declared types do not include the constants that its functions return
_multi_head_attention: Any = Op(Opset(DOMAIN, 1), "MultiHeadAttention", _schema())


def attention(
    query_BHRd: Any,
    keys_BHSd: Any,
    values_BHSd: Any,
    attn_mask: Any = None,
    *_: Any,
    scale: float | None = None,
    **__: Any,
) -> Any:
    """Return `softmax(scale q k^T + bias) v`, (B, H, R, d).

    A mask of padding alone becomes the operator of onnxruntime, which takes keys and values with separate heads, as a
    layer returns them, and a query with joined heads. A mask by rows (ModernBERT's window), a bias (MPNet, DeBERTa) or
    another scale becomes matrix products.

    Args:
        query_BHRd: Queries.
        keys_BHSd: Keys.
        values_BHSd: Values.
        attn_mask: Mask (B or 1, H or 1, R or 1, S), bool, True for tokens, or a float bias. None: no padding.
        scale: Factor of the scores; None: `d ** -0.5`.
    """
    heads, width = query_BHRd.shape[1], query_BHRd.shape[3]
    plain = scale is None or math.isclose(scale, width**-0.5)
    if plain and (attn_mask is None or (attn_mask.dtype == BOOL and list(attn_mask.shape[1:3]) == [1, 1])):
        joined = op.Constant(value_ints=[0, 0, -1])  # 0 copies the size of the input
        query_BRD = op.Reshape(op.Transpose(query_BHRd, perm=[0, 2, 1, 3]), joined)
        mask_BS = None
        if attn_mask is not None:
            mask_BS = op.Cast(op.Squeeze(attn_mask, op.Constant(value_ints=[1, 2])), to=INT32)
        context_BRD = _multi_head_attention(query_BRD, keys_BHSd, values_BHSd, None, mask_BS, num_heads=heads)
        split = op.Constant(value_ints=[0, 0, heads, -1])
        return op.Transpose(op.Reshape(context_BRD, split), perm=[0, 2, 1, 3])
    factor = op.Constant(value_float=width**-0.5 if scale is None else scale)
    scores_BHRS = op.MatMul(op.Mul(query_BHRd, factor), op.Transpose(keys_BHSd, perm=[0, 1, 3, 2]))
    if attn_mask is not None and attn_mask.dtype == BOOL:
        # A large negative number: softmax of a row without tokens stays finite.
        scores_BHRS = op.Where(attn_mask, scores_BHRS, op.Constant(value_float=-1e4))
    elif attn_mask is not None:
        scores_BHRS = op.Add(scores_BHRS, attn_mask)
    return op.MatMul(op.Softmax(scores_BHRS, axis=-1), values_BHSd)


#: Operator of torch -> its translation.
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.scaled_dot_product_attention.default: attention
}
