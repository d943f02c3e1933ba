"""The adaptive runtime: an encoder, a criterion and a threshold, ready to answer."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from acl_lightning.encoders import MultiExitEncoder
from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.inference.decisions import Decisions
from acl_lightning.exits.inference.ledger import Ledger
from acl_lightning.exits.inference.modes import Inputs, Mode, mode_named
from acl_lightning.exits.inference.pack import Pack, lengths_of
from acl_lightning.exits.inference.passage import ROW_FIRST_TOKENS, Passage

#: What an encoder takes from a batch.
NAMES = ("input_ids", "attention_mask", "token_type_ids")


class AdaptiveRuntime:
    """Runs an encoder layer by layer and drops the samples that leave.

    At each exit the criterion sees the logits of this and all earlier exits of the samples that are still there. A
    sample leaves when its certainty here reaches the threshold; the deepest exit takes the rest. Criteria are causal,
    so exits and answers are those that `exits.sweep` finds in the full logits. A certainty that is NaN or -inf, which
    is what criteria say of logits that are not finite, reaches no threshold. See `Passage` for what is computed when.

    The encoder is used as it is: call `encoder.eval()` first, else dropout takes part in the decisions.

    Args:
        encoder: the encoder to step.
        criterion: when to leave.
        threshold: certainty at which to leave.
        dtype: compute in it, on a copy of the encoder; logits are rounded so that answers may differ from the sweep's.
            None: as the encoder is.
        compile_layers: `torch.compile` the layers that are passed whole, on a copy of the encoder; the first batches
            take long, and answers may differ in the last bits.
        row_first_tokens: see `Passage`; 0: exit rows always come first.

    Raises:
        UserError: the threshold is out of the criterion's range, or the criterion cannot read a regression's logits.
    """

    def __init__(
        self,
        encoder: MultiExitEncoder,
        criterion: Criterion,
        threshold: float,
        *,
        dtype: torch.dtype | None = None,
        compile_layers: bool = False,
        row_first_tokens: int = ROW_FIRST_TOKENS,
    ) -> None:
        criterion.check_threshold(threshold)
        if encoder.num_labels == 1 and not criterion.supports_regression:
            raise UserError(
                "an exit criterion for regression", f"{criterion.name}", "Use one that reads values, such as patience."
            )
        if dtype is not None or compile_layers:
            encoder = copy.deepcopy(encoder).to(dtype)
            encoder.backbone.compile_layers = compile_layers
        self.encoder, self.criterion = encoder, criterion
        self._passage = Passage(encoder, criterion, threshold, row_first_tokens)

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Decisions:
        """Decide a batch of token ids (B, S); B may be 0. The host waits for the device once, and once per exit.

        Raises:
            UserError: more tokens than the backbone has positions for.
        """
        batch = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            batch["token_type_ids"] = token_type_ids
        return self._decide([batch], [lengths_of(attention_mask)])

    def stream(self, batches: Iterable[Mapping[str, Tensor]], mode: str | Mode = "throughput") -> Iterator[Decisions]:
        """Decide batches as they come, each a dictionary with `input_ids` and `attention_mask` (more is ignored).

        The answers are the same in all modes, apart from rounding:

        - `latency`: sample by sample, each without padding;
        - `batch`: batch by batch, as calling the runtime does;
        - `throughput`: several batches together, layer by layer, re-packed as samples leave.

        Args:
            batches: a stream of any length; no more of it is read than the mode takes together. Batches may be empty.
            mode: a name above, or a mode with settings of its own, such as `Window(32)`.

        Returns:
            The decisions of each batch, in order, as a generator.

        Raises:
            UserError: no mode of that name; while iterating, more tokens than the backbone has positions for.
        """
        chosen = mode_named(mode) if isinstance(mode, str) else mode
        taken = ({name: batch[name] for name in NAMES if name in batch} for batch in batches)
        return chosen.decide(taken, self._decide)

    def _decide(self, batches: list[Inputs], lengths: list[list[int]]) -> Decisions:
        """Decide batches together; the samples are numbered through, which is the order of the answers."""
        starts = [sum(len(rows) for rows in lengths[:number]) for number in range(len(lengths) + 1)]
        ledger = Ledger(
            self.encoder.exit_layers, self.encoder.num_labels, starts[-1], batches[0]["attention_mask"].device
        )
        with torch.inference_mode():
            packs = [
                Pack([*range(start, start + len(rows))], rows, self.encoder.embed(**batch))
                for batch, rows, start in zip(batches, lengths, starts, strict=False)
                if rows
            ]
            self._passage.run(packs, ledger, size=max((len(pack.samples) for pack in packs), default=1))
        return ledger.decisions()
