"""A family of encoders from outside the package: a transformers model, and the class that steps its layers.

On the command line, `--trust toy_backbone` imports this module, which registers the family:

    python -m acl_lightning fit --config quickstart.yaml --trust toy_backbone --model.encoder.backbone=DIRECTORY
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from acl_lightning import AdaptiveRuntime, Backbone, Confidence, EncoderConfig, register_backbone
from acl_lightning.encoders import KeysValues, TokenState


class ToyConfig(PreTrainedConfig):
    """Sizes of a toy encoder."""

    model_type = "toy-encoder"
    hidden_size: int = 8
    num_hidden_layers: int = 3
    vocab_size: int = 50
    max_position_embeddings: int = 64


class ToyModel(PreTrainedModel):
    """Layers of attention with one head and a residual connection."""

    config_class = ToyConfig

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.embeddings = nn.Embedding(config.vocab_size, width)
        self.layers = nn.ModuleList(
            nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value", "output")})
            for _ in range(config.num_hidden_layers)
        )
        self.post_init()


class ToyBackbone(Backbone):
    """Steps the layers of `ToyModel`."""

    def __init__(
        self,
        model: Any,
        *,
        pooler_is_pretrained: bool = True,
        gradient_checkpointing: bool = False,
        compile_layers: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.width, self.depth = model.config.hidden_size, model.config.num_hidden_layers
        self.max_tokens = model.config.max_position_embeddings
        self.gradient_checkpointing, self.compile_layers = gradient_checkpointing, compile_layers

    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> TokenState:
        """Embed token ids (B, S)."""
        self.check_length(input_ids.shape[1])
        return TokenState(self.model.embeddings(input_ids), attention_mask.bool())

    def keys_values(self, layer: int, state: TokenState) -> KeysValues:
        """Project the tokens to the keys and values of a layer: (B, heads, S, width / heads)."""
        block = self.model.layers[layer]
        return KeysValues(block["key"](state.hidden_BSD)[:, None], block["value"](state.hidden_BSD)[:, None])

    def rows(self, layer: int, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None) -> Tensor:
        """Pass R rows per sample (B, R, D) through a layer; they read the tokens."""
        block = self.model.layers[layer]
        mask = None if mask_BS is None else mask_BS[:, None, None, :]
        query_BHRD = block["query"](query_BRD)[:, None]
        read_BHRD = scaled_dot_product_attention(query_BHRD, keys_values.keys_BHSd, keys_values.values_BHSd, mask)
        output: Tensor = query_BRD + block["output"](read_BHRD[:, 0])
        return output

    def pooler(self) -> nn.Linear | None:
        """Return None: the model has no pretrained pooler."""
        return None

    def cut(self, num_layers: int) -> None:
        """Remove the layers above the first `num_layers`."""
        self.model.layers = self.model.layers[:num_layers]


AutoConfig.register("toy-encoder", ToyConfig, exist_ok=True)  # not needed for a family that transformers knows
AutoModel.register(ToyConfig, ToyModel, exist_ok=True)
register_backbone("toy-encoder", ToyBackbone)


def main(directory: str = "toy-encoder") -> list[int]:
    """Save a random model, build an encoder with exits from it, and return the layers at which samples leave."""
    torch.manual_seed(0)
    ToyModel(ToyConfig()).save_pretrained(directory)
    encoder = EncoderConfig(backbone=directory, exits=[1, 2, 3]).build(num_labels=2).eval()
    runtime = AdaptiveRuntime(encoder, Confidence(), threshold=0.55)
    decisions = runtime(input_ids=torch.randint(50, (4, 6)), attention_mask=torch.ones(4, 6, dtype=torch.long))
    print(f"exit layers: {decisions.exit_layer_B.tolist()}")
    return decisions.exit_layer_B.tolist()


if __name__ == "__main__":
    main()
