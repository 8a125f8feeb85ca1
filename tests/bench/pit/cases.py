"""The cases: which tables each reads, and how it is asked of each system.

Tables are loaded under their short names. A query answers one row of numbers, and the answers of all systems must agree. The
Polars and Feast forms stand in `peers.py`, under the case's name.
"""

from dataclasses import dataclass, field
from pathlib import Path

FLIGHTS = Path(__file__).resolve().parents[2] / "guide/flights"


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    tables: dict[str, str]
    """Name in the query: name in data.py, or a path."""
    ours: str
    duckdb: str = ""
    """One query, or a script whose last statement is the query; all of it is timed."""
    definitions: list[str] = field(default_factory=list)
    """Our statements between loading and the query: views, which cost nothing until they are read."""
    peers: tuple[str, ...] = ("duckdb", "polars-memory", "polars-streaming")
    note: str = ""
    why: str = ""
    """Why a peer is ahead, if one is."""
    parquet: bool = False
    """Every system reads Parquet files (in the page cache) while it is timed, instead of tables that it has in memory."""
    sorted: bool = False
    """The input is in time order, so nobody has to sort."""
    row_counts: bool = True
    """Whether the first number, the count of rows, must agree too."""


def plain(name, title, keys, **more):
    on = (" ON l.k = r.k", " ON l.k = r.k AND ") if keys else ("", " ON ")
    what = "SELECT count(*) AS n, count(r.v) AS matches, sum(r.v) AS total"
    tables = {"l": f"{name}_left", "r": f"{name}_right"}
    ours = f"{what} FROM l ASOF JOIN r MATCH_CONDITION (l.t >= r.t){on[0]}"
    return Case(name, title, tables, ours, f"{what} FROM l ASOF LEFT JOIN r{on[1]}l.t >= r.t", **more)


SORTS = "Polars needs both sides in time order: its sorting is timed."
SORTED = "Both sides are stored in time order, as Polars requires; its sorting is not timed, and the others are not told."

HOURS = range(20)
twenty_ours = Case(
    "twenty",
    "20 as-of joins in one query: 100k × 500k rows, 1,000 ids",
    {"l": "twenty_left", "r": "twenty_right"},
    "SELECT count(*) AS n, "
    + ", ".join(f"sum(r{i}.v) AS s{i}" for i in HOURS)
    + " FROM (SELECT k, "
    + ", ".join(f"t + INTERVAL '{i} hours' AS t{i}" for i in HOURS)
    + " FROM l) AS l "
    + " ".join(f"ASOF JOIN r AS r{i} MATCH_CONDITION (l.t{i} >= r{i}.t) ON l.k = r{i}.k" for i in HOURS),
    "SELECT count(*), "
    + ", ".join(f"sum(r{i}.v)" for i in HOURS)
    + " FROM l "
    + " ".join(f"ASOF LEFT JOIN r AS r{i} ON l.k = r{i}.k AND l.t + INTERVAL {i} HOUR >= r{i}.t" for i in HOURS),
    note="Each join looks at another time of the left row. " + SORTS,
    why="A seventh of our time is DataFusion adding the 20 intervals, and two fifths are indexing the same right side 20 times, once for each "
    "of its names.",
)

VIEWS = range(10)


def ten_views(name, title, **more):
    return Case(
        name,
        title,
        {"events": "daily_events", "spine": "daily_spine"},
        "SELECT count(*) AS n, "
        + ", ".join(f"sum(v{i}__f{i}) AS s{i}" for i in VIEWS)
        + " FROM ml_training_set(spine => (SELECT id, t FROM spine), timestamp => 't', features => ["
        + ", ".join(f"'v{i}'" for i in VIEWS)
        + "])",
        "SELECT count(*), "
        + ", ".join(f"sum(e{i}.f{i})" for i in VIEWS)
        + " FROM spine AS s "
        + " ".join(f"ASOF LEFT JOIN events AS e{i} ON s.id = e{i}.id AND s.t >= e{i}.t" for i in VIEWS),
        definitions=[
            f"CREATE FEATURE VIEW v{i} ENTITY (id) TIMESTAMP (t) AS SELECT id, t, f{i} FROM events" for i in VIEWS
        ],
        **more,
    )


def sensors(name, title, **more):
    features = range(5)
    return Case(
        name,
        title,
        {"events": "sensors_events", "spine": "sensors_spine"},
        "SELECT count(*) AS n, count(v__f0) AS found, "
        + ", ".join(f"sum(v__f{i}) AS s{i}" for i in features)
        + " FROM ml_training_set(spine => (SELECT id, t FROM spine), timestamp => 't', features => ['v'])",
        "SELECT count(*), count(f0), "
        + ", ".join(f"sum(f{i})" for i in features)
        + " FROM (SELECT "
        + ", ".join(f"CASE WHEN s.t - e.t <= INTERVAL 15 MINUTE THEN e.f{i} END AS f{i}" for i in features)
        + " FROM spine AS s ASOF LEFT JOIN events AS e ON s.id = e.id AND s.t >= e.t)",
        definitions=[
            "CREATE FEATURE VIEW v ENTITY (id) TIMESTAMP (t) TTL INTERVAL '15 minutes' AS SELECT * FROM events"
        ],
        **more,
    )


def flights():
    views = ["weather", "inbound", "airport", "airline", "plane"]
    plan = ["hour_sin", "hour_cos", "month_sin", "month_cos", "log_distance", "plane_age"]
    features = ", ".join(f"'{view}'" for view in views + [f"flight_plan:{feature}" for feature in plan])
    counted = ["weather__visibility", "inbound__last_arr_delay", "airline__max_arr_delay_12h"]
    summed = """weather__wind_speed weather__wind_gust weather__visibility weather__humidity
        inbound__last_dep_delay inbound__last_arr_delay inbound__last_distance
        airport__avg_arr_delay_6h airport__landed_6h airport__avg_dep_delay_24h
        airline__avg_arr_delay_12h airline__stddev_arr_delay_24h airline__max_arr_delay_12h
        plane__built_year plane__seats""".split() + [f"flight_plan__{feature}" for feature in plan]
    definitions = []
    for script in ["10_sources.sql", "20_features.sql"]:
        text = (FLIGHTS / "definitions" / script).read_text()
        # The sources are tables in memory here.
        definitions += [s for s in statements(text) if not s.startswith("CREATE EXTERNAL TABLE")]
    data = FLIGHTS.parents[1] / "data/pnw-flights"
    return Case(
        "flights",
        "the flights demo's training set: 194k flights, 5 views, 6 window aggregates",
        {
            "flights": str(data / "flights.parquet"),
            "observations": str(data / "weather.parquet"),
            "planes": str(data / "planes.parquet"),
        },
        "SELECT count(*) AS n, "
        + ", ".join(f"count({c}) AS c{i}" for i, c in enumerate(counted))
        + ", "
        + ", ".join(f"sum({c}) AS s{i}" for i, c in enumerate(summed))
        + " FROM ml_training_set(spine => (SELECT flight, carrier, tailnum, origin, dest, distance, scheduled, prediction_time"
        + f" FROM departures), timestamp => 'prediction_time', features => [{features}])",
        (Path(__file__).parent / "flights.sql").read_text(),
        definitions,
        note="From the raw files' rows: local times become instants, then bitemporal joins and windows, then sums of all features.",
    )


def statements(text):
    """The statements of a script without comments; no string in ours holds a semicolon at a line's end."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in (lines + "\n").split(";\n") if statement.strip()]


def scale(million):
    peers = ("duckdb", "polars-memory", "polars-streaming") if million <= 10 else ("duckdb",)
    return plain(f"scale_{million}m", f"{million}M × {million}M rows, 10k keys, unsorted, from Parquet", True,
                 peers=peers, parquet=True, note=SORTS)


FEAST = ("feast-duckdb", "feast-dask")
CASES = [
    plain("few_keys", "5M × 5M rows, 50 keys, sorted by time", True, sorted=True, note=SORTED),
    plain("many_keys", "1M × 1M rows, 10k keys, unsorted", True, note=SORTS),
    plain("small_left", "100k × 1M rows, 100k keys, unsorted", True, note=SORTS),
    plain("no_key", "1M × 10M rows, no key, unsorted", False, note=SORTS),
    plain("no_key_small", "1M × 10k rows, no key, sorted by time", False, sorted=True, note=SORTED,
          why="Told that both sides are sorted, Polars merges two columns in one pass. We are not told: each left row is searched for "
          "on from the one before, in batches handed out to threads, and some milliseconds go to parsing and planning."),
    twenty_ours,
    ten_views("ten_views", "10 views × 20k spine, 1.4M rows (100k ids × 14 days)", note=SORTS,
              why="Each of the ten views indexes the same 1.4M rows by id and time again."),
    ten_views("ten_views_feast", "10 views × 20k spine, 1.4M rows, from Parquet", peers=FEAST, parquet=True, row_counts=False,
              note="Feast's Dask store loses the spine rows that have no feature yet."),
    sensors("ttl", "50 entities × 2,000 rows, 10k spine, ttl", note=SORTS,
            why="Most of our time is indexing the view's rows with their availability and ties; Polars sorts by one column."),
    sensors("ttl_feast", "50 entities × 2,000 rows, 10k spine, ttl, from Parquet", peers=FEAST, parquet=True, row_counts=False,
            note="Feast's Dask store loses the spine rows whose features have all expired."),
    flights(),
] + [scale(million) for million in [1, 2, 5, 10, 20, 50]]
