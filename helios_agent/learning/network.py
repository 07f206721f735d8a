"""PowerballNet: what the next draw may owe to the draws before it.

Embedded draws → self-attention with residual and LayerNorm → bidirectional LSTMs → last position → heads.
A window of `sequence` draws predicts one draw. Longer input is read by *continuation*: the first window runs
in both directions, and each later draw adds one predicted position at the price of a single forward step. A
continued position attends over its own last `sequence` draws and its reverse direction takes one step from
zero, both exactly as the last position of a window does; only the forward state remembers further back.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from helios_agent.learning.specs import NetworkSpec
from helios_agent.registry.card import Matrix

READOUT = 128
"""Features that the heads read."""


class Outputs(NamedTuple):
    """What the heads say at each predicted position (B, M); see `learning.objective` for their targets."""

    white: Tensor
    """Log-weights of the white balls, (B, M, N)."""
    bonus: Tensor
    """Logits of the bonus ball, (B, M, B')."""
    frequency: Tensor
    """Logits of the whites' and then the bonus balls' frequencies over the coming draws, (B, M, N + B')."""
    confidence: Tensor
    """Expected log-score gain over uniform of the two forecasts above, nats, (B, M)."""


class PowerballNet(nn.Module):
    """The network, with its output heads at zero: untrained, it says uniform exactly."""

    def __init__(self, sizes: NetworkSpec, matrix: Matrix) -> None:
        super().__init__()
        hidden = sizes.hidden
        self.sequence = sizes.sequence
        self.white_embedding = nn.Embedding(matrix.white, sizes.embedding)
        self.bonus_embedding = nn.Embedding(matrix.bonus, sizes.embedding)
        self.project = nn.Linear(2 * sizes.embedding, hidden)
        self.positions = nn.Parameter(0.02 * torch.randn(sizes.sequence, hidden))
        self.attention = WindowAttention(hidden, sizes.heads)
        self.norm = nn.LayerNorm(hidden)
        self.layers = nn.ModuleList(
            BidirectionalLayer(hidden if number == 0 else 2 * hidden, hidden)
            for number in range(sizes.layers)
        )
        self.dropout = LockedDropout(sizes.dropout)
        self.readout = nn.Linear(2 * hidden, READOUT)
        self.white_head = _silent(READOUT, matrix.white)
        self.bonus_head = _silent(READOUT, matrix.bonus)
        self.frequency_head = _silent(READOUT, matrix.white + matrix.bonus)
        self.confidence_head = _silent(READOUT, 1)

    def forward(self, whites: Tensor, bonus: Tensor, *, pruned: bool = True) -> Outputs:
        """Predict the draw after each position from `sequence − 1` on: M = L − `sequence` + 1 predictions.

        `whites` (B, L, k) and `bonus` (B, L) are int64 and 0-based, L >= `sequence`. `pruned` leaves out the
        part of the last layer's reverse pass that no prediction reads; the result is the same.
        """
        window = self.sequence
        drawn = torch.cat([self.white_embedding(whites).mean(-2), self.bonus_embedding(bonus)], dim=-1)
        tokens = self.project(drawn)
        continued = tokens.shape[1] - window
        # A continued position is the last of its own window.
        positions = torch.cat([self.positions, self.positions[-1:].expand(continued, -1)])
        states = self.norm(tokens + positions + self.attention(tokens, self.positions))
        for number, layer in enumerate(self.layers):
            last = number == len(self.layers) - 1
            states = layer(self.dropout(states) if number else states, window, single=last and pruned)
        features = functional.relu(self.readout(self.dropout(states[:, window - 1 :])))
        # The heads cost next to nothing, and a logit needs more than the eight bits of bf16.
        with torch.autocast("cpu", enabled=False):
            exact = features.float()
            return Outputs(
                white=self.white_head(exact),
                bonus=self.bonus_head(exact),
                frequency=self.frequency_head(exact),
                # The confidence head watches the trunk without shaping it.
                confidence=self.confidence_head(exact.detach()).squeeze(-1),
            )


class LockedDropout(nn.Module):
    """Dropout that leaves out the same features at every position of a segment.

    Y. Gal and Z. Ghahramani (2016), A theoretically grounded application of dropout in recurrent neural
    networks. It takes one random number a feature, instead of one a feature and position.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, states: Tensor) -> Tensor:
        """Return `states` (B, L, H); in training, a `share` of the features is zero, the others scaled up."""
        if not self.training or not self.share:
            return states
        kept = torch.rand(states.shape[0], 1, states.shape[2]) >= self.share
        return states * (kept / (1.0 - self.share)).to(states.dtype)


class WindowAttention(nn.Module):
    """Multi-head self-attention in which the positions past the first window see exactly their own window."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return (B, L, H) for `tokens` (B, L, H), which do not hold their `positions` (S, H) yet.

        A draw's place differs from window to window, so keys and values are kept as two parts that add up:
        the draw's own, and that of its place.
        """
        window = positions.shape[0]
        key_places = self._split(self.key(positions))
        value_places = self._split(self.value(positions))
        key_draws = self._split(functional.linear(tokens, self.key.weight))
        value_draws = self._split(functional.linear(tokens, self.value.weight))

        queries = self._split(self.query(tokens[:, :window] + positions))
        attended = _attend(
            queries.transpose(1, 2),
            (key_draws[:, :window] + key_places).transpose(1, 2),
            (value_draws[:, :window] + value_places).transpose(1, 2),
        ).transpose(1, 2)
        if tokens.shape[1] > window:
            queries = self._split(self.query(tokens[:, window:] + positions[-1]))
            later = _attend_in_band(
                queries.transpose(1, 2),
                key_draws[:, 1:].transpose(1, 2),
                key_places.transpose(0, 1),
                value_draws[:, 1:].transpose(1, 2),
                value_places.transpose(0, 1),
            ).transpose(1, 2)
            attended = torch.cat([attended, later], dim=1)
        mixed: Tensor = self.out(attended.flatten(-2))
        return mixed

    def _split(self, values: Tensor) -> Tensor:
        """(..., H) → (..., heads, H / heads)."""
        return values.reshape(*values.shape[:-1], self.heads, -1)


class BidirectionalLayer(nn.Module):
    """One LSTM layer: forward over everything, backward over the first window, single steps after it."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.ahead = nn.LSTM(inputs, hidden, batch_first=True)
        self.back = nn.LSTM(inputs, hidden, batch_first=True)

    def forward(self, states: Tensor, window: int, *, single: bool) -> Tensor:
        """Return (B, L, 2H) for `states` (B, L, I); with `single`, all backward states are single steps.

        The last position of a window reads its backward state after one step, whatever the window holds, so
        `single` is right at every position from `window − 1` on.
        """
        ahead, _ = self.ahead(states)
        if single:
            return torch.cat([ahead, self._single_steps(states)], dim=-1)
        back, _ = self.back(states[:, :window].flip(1))
        later = self._single_steps(states[:, window:])
        return torch.cat([ahead, torch.cat([back.flip(1), later], dim=1)], dim=-1)

    def _single_steps(self, states: Tensor) -> Tensor:
        """Return what the backward cell says of each of `states` (B, L, I) as its first input."""
        bias = self.back.get_parameter("bias_ih_l0") + self.back.get_parameter("bias_hh_l0")
        gates = functional.linear(states, self.back.get_parameter("weight_ih_l0"), bias)
        enter, _, candidate, leave = gates.chunk(4, dim=-1)
        return leave.sigmoid() * (enter.sigmoid() * candidate.tanh()).tanh()


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Scaled dot-product attention: queries (..., Q, D), keys and values (..., S, D) → (..., Q, D)."""
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])
    return scores.softmax(-1) @ values


def _attend_in_band(
    queries: Tensor, key_draws: Tensor, key_places: Tensor, value_draws: Tensor, value_places: Tensor
) -> Tensor:
    """Attention of query m to draws m … m + S − 1 alone, each at its place of them: → (B, heads, M, D).

    `queries` (B, heads, M, D); draws (B, heads, S + M − 1, D); places (heads, S, D). Products are taken with
    draws and with places one after the other, so that no window is ever laid out.
    """
    count, window = queries.shape[-2], key_places.shape[-2]
    scores = _band(queries @ key_draws.transpose(-2, -1), window) + queries @ key_places.transpose(-2, -1)
    shares = (scores / math.sqrt(queries.shape[-1])).softmax(-1)
    return _skewed(shares, window + count - 1) @ value_draws + shares @ value_places


def _band(table: Tensor, width: int) -> Tensor:
    """Return (..., M, width) whose [m, s] is [m, m + s] of `table` (..., M, L)."""
    count, length = table.shape[-2:]
    padded = functional.pad(table.flatten(-2), (0, count))
    return padded.view(*table.shape[:-2], count, length + 1)[..., :width]


def _skewed(band: Tensor, length: int) -> Tensor:
    """Return (..., M, length), zero but for [m, m + s], which is [m, s] of `band` (..., M, S)."""
    count, width = band.shape[-2:]
    padded = functional.pad(band, (0, length + 1 - width)).flatten(-2)
    return padded[..., : count * length].reshape(*band.shape[:-2], count, length)


def _silent(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer whose weights and bias are zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
