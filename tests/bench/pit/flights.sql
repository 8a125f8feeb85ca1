-- The flights demo's training set by hand, over the in-memory tables flights, observations and planes. An airport's sums are
-- differences of running sums, less the flights in the air, which have departed and are not known yet. An airline's windows
-- are joined by key and six-hour bucket (five buckets cover 24 hours). The inbound plane's bitemporal rule is a running
-- maximum by the time of landing, which is never before departure.
CREATE OR REPLACE TEMP TABLE departures AS
WITH clock AS (
    SELECT *, make_date(year, month, day)::TIMESTAMP
              + to_minutes(((((dep_time // 100) * 60 + dep_time % 100 - dep_delay) % 1440) + 1440) % 1440) AS local
    FROM flights
), utc AS (
    SELECT *, CASE WHEN local >= TIMESTAMP '2016-11-06 02:00' AND local < TIMESTAMP '2017-03-12 02:00'
                   THEN local + INTERVAL 8 HOUR ELSE local + INTERVAL 7 HOUR END AS scheduled
    FROM clock
)
SELECT row_number() OVER () AS n, flight, carrier, tailnum, origin, distance, dep_delay, arr_delay, scheduled,
       scheduled - INTERVAL 1 HOUR AS t, scheduled + to_minutes(dep_delay) AS departed,
       scheduled + to_minutes(dep_delay) + to_minutes(air_time + 20) AS landed,
       epoch_us(scheduled + to_minutes(dep_delay)) // 21600000000 AS bucket
FROM utc;

CREATE OR REPLACE TEMP TABLE running AS
SELECT origin, departed, sum(arr_delay) OVER w AS arr, count(arr_delay) OVER w AS arrs,
       sum(dep_delay) OVER w AS dep, count(dep_delay) OVER w AS deps
FROM departures WHERE landed IS NOT NULL
WINDOW w AS (PARTITION BY origin ORDER BY departed RANGE UNBOUNDED PRECEDING);

CREATE OR REPLACE TEMP TABLE in_the_air AS
SELECT s.n,
       sum(d.arr_delay) FILTER (d.departed >= s.t - INTERVAL 6 HOUR) AS arr,
       count(d.arr_delay) FILTER (d.departed >= s.t - INTERVAL 6 HOUR) AS arrs,
       sum(d.dep_delay) AS dep, count(d.dep_delay) AS deps
FROM (SELECT n, origin, t, epoch_us(t) // 3600000000 AS hour FROM departures) s
JOIN (SELECT origin, departed, landed, arr_delay, dep_delay,
             unnest(range(epoch_us(departed) // 3600000000, epoch_us(landed) // 3600000000 + 1)) AS hour
      FROM departures WHERE landed IS NOT NULL) d ON d.origin = s.origin AND d.hour = s.hour
WHERE d.departed <= s.t AND d.landed > s.t
GROUP BY s.n;

CREATE OR REPLACE TEMP TABLE airport AS
SELECT s.n,
       coalesce(r.arr, 0) - coalesce(r6.arr, 0) - coalesce(a.arr, 0) AS arr,
       coalesce(r.arrs, 0) - coalesce(r6.arrs, 0) - coalesce(a.arrs, 0) AS landed_6h,
       coalesce(r.dep, 0) - coalesce(r24.dep, 0) - coalesce(a.dep, 0) AS dep,
       coalesce(r.deps, 0) - coalesce(r24.deps, 0) - coalesce(a.deps, 0) AS deps
FROM (SELECT n, origin, t, t - INTERVAL 6 HOUR AS t6, t - INTERVAL 24 HOUR AS t24 FROM departures WHERE t IS NOT NULL) s
ASOF LEFT JOIN running r ON r.origin = s.origin AND s.t >= r.departed
ASOF LEFT JOIN running r6 ON r6.origin = s.origin AND s.t6 > r6.departed
ASOF LEFT JOIN running r24 ON r24.origin = s.origin AND s.t24 > r24.departed
LEFT JOIN in_the_air a ON a.n = s.n;

CREATE OR REPLACE TEMP TABLE airline AS
SELECT s.n,
       avg(d.arr_delay) FILTER (d.departed >= s.t - INTERVAL 12 HOUR) AS avg_arr_delay_12h,
       stddev_samp(d.arr_delay) AS stddev_arr_delay_24h,
       max(d.arr_delay) FILTER (d.departed >= s.t - INTERVAL 12 HOUR) AS max_arr_delay_12h
FROM (SELECT n, origin, carrier, t,
             unnest(range(epoch_us(t) // 21600000000 - 4, epoch_us(t) // 21600000000 + 1)) AS bucket
      FROM departures WHERE t IS NOT NULL) s
JOIN departures d ON d.carrier = s.carrier AND d.origin = s.origin AND d.bucket = s.bucket
WHERE d.landed <= s.t AND d.departed >= s.t - INTERVAL 24 HOUR AND d.departed <= s.t
GROUP BY s.n;

CREATE OR REPLACE TEMP TABLE inbound AS
SELECT tailnum, landed AS known,
       max(struct_pack(departed, landed, flight, dep_delay, arr_delay, distance))
           OVER (PARTITION BY tailnum ORDER BY landed RANGE UNBOUNDED PRECEDING) AS r
FROM departures WHERE tailnum IS NOT NULL AND landed IS NOT NULL;

SELECT count(*) AS rows,
       count(weather__visibility), count(inbound__last_arr_delay), count(airline__max_arr_delay_12h),
       sum(weather__wind_speed), sum(weather__wind_gust), sum(weather__visibility), sum(weather__humidity),
       sum(inbound__last_dep_delay), sum(inbound__last_arr_delay), sum(inbound__last_distance),
       sum(airport__avg_arr_delay_6h), sum(airport__landed_6h), sum(airport__avg_dep_delay_24h),
       sum(airline__avg_arr_delay_12h), sum(airline__stddev_arr_delay_24h), sum(airline__max_arr_delay_12h),
       sum(plane__built_year), sum(plane__seats),
       sum(hour_sin), sum(hour_cos), sum(month_sin), sum(month_cos), sum(log_distance), sum(plane_age)
FROM (
    SELECT s.n,
           CASE WHEN w.time_hour >= s.t - INTERVAL 3 HOUR THEN w.wind_speed END AS weather__wind_speed,
           CASE WHEN w.time_hour >= s.t - INTERVAL 3 HOUR THEN w.wind_gust END AS weather__wind_gust,
           CASE WHEN w.time_hour >= s.t - INTERVAL 3 HOUR THEN w.visib END AS weather__visibility,
           CASE WHEN w.time_hour >= s.t - INTERVAL 3 HOUR THEN w.humid END AS weather__humidity,
           CASE WHEN i.r.departed >= s.t - INTERVAL 18 HOUR THEN i.r.dep_delay END AS inbound__last_dep_delay,
           CASE WHEN i.r.departed >= s.t - INTERVAL 18 HOUR THEN i.r.arr_delay END AS inbound__last_arr_delay,
           CASE WHEN i.r.departed >= s.t - INTERVAL 18 HOUR THEN i.r.distance END AS inbound__last_distance,
           airport.arr / nullif(airport.landed_6h, 0) AS airport__avg_arr_delay_6h,
           airport.landed_6h AS airport__landed_6h,
           airport.dep / nullif(airport.deps, 0) AS airport__avg_dep_delay_24h,
           airline.avg_arr_delay_12h AS airline__avg_arr_delay_12h,
           airline.stddev_arr_delay_24h AS airline__stddev_arr_delay_24h,
           airline.max_arr_delay_12h AS airline__max_arr_delay_12h,
           CASE WHEN s.t >= make_date(p.year, 1, 1) THEN p.year END AS plane__built_year,
           CASE WHEN s.t >= make_date(p.year, 1, 1) THEN p.seats END AS plane__seats,
           sin(2 * pi() * hour(s.scheduled) / 24) AS hour_sin, cos(2 * pi() * hour(s.scheduled) / 24) AS hour_cos,
           sin(2 * pi() * (month(s.scheduled) - 1) / 12) AS month_sin,
           cos(2 * pi() * (month(s.scheduled) - 1) / 12) AS month_cos,
           ln(1 + s.distance) AS log_distance,
           (year(s.scheduled) - plane__built_year)::DOUBLE AS plane_age
    FROM departures s
    ASOF LEFT JOIN observations w ON w.origin = s.origin AND s.t >= w.time_hour
    ASOF LEFT JOIN inbound i ON i.tailnum = s.tailnum AND s.t >= i.known
    LEFT JOIN airport USING (n) LEFT JOIN airline USING (n)
    LEFT JOIN planes p ON p.tailnum = s.tailnum AND p.year IS NOT NULL
);
