"""Small random models of every family, and their batches."""

import torch
from transformers import BertConfig, BertModel, ElectraConfig, ElectraModel, RobertaConfig, RobertaModel

VOCABULARY = 50
SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 20,
}
FAMILIES = {
    "bert": (BertModel, BertConfig, {}),
    "roberta": (RobertaModel, RobertaConfig, {"type_vocab_size": 2}),
    "electra": (ElectraModel, ElectraConfig, {"embedding_size": 24}),
    "electra-projected": (ElectraModel, ElectraConfig, {"embedding_size": 10}),
}


def tiny(family: str, *, dropout: float = 0.1, attention: str = "sdpa", **changes):
    """A random model in eval mode, with weights five times as large as those of BERT, so that layers change tokens."""
    model_class, config_class, extra = FAMILIES[family]
    config = config_class(
        **{**SIZES, **extra, **changes},
        initializer_range=0.1,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        attn_implementation=attention,
    )
    torch.manual_seed(1)
    return model_class(config).eval()


def batch(lengths: list[int], seed: int = 0) -> dict[str, torch.Tensor]:
    """Token ids of samples with these lengths, padded on the right with id 1 (RoBERTa counts positions by it)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    mask = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]
    ids = torch.randint(5, VOCABULARY, shape, generator=generator)
    return {
        "input_ids": ids.masked_fill(~mask, 1),
        "attention_mask": mask.long(),
        "token_type_ids": torch.randint(2, shape, generator=generator),
    }


RAGGED = [7, 3, 12, 1, 12]
EVEN = [6, 6, 6]
