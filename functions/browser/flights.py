"""Writes www/flights.json: the flights that the page offers, spread over the year, as a client would know them.

Times are UTC; `prediction_time` is an hour before scheduled departure (tests/guide/flights explains both)."""

import json
from pathlib import Path

import duckdb

assert duckdb.__version__ == "2.0.0", duckdb.__version__
here = Path(__file__).parent
flights = here / "../../tests/data/pnw-flights/flights.parquet"
clock = "(dep_time // 100) * 60 + dep_time % 100 - dep_delay"
duckdb.execute("SET TimeZone = 'UTC'")
rows = duckdb.sql(f"""
    WITH spine AS (
        SELECT *, timezone('America/Los_Angeles',
                           make_date(year, month, day)::TIMESTAMP + to_minutes((({clock}) % 1440 + 1440) % 1440)) AS instant
        FROM '{flights}'
        -- Local hours that occur twice or never are left to the tests.
        WHERE dep_time IS NOT NULL AND arr_delay IS NOT NULL AND day NOT IN (6, 12)
    )
    SELECT carrier, flight, tailnum, origin, dest, distance,
           strftime(instant, '%Y-%m-%dT%H:%M:%SZ') AS scheduled,
           strftime(instant - INTERVAL 1 hour, '%Y-%m-%dT%H:%M:%SZ') AS prediction_time,
           arr_delay
    FROM spine
    -- Two of each month: one that was late and one that was not, at random but the same each time.
    QUALIFY row_number() OVER (PARTITION BY month, arr_delay > 15 ORDER BY md5(carrier || flight || day || month)) = 1
    ORDER BY instant, flight
""")
names = rows.columns
lines = [json.dumps(dict(zip(names, row))) for row in rows.fetchall()]
(here / "www/flights.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
print(len(lines), "flights")
