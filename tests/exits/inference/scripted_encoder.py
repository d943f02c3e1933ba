"""An encoder whose exits and gate answer what is written down: sample b carries its number through the layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acl_lightning.encoders import Backbone, ClsRow, ExitHead, KeysValues, MultiExitEncoder, TokenState


class Carrier(Backbone):
    """Hands every token on unchanged."""

    width, max_tokens = 1, 512

    def __init__(self, depth):
        super().__init__()
        self.depth = depth

    def embed(self, input_ids, attention_mask, token_type_ids=None):
        return TokenState(input_ids.unsqueeze(-1).double(), attention_mask.bool())

    def keys_values(self, layer, state):
        empty = state.hidden_BSD.unsqueeze(1)
        return KeysValues(empty, empty)

    def rows(self, layer, query_BRD, keys_values, mask_BS):
        return query_BRD

    def pooler(self):
        return None

    def cut(self, num_layers):
        pass


class WrittenHead(ExitHead):
    """Looks a sample's logits up; what it hands to the gate tells the exit too: the sample's number and e / 64."""

    def __init__(self, exit_, logits_BC):
        super().__init__(1, logits_BC.shape[1], pooler=False, pretrained_pooler=None, dropout=0.0)
        self.exit_, self.logits_BC = exit_, logits_BC

    def embed(self, row_BD):
        return row_BD + self.exit_ / 64

    def classify(self, embedding_BD):
        return self.logits_BC[embedding_BD[:, 0].long()]


class WrittenGate(nn.Module):
    """Looks the gate's logit up."""

    def __init__(self, gates_EB):
        super().__init__()
        self.gates_EB = gates_EB

    def forward(self, embedding_BD):
        number_B1 = embedding_BD.floor()
        return self.gates_EB[((embedding_BD - number_B1) * 64).long(), number_B1.long()]


def written(logits_EBC: Tensor, gates_EB: Tensor | None = None, cosines_EBC: Tensor | None = None) -> MultiExitEncoder:
    """An exit at every layer."""
    layers = tuple(range(1, len(logits_EBC) + 1))
    heads = [WrittenHead(exit_, logits_BC) for exit_, logits_BC in enumerate(logits_EBC)]
    encoder = MultiExitEncoder(Carrier(len(layers)), layers, [ClsRow(1) for _ in layers], heads)
    if gates_EB is not None:
        encoder.gate = WrittenGate(gates_EB)
    if cosines_EBC is not None:
        encoder.cosines = lambda exit_, embedding_BD: cosines_EBC[exit_][embedding_BD[:, 0].long()]
    return encoder.eval()


def numbers(batch: int, num_tokens: int = 2) -> tuple[Tensor, Tensor]:
    """Ids and mask in which every token of sample b is b."""
    ids = torch.arange(batch)[:, None].expand(batch, num_tokens)
    return ids, torch.ones_like(ids)
