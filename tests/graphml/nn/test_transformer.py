"""The banded transformer: what an event sees, packing, the cache, and an oracle with a full mask."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml.nn.sequences import Sequences, gap_hours
from graphml.nn.transformer import BandedAttention, EventTransformer, Memory, TransformerConfig
from graphml.torch_first import torch

HOUR = 3_600_000_000
CONFIG = TransformerConfig(width=16, num_blocks=2, num_heads=2, window=4)


def packed(lengths: list[int], *, seed: int = 0) -> tuple[Sequences, torch.Tensor]:
    """Sequences of these lengths, hours apart and some late, and states of their events."""
    rng = torch.Generator().manual_seed(seed)
    number = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    time = torch.cat([torch.randint(0, 500 * HOUR, (num,), generator=rng) for num in lengths])
    return Sequences(sequence_L=number, time_L=time), torch.rand(len(number), CONFIG.width, generator=rng)


def network(config: TransformerConfig = CONFIG) -> EventTransformer:
    torch.manual_seed(0)
    return EventTransformer(config).eval()


def full_mask(layer: BandedAttention, x_LH: torch.Tensor, sequences: Sequences, window: int) -> torch.Tensor:
    """The same attention written down event by event."""
    query, key, value = (part.double() for part in layer.projected(x_LH).chunk(3, dim=1))
    channels = query.shape[1] // layer.num_heads
    rows = []
    for at in range(len(x_LH)):
        seen = [
            other
            for other in range(max(0, at - window + 1), at + 1)
            if sequences.sequence_L[other] == sequences.sequence_L[at]
        ]
        heads = []
        for head in range(layer.num_heads):
            part = slice(head * channels, (head + 1) * channels)
            scores = []
            for other in seen:
                hours = max(0, int(sequences.time_L[at] - sequences.time_L[other])) / HOUR
                fit = torch.dot(query[at, part], key[other, part]) / channels**0.5
                scores.append(fit - layer.log_slope_K[head].exp() * torch.log1p(torch.tensor(hours)))
            weights = torch.softmax(torch.stack(scores), 0)
            heads.append(sum(w * value[other, part] for w, other in zip(weights, seen, strict=True)))
        rows.append(torch.cat(heads))
    return layer.out(torch.stack(rows).float())


@pytest.mark.parametrize("window", [1, 3, 4, 32])
def test_banded_attention_is_attention_under_a_full_mask(window: int) -> None:
    sequences, x_LH = packed([5, 1, 9, 4])
    torch.manual_seed(0)
    layer = BandedAttention(TransformerConfig(width=16, num_heads=2, window=window)).eval()
    found = layer(x_LH, sequences.band(window))
    assert torch.allclose(found, full_mask(layer, x_LH, sequences, window), atol=1e-5)


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize(("window", "num_blocks"), [(1, 1), (4, 1), (4, 2), (32, 3)])
def test_some_events_alone_are_those_of_all_and_learn_alike(window: int, num_blocks: int, both_ways: bool) -> None:
    config = TransformerConfig(width=16, num_blocks=num_blocks, num_heads=2, window=window, both_ways=both_ways)
    (sequences, x_LH), model = packed([5, 1, 9, 4]), network(config)
    row_D = torch.tensor([4, 18, 5, 9, 0])
    gradients = []
    for states in (model(x_LH, sequences).index_select(0, row_D), model.at(x_LH, sequences, row_D)):
        model.zero_grad()
        states.square().mul(torch.arange(16)).sum().backward()
        gradients.append([states.detach(), *(each.grad for each in model.parameters())])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(1, 14), min_size=1, max_size=6), at=st.data())
def test_past_only_an_event_changes_itself_and_what_comes_after_it_within_the_receptive_field(
    lengths: list[int], at: st.DataObject
) -> None:
    sequences, x_LH = packed(lengths)
    changed = at.draw(st.integers(0, len(x_LH) - 1))
    other, later = x_LH.clone(), sequences.time_L.clone()
    other[changed] += 1
    later[changed] += 90 * HOUR
    moved = (network()(other, sequences) != network()(x_LH, sequences)).any(dim=1)
    own = sequences.sequence_L == sequences.sequence_L[changed]
    behind = torch.arange(len(x_LH)) - changed
    within = own & (behind >= 0) & (behind < CONFIG.receptive_field)
    assert not moved[~within].any()
    assert moved[changed]
    timed = network()(x_LH, Sequences(sequence_L=sequences.sequence_L, time_L=later))
    assert not (timed != network()(x_LH, sequences)).any(dim=1)[~within].any()


def test_the_whole_receptive_field_is_seen() -> None:
    sequences, x_LH = packed([12])
    x_LH.requires_grad_()
    network()(x_LH, sequences)[11].sum().backward()
    seen = (x_LH.grad != 0).any(dim=1)
    assert seen.tolist() == [False] * (12 - CONFIG.receptive_field) + [True] * CONFIG.receptive_field


@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize("begin", [0, 5])
def test_steps_with_what_is_remembered_give_the_numbers_of_a_whole_pass(window: int, begin: int) -> None:
    model = network(TransformerConfig(width=16, num_blocks=3, num_heads=2, window=window))
    sequences, x_LH = packed([11, 11, 11])
    whole = model(x_LH, sequences).unflatten(0, (3, 11))
    x_BLH, time_BL = x_LH.unflatten(0, (3, 11)), sequences.time_L.unflatten(0, (3, 11))
    with torch.no_grad():
        memory = Memory(
            keys=torch.zeros(3, 3, window - 1, 16),
            values=torch.zeros(3, 3, window - 1, 16),
            filled=torch.zeros(3, window - 1, dtype=torch.bool),
        )
        time_BW = torch.zeros(3, window - 1, dtype=torch.long)
        if begin:
            last = torch.arange(3) * 11 + begin - 1
            again, memory = model.remembered(x_LH, sequences, last)
            assert torch.allclose(again.unflatten(0, (3, 11)), whole, atol=1e-6)
            time_BW = sequences.time_L[(last[:, None] - torch.arange(window - 1)).clamp(min=0)]
        for at in range(begin, 11):
            hours = gap_hours(time_BL[:, at, None], time_BW)[:, 0]
            found, keys, values = model.step(x_BLH[:, at], hours, memory)
            assert torch.allclose(found, whole[:, at], atol=2e-6), at
            memory = Memory(  # the newest first, the oldest falls out
                keys=torch.cat([keys[:, :, None], memory.keys], dim=2)[:, :, : window - 1],
                values=torch.cat([values[:, :, None], memory.values], dim=2)[:, :, : window - 1],
                filled=torch.cat([torch.ones(3, 1, dtype=torch.bool), memory.filled], dim=1)[:, : window - 1],
            )
            time_BW = torch.cat([time_BL[:, at, None], time_BW], dim=1)[:, : window - 1]


def test_sequences_packed_together_are_as_if_alone() -> None:
    sequences, x_LH = packed([3, 7, 2, 9])
    together = network()(x_LH, sequences)
    for number in range(4):
        own = sequences.sequence_L == number
        alone = network()(x_LH[own], Sequences(sequence_L=sequences.sequence_L[own], time_L=sequences.time_L[own]))
        assert torch.allclose(together[own], alone, atol=1e-6)


def test_only_gaps_count_and_a_late_event_has_a_gap_of_nothing() -> None:
    x_LH = packed([4])[1]
    one = network(TransformerConfig(width=16, num_blocks=1, num_heads=2, window=4))
    numbers = torch.zeros(4, dtype=torch.long)
    times = torch.tensor([5, 9, 7, 7]) * HOUR  # the third is late
    base = one(x_LH, Sequences(sequence_L=numbers, time_L=times))
    moved = one(x_LH, Sequences(sequence_L=numbers, time_L=times + 1_000 * HOUR))
    assert torch.equal(base, moved)
    later_still = times.clone()
    later_still[1] += 100 * HOUR  # seen from the third and fourth, it is in the future either way
    assert torch.equal(base[2:], one(x_LH, Sequences(sequence_L=numbers, time_L=later_still))[2:])


def test_gradients_are_those_of_finite_differences() -> None:
    sequences, x_LH = packed([3, 4])
    layer = network(TransformerConfig(width=4, num_blocks=1, num_heads=2, window=3)).double()
    inputs = x_LH[:, :4].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x, sequences), inputs)


def test_bad_sizes_and_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="multiple of num_heads"):
        TransformerConfig(width=10, num_heads=4)
    with pytest.raises(ValueError, match="one number and one time"):
        Sequences(sequence_L=torch.zeros(2), time_L=torch.zeros(3))
    with pytest.raises(ValueError, match="window is 0"):
        Sequences(sequence_L=torch.zeros(2), time_L=torch.zeros(2)).band(0)


@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(1, 14), min_size=1, max_size=6), window=st.sampled_from([1, 3, 4]))
def test_both_ways_is_attention_under_a_full_mask(lengths: list[int], window: int) -> None:
    sequences, x_LH = packed(lengths)
    torch.manual_seed(0)
    layer = BandedAttention(TransformerConfig(width=16, num_heads=2, window=window)).eval()
    found = layer(x_LH, sequences.band(window, both_ways=True))
    query, key, value = (part.unflatten(1, (2, 8)).transpose(0, 1) for part in layer.projected(x_LH).chunk(3, dim=1))
    at = torch.arange(len(x_LH))
    sees = (at[:, None] - at).abs() < window
    sees &= sequences.sequence_L[:, None] == sequences.sequence_L
    hours = (sequences.time_L[:, None] - sequences.time_L).abs() / HOUR
    scores = query @ key.transpose(1, 2) / 8**0.5 - layer.log_slope_K.exp()[:, None, None] * torch.log1p(hours)
    expected = scores.masked_fill(~sees, -torch.inf).softmax(2) @ value
    assert torch.allclose(found, layer.out(expected.transpose(0, 1).flatten(1)), atol=1e-5)


def test_both_ways_remembers_nothing() -> None:
    sequences, x_LH = packed([3])
    both = network(TransformerConfig(width=16, num_heads=2, window=4, both_ways=True))
    with pytest.raises(ValueError, match="no cache"):
        both.remembered(x_LH, sequences, torch.tensor([2]))
