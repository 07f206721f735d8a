"""The ball scorer: a small network shared by all balls, which learns what a ball's own past tells of it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from helios_agent.forecasting import subsets
from helios_agent.forecasting.experts.posterior import Posterior
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Drawn, Matrix

Floats = NDArray[np.float64]

LAGS = 3
"""Of how many draws before it is told whether the ball was among them."""
HALF_LIVES = (3.0, 10.0, 30.0, 100.0)
"""Of the decayed counts, in draws."""
SPREAD = 0.2
"""How far apart the weights of all balls are held to be in the count of all draws: see `Counts`."""
FEATURES = LAGS + len(HALF_LIVES) + 3  # and the gap, the count of all draws, and a one
HIDDEN = 16

LINEAR_SD, OUTER_SD = 0.1, 0.1
"""Prior standard deviations of the coefficients of the linear term, and of those of the hidden units."""
LEARNING_RATE = 0.02
DECAYS = 0.9, 0.999
"""Of Adam's moments of the gradient."""
EPSILON = 1e-3
"""What Adam adds to the root of the second moment: a gradient is of the order of 1, and noise below this."""
SEED = 5

PARTS = ((0.25, 0.0), (0.5, 0.0), (1.0, 0.0), (0.5, 0.5), (1.0, 1.0))
"""How much of the linear term and of the network is true: the hypotheses beside "nothing"."""
FAIR = 0.5
"""Prior belief in nothing."""
LEARNERS = ((1.0, 0.0), (1.0, 1.0))
"""By the same measure, whose error teaches the linear term, and whose the network."""

_EULER = 0.5772  # the logarithm of a ball's gap is on average so much less than that of its mean gap


class BallScorer:
    """Gives each ball a log-weight that is one and the same function of its own past, learned online.

    The past is told by FEATURES numbers, of mean about 0 and variance about 1 on a fair machine: whether the
    ball was in each of the last draws, decayed counts, for how long it has not come, and its shrunken count.
    The function is a linear term, and a network of one hidden layer on top of it. What the linear term is
    right about cannot be spoiled by the network, for each learns from its own error. As all balls share the
    function, each draw tells of it N times.

    The linear term and the network's output layer are Gaussian beliefs that start from zero (see `Belief`);
    the hidden layer starts at random and follows the gradient of the exact likelihood by Adam (D. P. Kingma &
    J. Ba 2015, Adam, ICLR). How much of either is true is weighed by Bayes' rule over `PARTS`, nothing
    included: on fair draws the forecast stays close to uniform. It gives each ball its expected weight.
    """

    def __init__(self, matrix: Matrix, lead: tuple[int, ...] = ()) -> None:
        self._matrix = matrix
        N = matrix.white
        self._chance = matrix.pick / N
        self._lags = np.full((*lead, N, LAGS), self._chance)  # what is not known is as on average
        self._decayed = np.zeros((*lead, N, len(HALF_LIVES)))
        self._kept = 0.5 ** (1.0 / np.array(HALF_LIVES))
        self._expected, self._variance = np.zeros((2, len(HALF_LIVES)))
        self._gaps = np.full((*lead, N), 1.0 / self._chance)
        self._counts = np.zeros((*lead, N))
        self._draws = 0

        start = np.random.default_rng(SEED).standard_normal((FEATURES, HIDDEN)) / math.sqrt(FEATURES)
        self._inner = np.broadcast_to(start, (*lead, FEATURES, HIDDEN)).copy()
        self._moments = np.zeros((2, *lead, FEATURES, HIDDEN))
        self._linear = Belief(FEATURES, LINEAR_SD, lead)
        self._outer = Belief(HIDDEN, OUTER_SD, lead)
        self._parts = Posterior(np.ones(len(PARTS)), lead, FAIR)
        self._look()

    def forecast(self) -> Forecast:
        weights = (self._parts.shares[..., np.newaxis, :] @ np.exp(self._log_weights))[..., 0, :]
        bonus = np.zeros((*self._parts.fair.shape, self._matrix.bonus))
        return Forecast(np.log(weights + self._parts.fair[..., np.newaxis]), bonus, self._matrix.pick)

    def update(self, drawn: Drawn) -> None:
        balls = drawn.balls(self._matrix.white)
        self._parts.update(np.exp((self._log_weights * balls[..., np.newaxis, :]).sum(axis=-1)))
        self._learn(balls)
        self._remember(balls)
        self._look()

    def _learn(self, balls: NDArray[np.bool_]) -> None:
        """Learn from the draw what the features told of it."""
        inclusion = subsets.inclusion_probabilities(self._scores, self._matrix.pick)
        error = balls[..., np.newaxis, :] - inclusion
        gradient = inner_gradient(self._features, self._hidden, self._outer.mean, error[..., 1, :])
        self._linear.update(self._features, error[..., 0, :], inclusion[..., 0, :])
        self._outer.update(self._hidden, error[..., 1, :], inclusion[..., 1, :])
        first, second = self._moments
        first += (1.0 - DECAYS[0]) * (gradient - first)
        second += (1.0 - DECAYS[1]) * (gradient * gradient - second)
        steps = self._draws + 1
        slope = first / (1.0 - DECAYS[0] ** steps)
        self._inner += LEARNING_RATE * slope / (np.sqrt(second / (1.0 - DECAYS[1] ** steps)) + EPSILON)

    def _remember(self, balls: NDArray[np.bool_]) -> None:
        """Take the draw into each ball's past."""
        self._lags[..., 1:] = self._lags[..., :-1].copy()
        self._lags[..., 0] = balls
        self._decayed *= self._kept
        self._decayed += balls[..., np.newaxis]
        self._expected = self._kept * self._expected + 1.0
        self._variance = self._kept**2 * self._variance + 1.0
        self._gaps = np.where(balls, 1.0, self._gaps + 1.0)
        self._counts += balls
        self._draws += 1

    def _look(self) -> None:
        """Work out the features of each ball, its scores, and its log-weight under each hypothesis."""
        p, fair = self._chance, math.log(math.comb(self._matrix.white, self._matrix.pick))
        prior = 1.0 / SPREAD**2
        features = np.ones((*self._gaps.shape, FEATURES))
        features[..., :LAGS] = (self._lags - p) / math.sqrt(p * (1.0 - p) or 1.0)
        features[..., LAGS:-3] = (self._decayed - p * self._expected) / np.sqrt(
            p * (1.0 - p) * self._variance + p
        )
        features[..., -3] = np.log(p * self._gaps) + _EULER
        features[..., -2] = np.log((self._counts + prior) / (p * self._draws + prior)) / SPREAD
        linear = (features @ self._linear.mean[..., np.newaxis])[..., 0]
        hidden = np.tanh(features @ self._inner)
        network = (hidden @ self._outer.mean[..., np.newaxis])[..., 0]
        self._features, self._hidden = features, hidden
        terms = np.stack([linear, network], axis=-2)
        self._scores = np.array(LEARNERS) @ terms
        log_weights = np.array(PARTS) @ terms
        scale = (subsets.log_normaliser(log_weights, self._matrix.pick) - fair) / self._matrix.pick
        self._log_weights = log_weights - scale[..., np.newaxis]


class Belief:
    """A Gaussian belief about the coefficients of log-weights that are linear in something.

    mean: (..., D) float64, at first zero. Each draw adds its information to the precision, and moves the
    mean by one Newton step: Laplace's approximation to Bayes' rule, draw by draw (D. J. Spiegelhalter & S. L.
    Lauritzen 1990, Sequential updating of conditional probabilities on directed graphical structures,
    Networks 20, 579-605).
    """

    def __init__(self, size: int, prior_sd: float, lead: tuple[int, ...]) -> None:
        self.mean: Floats = np.zeros((*lead, size))
        self._precision = np.broadcast_to(np.eye(size) / prior_sd**2, (*lead, size, size)).copy()

    def update(self, inputs: Floats, error: Floats, inclusion: Floats) -> None:
        """Take in a draw.

        inputs: (..., N, D); error: (..., N), 1 for a ball that was drawn and 0 for one that was not, less its
        `inclusion` probability. With these the gradient of the log-likelihood is exact. Its information takes
        the covariance of the balls to be -q_i q_j / Σq, q = inclusion (1 - inclusion), off the diagonal
        (J. Hájek 1964, Asymptotic theory of rejective sampling, Ann. Math. Statist. 35, 1491-1523).
        """
        transposed = np.swapaxes(inputs, -1, -2)
        spread = np.maximum(inclusion * (1.0 - inclusion), 0.0)  # a rounded certainty may be above 1
        total = (transposed @ spread[..., np.newaxis])[..., 0]
        whole = np.maximum(spread.sum(axis=-1), np.finfo(np.float64).tiny)[..., np.newaxis, np.newaxis]
        self._precision += (transposed * spread[..., np.newaxis, :]) @ inputs
        self._precision -= total[..., :, np.newaxis] * total[..., np.newaxis, :] / whole
        gradient = transposed @ error[..., np.newaxis]
        self.mean = self.mean + np.linalg.solve(self._precision, gradient)[..., 0]


def inner_gradient(features: Floats, hidden: Floats, outer: Floats, error: Floats) -> Floats:
    """Return the gradient of a draw's log-likelihood with respect to the hidden layer, shape (..., F, H).

    features: (..., N, F); hidden: (..., N, H), tanh(features · weights); outer: (..., H), how much of each
    hidden unit a ball's log-weight has; error: (..., N), see `Belief.update`.
    """
    back = error[..., np.newaxis] * outer[..., np.newaxis, :] * (1.0 - hidden * hidden)
    return np.asarray(np.swapaxes(features, -1, -2) @ back)
