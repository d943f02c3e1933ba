"""Small random models of every family, and their batches."""

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

VOCABULARY = 50
SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 20,
}
ROTARY = {"pad_token_id": 1, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
#: Name -> model_type, and settings in addition to `SIZES`.
FAMILIES = {
    "bert": ("bert", {}),
    "roberta": ("roberta", {"type_vocab_size": 2}),
    "xlm-roberta": ("xlm-roberta", {"type_vocab_size": 2}),
    "electra": ("electra", {"embedding_size": 24}),
    "electra-projected": ("electra", {"embedding_size": 10}),
}
OTHER_FAMILIES = {
    "albert": ("albert", {"embedding_size": 10}),
    "albert-groups": ("albert", {"embedding_size": 10, "num_hidden_groups": 2}),
    "albert-inner": ("albert", {"embedding_size": 10, "num_hidden_layers": 2, "inner_group_num": 2}),
    "distilbert": ("distilbert", {"dim": 24, "n_layers": 4, "n_heads": 3, "hidden_dim": 40}),
    "mpnet": ("mpnet", {}),
    "deberta-v3": (
        "deberta-v2",
        {
            "relative_attention": True,
            "position_buckets": 4,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
    "deberta-unshared": (
        "deberta-v2",
        {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 2},
    ),
    "deberta-absolute": ("deberta-v2", {"type_vocab_size": 2}),
    "modernbert": ("modernbert", {"local_attention": 6, "global_attn_every_n_layers": 2, **ROTARY}),
}
#: Images of 2 channels and 8 x 8 pixels, in patches of 4 x 4.
IMAGES = {"image_size": 8, "patch_size": 4, "num_channels": 2}
IMAGE_FAMILIES = {
    "vit": ("vit", IMAGES),
    "deit": ("deit", IMAGES),
    "dinov2": ("dinov2", {**IMAGES, "mlp_ratio": 2, "layerscale_value": 0.7}),
    "dinov2-swiglu": ("dinov2", {**IMAGES, "mlp_ratio": 2, "layerscale_value": 0.7, "use_swiglu_ffn": True}),
}
ALL_FAMILIES = FAMILIES | OTHER_FAMILIES | IMAGE_FAMILIES
#: Names of dropout probabilities, of which a family has some.
DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
)


def tiny_config(family: str, *, dropout: float = 0.1, **changes):
    """Configuration of a small model, with weights five times as large as those of BERT."""
    model_type, extra = ALL_FAMILIES[family]
    sizes = {name: value for name, value in SIZES.items() if not (model_type == "distilbert" and "hidden_" in name)}
    config = AutoConfig.for_model(model_type, **{**sizes, **extra, **changes}, initializer_range=0.1)
    for name in DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, dropout)
    return config


def tiny(family: str, *, dropout: float = 0.1, attention: str = "sdpa", **changes):
    """A random model in eval mode."""
    torch.manual_seed(1)
    config = tiny_config(family, dropout=dropout, **changes)
    attention = "eager" if config.model_type in {"deberta-v2", "mpnet"} else attention  # they have no other
    return AutoModel.from_config(config, attn_implementation=attention).eval()


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


def images(number: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random images for `IMAGE_FAMILIES`."""
    return {"pixel_values": torch.randn(number, 2, 8, 8, generator=torch.Generator().manual_seed(seed))}


RAGGED = [7, 3, 12, 1, 12]
EVEN = [6, 6, 6]


def tiny_tokenizer(words: list[str] = ()):
    """A tokenizer of words for the tiny models. The id of [PAD] is 1, as RoBERTa and MPNet need it."""
    vocabulary = {"[UNK]": 0, "[PAD]": 1, "[CLS]": 2, "[SEP]": 3} | {word: 5 + n for n, word in enumerate(words)}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "pad", "cls", "sep")}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)
