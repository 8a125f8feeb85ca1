"""The flights demo's training set, written by hand in DuckDB: an independent answer to `ml_training_set`.

Writes `training_set.json`: for every column the count of values, and every value of one flight in 200.
Run: python tests/golden/flights/make.py [training.parquet]   (the whole set as Parquet, when a path is given)
"""

import json
import pathlib
import sys

import duckdb

assert duckdb.__version__ == "2.0.0", duckdb.__version__

here = pathlib.Path(__file__).parent
data = here.parent.parent / "data" / "pnw-flights"
db = duckdb.connect()
db.sql("SET TimeZone = 'UTC'")
for name in ["flights", "weather", "planes"]:
    db.sql(f"CREATE VIEW {name} AS SELECT * FROM '{data}/{name}.parquet'")

# An ambiguous local time is the earlier instant: daylight saving lasts until 2016-11-06 02:00 local and starts again on
# 2017-03-12 02:00; that is written out here, where the product asks the time zone database.
db.sql("""
CREATE TABLE departures AS
WITH clock AS (
    SELECT *, make_date(year, month, day)::TIMESTAMP
              + to_minutes(((((dep_time // 100) * 60 + dep_time % 100 - dep_delay) % 1440) + 1440) % 1440) AS local
    FROM flights
), utc AS (
    SELECT *, CASE WHEN local >= TIMESTAMP '2016-11-06 02:00' AND local < TIMESTAMP '2017-03-12 02:00'
                   THEN local + INTERVAL 8 HOUR ELSE local + INTERVAL 7 HOUR END AS scheduled
    FROM clock
)
SELECT *, scheduled - INTERVAL 1 HOUR AS t, scheduled + to_minutes(dep_delay) AS departed,
       scheduled + to_minutes(dep_delay) + to_minutes(air_time + 20) AS landed
FROM utc
""")
db.sql("""
CREATE TABLE spine AS
SELECT row_number() OVER (ORDER BY year, month, day, scheduled NULLS LAST, origin, carrier, flight, tailnum, dest) AS n,
       year, month, day, flight, carrier, tailnum, origin, dest, distance, scheduled, t AS prediction_time,
       CASE WHEN arr_delay > 15 THEN 1 WHEN arr_delay <= 15 THEN 0 END AS late
FROM departures
""")
db.sql("""
CREATE TABLE w AS SELECT s.n, arg_max(struct_pack(e := o.time_hour, wind_speed, wind_gust, visib, humid), o.time_hour) AS r
FROM spine s JOIN weather o ON o.origin = s.origin AND o.time_hour <= s.prediction_time
     AND o.time_hour >= s.prediction_time - INTERVAL 3 HOUR
GROUP BY s.n
""")
db.sql("""
CREATE TABLE i AS
SELECT s.n, first(struct_pack(e := d.departed, dep_delay := d.dep_delay, arr_delay := d.arr_delay, distance := d.distance)
                  ORDER BY d.departed DESC, d.landed DESC, d.flight DESC) AS r
FROM spine s JOIN departures d ON d.tailnum = s.tailnum AND d.departed <= s.prediction_time AND d.landed <= s.prediction_time
GROUP BY s.n
""")


def window(name, keys, aggregates):
    """`aggregates`: (expression, hours, column)."""
    widest = max(hours for _, hours, _ in aggregates)
    on = " AND ".join(f"d.{k} = s.{k}" for k in keys)
    columns = ", ".join(
        f"{expression} FILTER (d.departed >= s.prediction_time - INTERVAL {hours} HOUR) AS {column}"
        for expression, hours, column in aggregates
    )
    db.sql(f"""
CREATE TABLE {name} AS
SELECT s.n, {columns} FROM spine s JOIN departures d ON {on} AND d.departed <= s.prediction_time
     AND d.landed <= s.prediction_time AND d.departed >= s.prediction_time - INTERVAL {widest} HOUR
GROUP BY s.n""")


window("airport", ["origin"], [
    ("avg(d.arr_delay)", 6, "avg_arr_delay_6h"),
    ("count(d.arr_delay)", 6, "landed_6h"),
    ("avg(d.dep_delay)", 24, "avg_dep_delay_24h"),
])
window("airline", ["carrier", "origin"], [
    ("avg(d.arr_delay)", 12, "avg_arr_delay_12h"),
    ("stddev_samp(d.arr_delay)", 24, "stddev_arr_delay_24h"),
    ("max(d.arr_delay)", 12, "max_arr_delay_12h"),
])

wave = lambda f, x, period: f"{f}(2 * pi() * ({x}) / {period})"
hour = "hour(s.scheduled)"
db.sql(f"""
CREATE TABLE training AS
SELECT s.* EXCLUDE (n),
       CASE WHEN w.r.e >= s.prediction_time - INTERVAL 3 HOUR THEN w.r.wind_speed END AS weather__wind_speed,
       CASE WHEN w.r.e >= s.prediction_time - INTERVAL 3 HOUR THEN w.r.wind_gust END AS weather__wind_gust,
       CASE WHEN w.r.e >= s.prediction_time - INTERVAL 3 HOUR THEN w.r.visib END AS weather__visibility,
       CASE WHEN w.r.e >= s.prediction_time - INTERVAL 3 HOUR THEN w.r.humid END AS weather__humidity,
       CASE WHEN i.r.e >= s.prediction_time - INTERVAL 18 HOUR THEN i.r.dep_delay END AS inbound__last_dep_delay,
       CASE WHEN i.r.e >= s.prediction_time - INTERVAL 18 HOUR THEN i.r.arr_delay END AS inbound__last_arr_delay,
       CASE WHEN i.r.e >= s.prediction_time - INTERVAL 18 HOUR THEN i.r.distance END AS inbound__last_distance,
       airport.avg_arr_delay_6h AS airport__avg_arr_delay_6h,
       CASE WHEN s.prediction_time IS NOT NULL THEN coalesce(airport.landed_6h, 0) END AS airport__landed_6h,
       airport.avg_dep_delay_24h AS airport__avg_dep_delay_24h,
       airline.avg_arr_delay_12h AS airline__avg_arr_delay_12h,
       airline.stddev_arr_delay_24h AS airline__stddev_arr_delay_24h,
       airline.max_arr_delay_12h AS airline__max_arr_delay_12h,
       CASE WHEN s.prediction_time >= make_date(p.year, 1, 1) THEN p.year END AS plane__built_year,
       CASE WHEN s.prediction_time >= make_date(p.year, 1, 1) THEN p.seats END AS plane__seats,
       {wave('sin', hour, 24)} AS flight_plan__hour_sin, {wave('cos', hour, 24)} AS flight_plan__hour_cos,
       {wave('sin', 'month(s.scheduled) - 1', 12)} AS flight_plan__month_sin,
       {wave('cos', 'month(s.scheduled) - 1', 12)} AS flight_plan__month_cos,
       ln(1 + s.distance) AS flight_plan__log_distance,
       (year(s.scheduled) - plane__built_year)::DOUBLE AS flight_plan__plane_age
FROM spine s LEFT JOIN w USING (n) LEFT JOIN i USING (n) LEFT JOIN airport USING (n) LEFT JOIN airline USING (n)
     LEFT JOIN planes p ON p.tailnum = s.tailnum AND p.year IS NOT NULL
ORDER BY s.n
""")
columns = [c[0] for c in db.sql("DESCRIBE training").fetchall()]
text = lambda v: v.isoformat() if hasattr(v, "isoformat") else v
counts = db.sql("SELECT " + ", ".join(f'count("{c}")' for c in columns) + " FROM training").fetchall()[0]
rows = db.sql("SELECT * FROM training QUALIFY (row_number() OVER ()) % 200 = 1").fetchall()
out = {
    "duckdb": duckdb.__version__,
    "rows": db.sql("SELECT count(*) FROM training").fetchall()[0][0],
    "counts": dict(zip(columns, counts)),
    "every": 200,
    "sample": [dict(zip(columns, map(text, row))) for row in rows],
}
lines = ",\n".join(json.dumps(row) for row in out.pop("sample"))
(here / "training_set.json").write_text(json.dumps(out)[:-1] + ', "sample": [\n' + lines + "\n]}\n")
if len(sys.argv) > 1:
    db.sql(f"COPY training TO '{sys.argv[1]}' (FORMAT parquet)")
