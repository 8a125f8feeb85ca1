"""Runs one case in one peer: `python peers.py SYSTEM CASE FOLDER RUNS THREADS`.

Prints one JSON line when the input is loaded, `{"loaded": true}`, and one a run, `{"ms": …, "answer": […]}`.
"""

import datetime
import json
import os
import pathlib
import sys
import tempfile
import time

from cases import CASES, statements


def duckdb(case, files, threads):
    import duckdb

    db = duckdb.connect()
    db.sql(f"SET threads = {threads}; SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    for table, file in files.items():
        db.sql(f"CREATE {'VIEW' if case.parquet else 'TABLE'} {table} AS SELECT * FROM '{file}'")
    *script, query = statements(case.duckdb)

    def run():
        for statement in script:
            db.execute(statement)
        return list(db.execute(query).fetchone())

    return run


def polars(engine):
    def prepare(case, files, threads):
        import polars as pl

        assert pl.thread_pool_size() == threads
        tables = {name: pl.scan_parquet(file) for name, file in files.items()}
        if not case.parquet:
            tables = {name: table.collect().rechunk().lazy() for name, table in tables.items()}
        form = POLARS.get(case.name.split("_")[0]) or POLARS.get(case.name) or plain
        collect = lambda lazy: lazy.collect(engine="in-memory" if engine == "memory" else "streaming")
        return lambda: list(form(pl, case, tables, collect).row(0))

    return prepare


def plain(pl, case, tables, collect):
    left, right = tables["l"], tables["r"]
    if not case.sorted:
        left, right = left.sort("t"), right.sort("t")
    by = "k" if "k" in left.collect_schema() else None
    joined = left.join_asof(right, on="t", by=by, check_sortedness=False)
    return collect(joined.select(pl.len(), pl.col("v").count().alias("matches"), pl.col("v").sum()))


def twenty(pl, case, tables, collect):
    left, right = collect(tables["l"].sort("t")).lazy(), collect(tables["r"].sort("t")).lazy()
    columns = []
    # Every join keeps the order of the left rows, so the joins are independent of each other.
    for i in range(20):
        at = left.with_columns(pl.col("t") + pl.duration(hours=i))
        joined = at.join_asof(right, on="t", by="k", check_sortedness=False)
        columns.append(joined.select(pl.col("v").alias(f"v{i}")))
    joined = pl.concat([left] + columns, how="horizontal")
    return collect(joined.select(pl.len(), *[pl.col(f"v{i}").sum() for i in range(20)]))


def ten_views(pl, case, tables, collect):
    spine, events = tables["spine"].sort("t"), collect(tables["events"].sort("t")).lazy()
    joined = spine
    for i in range(10):
        joined = joined.join_asof(events.select("id", "t", f"f{i}"), on="t", by="id", check_sortedness=False)
    return collect(joined.select(pl.len(), *[pl.col(f"f{i}").sum() for i in range(10)]))


def ttl(pl, case, tables, collect):
    joined = tables["spine"].sort("t").join_asof(
        tables["events"].sort("t"), on="t", by="id", tolerance="15m", check_sortedness=False
    )
    found = pl.col("f0").count().alias("found")
    return collect(joined.select(pl.len(), found, *[pl.col(f"f{i}").sum() for i in range(5)]))


def flights(pl, case, tables, collect):
    """As `flights.sql` does it."""
    hours = lambda n: pl.duration(hours=n)
    minute = (pl.col("dep_time") // 100) * 60 + pl.col("dep_time") % 100 - pl.col("dep_delay")
    local = pl.date("year", "month", "day").cast(pl.Datetime("us")) + pl.duration(minutes=(minute % 1440 + 1440) % 1440)
    winter = local.is_between(datetime.datetime(2016, 11, 6, 2), datetime.datetime(2017, 3, 12, 2), closed="left")
    scheduled, departed, landed = pl.col("scheduled"), pl.col("departed"), pl.col("landed")
    bucket = lambda time, hours: time.dt.epoch("us") // (hours * 3_600_000_000)
    departures = collect(
        tables["flights"]
        .select(
            "flight", "carrier", "tailnum", "origin", "distance", "dep_delay", "arr_delay", "air_time",
            scheduled=local + pl.when(winter).then(hours(8)).otherwise(hours(7)),
        )
        .with_columns(t=scheduled - hours(1), departed=scheduled + pl.duration(minutes="dep_delay"))
        .with_columns(landed=departed + pl.duration(minutes=pl.col("air_time") + 20))
        .sort("t")
        .with_row_index("n")
    )
    spine = departures.lazy().filter(pl.col("t").is_not_null())
    known = departures.lazy().filter(landed.is_not_null())

    arr, dep = pl.col("arr_delay").cast(pl.Int64), pl.col("dep_delay").cast(pl.Int64)
    running = collect(
        known.sort("departed").select(
            "origin", "departed",
            arr=arr.fill_null(0).cum_sum().over("origin"), arrs=arr.is_not_null().cast(pl.Int64).cum_sum().over("origin"),
            dep=dep.fill_null(0).cum_sum().over("origin"), deps=dep.is_not_null().cast(pl.Int64).cum_sum().over("origin"),
        )
    ).lazy()
    six = departed >= pl.col("t") - hours(6)
    in_the_air = (
        spine.select("n", "origin", "t", hour=bucket(pl.col("t"), 1))
        .join(
            known.select(
                "origin", "departed", "landed", arr=arr, dep=dep, hour=pl.int_ranges(bucket(departed, 1), bucket(landed, 1) + 1)
            ).explode("hour"),
            on=["origin", "hour"],
        )
        .filter(departed <= pl.col("t"), landed > pl.col("t"))
        .with_columns(arr=pl.when(six).then("arr"))
        .group_by("n")
        .agg(
            air_arr=pl.col("arr").sum(), air_arrs=pl.col("arr").count(),
            air_dep=pl.col("dep").sum(), air_deps=pl.col("dep").count(),
        )
    )
    options = {"right_on": "departed", "by": "origin", "check_sortedness": False, "coalesce": True}
    part = lambda name: (pl.col(name) - pl.col(f"{name}_w").fill_null(0) - pl.col(f"air_{name}").fill_null(0))
    window = lambda *columns: running.select("origin", "departed", *[pl.col(c).alias(f"{c}_w") for c in columns])
    airport = (
        spine.select("n", "origin", "t", t6=pl.col("t") - hours(6), t24=pl.col("t") - hours(24))
        .join_asof(running, left_on="t", **options)
        .drop("departed")
        .join_asof(window("arr", "arrs"), left_on="t6", allow_exact_matches=False, **options)
        .drop("departed")
        .join_asof(window("dep", "deps"), left_on="t24", allow_exact_matches=False, **options)
        .join(in_the_air, on="n", how="left")
        .with_columns(pl.col("arr", "arrs", "dep", "deps").fill_null(0))
        .select("n", arr=part("arr"), landed_6h=part("arrs"), dep=part("dep"), deps=part("deps"))
        .select(
            "n", "landed_6h",
            avg_arr_delay_6h=pl.when(pl.col("landed_6h") > 0).then(pl.col("arr") / pl.col("landed_6h")),
            avg_dep_delay_24h=pl.when(pl.col("deps") > 0).then(pl.col("dep") / pl.col("deps")),
        )
    )
    at = bucket(pl.col("t"), 6)
    airline = (
        spine.select("n", "origin", "carrier", "t", bucket=pl.int_ranges(at - 4, at + 1))
        .explode("bucket")
        .join(
            known.select("origin", "carrier", "departed", "landed", "arr_delay", bucket=bucket(departed, 6)),
            on=["carrier", "origin", "bucket"],
        )
        .filter(landed <= pl.col("t"), departed <= pl.col("t"), departed >= pl.col("t") - hours(24))
        .with_columns(recent=pl.when(departed >= pl.col("t") - hours(12)).then("arr_delay"))
        .group_by("n")
        .agg(
            avg_arr_delay_12h=pl.col("recent").mean(), stddev_arr_delay_24h=pl.col("arr_delay").std(),
            max_arr_delay_12h=pl.col("recent").max(),
        )
    )
    rows = collect(known.filter(pl.col("tailnum").is_not_null()).sort("departed", "landed", "flight").with_row_index("rank"))
    best = rows.sort("landed").select("tailnum", "landed", winner=pl.col("rank").cum_max().over("tailnum"))
    won = rows.select("departed", last_dep_delay="dep_delay", last_arr_delay="arr_delay", last_distance="distance")
    inbound = best.select("tailnum", "landed").hstack(won[best["winner"]]).lazy()

    fresh = departed >= pl.col("t") - hours(18)
    joined = (
        departures.lazy()
        .select("n", "origin", "carrier", "tailnum", "t", "scheduled", "distance")
        .join_asof(
            tables["observations"].select("origin", "time_hour", "wind_speed", "wind_gust", "visib", "humid").sort("time_hour"),
            left_on="t", right_on="time_hour", by="origin", tolerance="3h", check_sortedness=False,
        )
        .join_asof(inbound, left_on="t", right_on="landed", by="tailnum", check_sortedness=False)
        .with_columns(pl.when(fresh).then(name).alias(name) for name in ["last_dep_delay", "last_arr_delay", "last_distance"])
        .join(airport, on="n", how="left")
        .join(airline, on="n", how="left")
        .join(tables["planes"].filter(pl.col("year").is_not_null()).select("tailnum", "year", "seats"), on="tailnum", how="left")
        .with_columns(pl.when(pl.col("t") >= pl.date("year", 1, 1)).then(name).alias(name) for name in ["year", "seats"])
    )
    tau = 2 * 3.141592653589793
    day, year = scheduled.dt.hour() * tau / 24, (scheduled.dt.month() - 1) * tau / 12
    return collect(
        joined.select(
            pl.len().alias("rows"),
            pl.col("visib", "last_arr_delay", "max_arr_delay_12h").count().name.prefix("count_"),
            pl.col(
                "wind_speed", "wind_gust", "visib", "humid", "last_dep_delay", "last_arr_delay", "last_distance",
                "avg_arr_delay_6h", "landed_6h", "avg_dep_delay_24h",
                "avg_arr_delay_12h", "stddev_arr_delay_24h", "max_arr_delay_12h", "year", "seats",
            ).sum(),
            hour_sin=day.sin().sum(), hour_cos=day.cos().sum(), month_sin=year.sin().sum(), month_cos=year.cos().sum(),
            log_distance=pl.col("distance").log1p().sum(),
            plane_age=(scheduled.dt.year() - pl.col("year")).cast(pl.Float64).sum(),
        )
    )


POLARS = {"twenty": twenty, "ten": ten_views, "ttl": ttl, "flights": flights}


def feast(offline):
    def prepare(case, files, threads):
        import dask
        import duckdb
        import feast.types
        import pandas
        import pyarrow.compute as pc
        from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType

        dask.config.set(num_workers=threads)
        duckdb.sql(f"SET threads = {threads}")
        # Goes away with the closure that holds it.
        folder = tempfile.TemporaryDirectory(prefix="feast-")
        store = FeatureStore(config=RepoConfig(
            project="bench", registry=f"{folder.name}/registry.db", provider="local", offline_store={"type": offline},
            online_store=None, entity_key_serialization_version=3,
        ))
        entity = Entity(name="id", join_keys=["id"], value_type=ValueType.INT64)
        source = FileSource(name="events", path=str(files["events"]), timestamp_field="t")
        ttl = case.name.startswith("ttl")
        views = {"v": [f"f{i}" for i in range(5)]} if ttl else {f"v{i}": [f"f{i}"] for i in range(10)}
        store.apply([entity] + [
            FeatureView(
                name=view, entities=[entity], source=source, online=False,
                schema=[Field(name=name, dtype=feast.types.Float64) for name in features],
                ttl=datetime.timedelta(minutes=15) if ttl else datetime.timedelta(0),
            )
            for view, features in views.items()
        ])
        references = [f"{view}:{name}" for view, features in views.items() for name in features]

        def run(folder=folder):
            spine = pandas.read_parquet(files["spine"]).rename(columns={"t": "event_timestamp"})
            job = store.get_historical_features(spine, features=references, full_feature_names=True)
            table = job.to_arrow()
            columns = [table[reference.replace(":", "__")] for reference in references]
            found = [len(table) - columns[0].null_count] if ttl else []
            return [len(table)] + found + [pc.sum(column).as_py() for column in columns]

        return run

    return prepare


SYSTEMS = {
    "duckdb": duckdb,
    "polars-memory": polars("memory"),
    "polars-streaming": polars("streaming"),
    "feast-duckdb": feast("duckdb"),
    "feast-dask": feast("dask"),
}


def main():
    system, name, folder, runs, threads = sys.argv[1:]
    os.environ["POLARS_MAX_THREADS"] = threads
    case = next(case for case in CASES if case.name == name)
    files = {table: pathlib.Path(folder, f"{file}.parquet") if "/" not in file else file for table, file in case.tables.items()}
    run = SYSTEMS[system](case, files, int(threads))
    say = lambda **line: print(json.dumps(line), flush=True)
    say(loaded=True)
    for _ in range(int(runs)):
        started = time.perf_counter()
        answer = run()
        say(ms=(time.perf_counter() - started) * 1e3, answer=answer)


if __name__ == "__main__":
    main()
