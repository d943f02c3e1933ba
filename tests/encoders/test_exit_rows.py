"""Each kind of exit row against a literal reference; none of them changes the tokens."""

import pytest
import torch
from oracles import bert_row_oracle
from tiny_models import EVEN, RAGGED, batch, tiny

from acl_lightning.encoders import EXIT_ROWS, BertFamily, MeanPool, ProbeRow, TokenState

LAYER = 1


@pytest.fixture
def backbone():
    return BertFamily(tiny("bert")).eval()


def entering(backbone, lengths):
    """The state that enters layer `LAYER`, and each sample's tokens without padding."""
    state = backbone.layer(0, backbone.embed(**batch(lengths)))
    return state, [hidden_SD[:n].double() for hidden_SD, n in zip(state.hidden_BSD, lengths, strict=True)]


def reference(kind, row, layer, tokens_SD):
    """The exit row of one sample, one vector at a time."""
    tokens = tokens_SD.tolist()
    if kind == "mean_pool":
        after = [bert_row_oracle(layer, token, tokens) for token in tokens]
        return [sum(values) / len(tokens) for values in zip(*after, strict=True)]
    query = {
        "cls": lambda: tokens[0],
        "mean_row": lambda: [sum(values) / len(tokens) for values in zip(*tokens, strict=True)],
        "probe": lambda: row.vector_D.double().tolist(),
    }[kind]()
    return bert_row_oracle(layer, query, tokens)


@torch.no_grad()
@pytest.mark.parametrize("advance", [True, False])
@pytest.mark.parametrize("lengths", [[4, 2, 5], [3, 3]])
@pytest.mark.parametrize("kind", EXIT_ROWS)
def test_rows_equal_the_literal_reference(backbone, kind, lengths, advance):
    row = EXIT_ROWS[kind](24)
    state, samples = entering(backbone, lengths)
    found_BD, following = row.read(backbone, LAYER, state, advance=advance)
    expected = [reference(kind, row, backbone.model.encoder.layer[LAYER], tokens_SD) for tokens_SD in samples]
    torch.testing.assert_close(found_BD, torch.tensor(expected), atol=1e-5, rtol=0)
    assert (following is not None) == advance


@torch.no_grad()
@pytest.mark.parametrize("lengths", [RAGGED, EVEN])
@pytest.mark.parametrize("kind", EXIT_ROWS)
def test_an_exit_row_does_not_change_the_tokens(backbone, kind, lengths):
    state, _ = entering(backbone, lengths)
    _, following = EXIT_ROWS[kind](24).read(backbone, LAYER, state, advance=True)
    expected = backbone.layer(LAYER, state)
    torch.testing.assert_close(following.hidden_BSD, expected.hidden_BSD, atol=1e-6, rtol=0)
    assert following.hidden_BSD.is_contiguous()
    assert following.mask_BS is state.mask_BS


@torch.no_grad()
@pytest.mark.parametrize("kind", ["cls", "mean_row", "probe"])
def test_row_first_equals_the_row_among_the_tokens(backbone, kind):
    row = EXIT_ROWS[kind](24)
    state, _ = entering(backbone, RAGGED)
    first_BRD = backbone.rows(LAYER, row.query(state), backbone.keys_values(LAYER, state), state.mask_BS)
    among_BD, _ = row.read(backbone, LAYER, state, advance=True)
    torch.testing.assert_close(first_BRD[:, 0], among_BD, atol=1e-6, rtol=0)


def test_mean_pool_has_no_query_row(backbone):
    state, _ = entering(backbone, EVEN)
    assert MeanPool(24).query(state) is None


def test_only_probes_have_parameters_with_small_initial_values():
    torch.manual_seed(0)
    sizes = {kind: sum(p.numel() for p in row(4096).parameters()) for kind, row in EXIT_ROWS.items()}
    assert sizes == {"cls": 0, "mean_row": 0, "probe": 4096, "mean_pool": 0}
    assert ProbeRow(4096).vector_D.std().item() == pytest.approx(0.02, rel=0.1)


def test_a_probe_is_trained(backbone):
    row = ProbeRow(24)
    state, _ = entering(backbone, RAGGED)
    row.read(backbone, LAYER, TokenState(state.hidden_BSD.detach(), state.mask_BS), advance=True)[0].pow(
        3
    ).sum().backward()
    assert row.vector_D.grad.abs().max() > 0
