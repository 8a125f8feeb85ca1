-- The raw files, and one view that turns clock times into instants.
CREATE EXTERNAL TABLE flights STORED AS PARQUET LOCATION '../../data/pnw-flights/flights.parquet';
CREATE EXTERNAL TABLE observations STORED AS PARQUET LOCATION '../../data/pnw-flights/weather.parquet';
CREATE EXTERNAL TABLE planes STORED AS PARQUET LOCATION '../../data/pnw-flights/planes.parquet';

-- `year, month, day` is the scheduled local date, so the scheduled clock time is taken modulo one day. A local hour that
-- occurs twice (end of daylight saving) does not cast to an instant; an hour before it does, and an hour after that is
-- the earlier of the two. A cancelled flight has no departure, hence NULL everywhere. The time of arrival at the gate is
-- not recorded in a known time zone: a flight counts as landed after its air time and 20 minutes of taxiing.
CREATE VIEW departures AS
SELECT
    *,
    scheduled - INTERVAL '1 hour' AS prediction_time,
    departed + arrow_cast((air_time + 20) * 60, 'Duration(Second)') AS landed
FROM (
    SELECT *, scheduled + arrow_cast(dep_delay * 60, 'Duration(Second)') AS departed
    FROM (
        SELECT
            year, month, day, flight, carrier, tailnum, origin, dest, distance, air_time, dep_delay, arr_delay,
            arrow_cast(
                coalesce(
                    arrow_try_cast(local, 'Timestamp(Second, Some("America/Los_Angeles"))'),
                    arrow_try_cast(local - INTERVAL '1 hour', 'Timestamp(Second, Some("America/Los_Angeles"))')
                        + INTERVAL '1 hour'
                ),
                'Timestamp(Microsecond, None)'
            ) AS scheduled
        FROM (
            SELECT
                *,
                to_timestamp_seconds(
                    CAST(date_part('epoch', make_date(year, month, day)) AS BIGINT)
                    + 60 * ((((dep_time / 100) * 60 + dep_time % 100 - dep_delay) % 1440 + 1440) % 1440)
                ) AS local
            FROM flights
        )
    )
);
