"""Translation of attention to the fused operator of onnxruntime, for `torch.onnx.export`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
import torch
from onnx.defs import OpSchema
from onnxscript import opset20
from onnxscript.values import Op, Opset

#: Domain of the operators that onnxruntime adds to ONNX.
DOMAIN = "com.microsoft"

#: Element type INT32 of ONNX, which the operator expects of the mask.
INT32 = int(onnx.TensorProto.INT32)


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


def fused_attention(query_BHRd: Any, keys_BHSd: Any, values_BHSd: Any, attn_mask: Any = None, **_: Any) -> Any:
    """Return `softmax(q k^T / sqrt(d)) v`, (B, H, R, d), as one operator of onnxruntime.

    The operator takes keys and values with separate heads, as a layer returns them, and a query with joined heads.

    Args:
        query_BHRd: Queries.
        keys_BHSd: Keys.
        values_BHSd: Values.
        attn_mask: Mask (B, 1, 1, S), bool, True for tokens. None: no padding.
    """
    heads = query_BHRd.shape[1]
    joined = op.Constant(value_ints=[0, 0, -1])  # 0 copies the size of the input
    query_BRD = op.Reshape(op.Transpose(query_BHRd, perm=[0, 2, 1, 3]), joined)
    mask_BS = None
    if attn_mask is not None:
        mask_BS = op.Cast(op.Squeeze(attn_mask, op.Constant(value_ints=[1, 2])), to=INT32)
    context_BRD = _multi_head_attention(query_BRD, keys_BHSd, values_BHSd, None, mask_BS, num_heads=heads)
    split = op.Constant(value_ints=[0, 0, heads, -1])
    return op.Transpose(op.Reshape(context_BRD, split), perm=[0, 2, 1, 3])


#: Operator of torch -> its translation.
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.scaled_dot_product_attention.default: fused_attention
}
