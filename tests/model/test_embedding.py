import numpy as np
import torch
from torch.nn import functional

from components.model.embedding import embed, touched
from components.model.encoding import encode


def plain_embed(table, encoded, layout):
    rows = []
    for sample in range(len(encoded)):
        parts = [table[row] for row in encoded.ids_NS[sample]]
        for place, field in enumerate(layout.lists):
            segment = sample * len(layout.lists) + place
            entries = encoded.values_E[encoded.offsets_NL[segment] : encoded.offsets_NL[segment + 1]]
            pooled = sum((table[row] for row in entries), np.zeros(table.shape[1]))
            parts.append(pooled / max(len(entries), 1) if field.pooling == "mean" else pooled)
        rows.append(np.concatenate(parts))
    return np.stack(rows)


def test_embeddings_equal_the_plain_loop(samples, layout):
    encoded = encode(samples, layout)
    table = torch.randn(layout.rows, 4, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(
        embed(table, encoded, layout).x_BFW.flatten(1).numpy(), plain_embed(table.double().numpy(), encoded, layout), rtol=1e-5
    )


def test_padded_empty_and_missing_lists_contribute_zero(samples, layout):
    x_BFW = embed(torch.ones(layout.rows, 4), encode(samples, layout), layout).x_BFW
    assert x_BFW[:, 3, 0].tolist() == [1, 1, 0, 0]  # mean over 3 entries; over the 1 that is not padding; empty; null
    assert x_BFW[:, 4, 0].tolist() == [1, 3, 0, 0]  # sums


def test_a_batch_in_terms_of_its_distinct_rows_embeds_alike(samples, layout):
    table = torch.randn(layout.rows, 4, generator=torch.Generator().manual_seed(1))
    for first, last in ((0, 4), (1, 2), (2, 4)):
        batch = encode(samples, layout).slice(first, last)
        distinct = touched(batch)
        assert distinct.rows_U.tolist() == sorted({*batch.ids_NS.ravel().tolist(), *batch.values_E.tolist()})
        found = embed(table[torch.from_numpy(distinct.rows_U)], distinct.samples, layout)
        assert torch.equal(found.x_BFW, embed(table, batch, layout).x_BFW)
        assert torch.equal(found.entries(), embed(table, batch, layout).entries())


def test_the_gradient_of_a_batch_is_that_of_the_rows_it_touches(samples, layout):
    table = torch.randn(layout.rows, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    encoded, weights = encode(samples, layout), torch.randn(4, 5, 4, generator=torch.Generator().manual_seed(2))
    expected = torch.autograd.grad(embed(table, encoded, layout).x_BFW.mul(weights).sum(), table)[0]
    found = touched(encoded)
    leaf = table.detach()[torch.from_numpy(found.rows_U)].requires_grad_()
    embed(leaf, found.samples, layout, found.by_row).x_BFW.mul(weights).sum().backward()
    assert torch.equal(leaf.grad, expected[torch.from_numpy(found.rows_U)])
    untouched = np.delete(expected.numpy(), found.rows_U, axis=0)
    assert not untouched.any()


def test_gradients_are_those_of_torch(samples, layout):
    encoded = encode(samples, layout)
    table = torch.randn(layout.rows, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    embedded = embed(table, encoded, layout)
    weights = torch.randn(embedded.x_BFW.shape, generator=torch.Generator().manual_seed(2))
    embedded.x_BFW.mul(weights).sum().add(embedded.entries().square().sum()).backward()
    singles = functional.embedding(torch.from_numpy(encoded.ids_NS), table)
    entries = functional.embedding(torch.from_numpy(encoded.values_E), table)
    pooled = embedded.pool(entries) * embedded.entry_weights()
    expected = torch.cat([singles, pooled], dim=1).mul(weights).sum() + entries.square().sum()
    torch.testing.assert_close(table.grad, torch.autograd.grad(expected, table)[0])
