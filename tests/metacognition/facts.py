"""Facts for tests: of a game of which much is known, and of one of which nothing is."""

from helios_agent.forecasting.comparison import Comparison, Trial
from helios_agent.forecasting.detection import Detector
from helios_agent.forecasting.mixture import Standing
from helios_agent.metacognition.facts import Facts, Networks, Upkeep

HOUR_US = 3_600_000_000
NOW_US = 1_789_732_800_000_000
FACTS = Facts(
    now_us=NOW_US,
    white_count=69,
    pick=5,
    gains=[0.3, -0.1, 0.05, 0.2, -0.25],
    registered_gains=[0.2, -0.25],
    peak_nats=0.45,
    overstated=[0.003] * 20 + [-0.001] * 20,
    disagreement=0.004,
    weights={"uniform": 0.5, "reserve": 0.125, "recency": 0.25, "shrinkage": 0.125},
    standings={"uniform": Standing(0.5, 0.0), "ball": Standing(0.24, 0.75), "bonus": Standing(0.1, -2.0)},
    detector=Detector(2.5, 1.25, 17, 5),
    trial=Trial("net@2", "net@1", 3, Comparison((0.0, 1.0, 0.0, -2.0), 0.875, 9)),
    draws=1408,
    draws_trained_on=1400,
    networks=Networks(
        newest={"training_gain_nats": 0.5, "validation_gain_nats": 0.25},
        before={"validation_gain_nats": 0.375},
        newest_gains=[0.125] * 13,
        challenger_gains=[0.125] * 13,
        champion_gains=[0.5, 0.25],
    ),
    draws_since_search=4,
    draws_since_backtest=2,
    trainings=["failed", "dead", "done", "failed"],
    successes=[True, False, True, True],
    missing_since_us=(NOW_US - 10 * HOUR_US, NOW_US - 58 * HOUR_US),
    feed_read_us=NOW_US - HOUR_US // 2,
    disputes=1,
    upkeep=Upkeep(
        spent_day_s=100.0,
        spent_month_s=2500.0,
        budget_day_s=7200.0,
        budget_month_s=2000.0,
        used_bytes=30,
        allowed_bytes=120,
        firings_us=((NOW_US - HOUR_US, NOW_US), (NOW_US - 9 * HOUR_US, NOW_US - 6 * HOUR_US), (5, 4)),
        unsent=2,
        open_incidents=3,
        backup_us=NOW_US - 36 * HOUR_US,
        verified_us=NOW_US - 300 * HOUR_US,
    ),
)
NOTHING = Facts(
    now_us=NOW_US,
    white_count=69,
    pick=5,
    gains=[],
    registered_gains=[],
    peak_nats=0.0,
    overstated=[],
    disagreement=None,
    weights={"uniform": 0.75, "reserve": 0.25},
    standings={"uniform": Standing(0.5, 0.0)},
    detector=Detector(),
    trial=None,
    draws=0,
    draws_trained_on=None,
    networks=Networks(None, None, [], [], []),
    draws_since_search=0,
    draws_since_backtest=0,
    trainings=[],
    successes=[],
    missing_since_us=(),
    feed_read_us=None,
    disputes=0,
    upkeep=Upkeep(0.0, 0.0, 0.0, 0.0, 0, 1, [], 0, 0, NOW_US, NOW_US),
)
