-- What was known one hour before scheduled departure. Every value is joined by its own time and availability.

CREATE FEATURE VIEW weather
  ENTITY (origin) TIMESTAMP (time_hour) TTL INTERVAL '3 hours'
  AS SELECT origin, time_hour, wind_speed, wind_gust, visib AS visibility, humid AS humidity
     FROM observations;

-- The tail number's last recorded departure, known once it has landed. The files hold departures from SEA and PDX only.
CREATE FEATURE VIEW inbound
  ENTITY (tailnum) TIMESTAMP (departed) AVAILABLE AT (landed) TTL INTERVAL '18 hours' TIE BREAK (flight)
  AS SELECT tailnum, departed, landed, flight,
            dep_delay AS last_dep_delay, arr_delay AS last_arr_delay, distance AS last_distance
     FROM departures;

CREATE FEATURE VIEW airport
  ENTITY (origin) TIMESTAMP (departed) AVAILABLE AT (landed) TIE BREAK (carrier, flight)
  AS SELECT origin, departed, landed, carrier, flight,
            avg(arr_delay) OVER (RANGE INTERVAL '6 hours' PRECEDING) AS avg_arr_delay_6h,
            count(arr_delay) OVER (RANGE INTERVAL '6 hours' PRECEDING) AS landed_6h,
            avg(dep_delay) OVER (RANGE INTERVAL '24 hours' PRECEDING) AS avg_dep_delay_24h
     FROM departures;

CREATE FEATURE VIEW airline
  ENTITY (carrier, origin) TIMESTAMP (departed) AVAILABLE AT (landed) TIE BREAK (flight)
  AS SELECT carrier, origin, departed, landed, flight,
            avg(arr_delay) OVER (RANGE INTERVAL '12 hours' PRECEDING) AS avg_arr_delay_12h,
            stddev(arr_delay) OVER (RANGE INTERVAL '24 hours' PRECEDING) AS stddev_arr_delay_24h,
            max(arr_delay) OVER (RANGE INTERVAL '12 hours' PRECEDING) AS max_arr_delay_12h
     FROM departures;

-- A plane has no event of its own: it counts from the first day of the year it was built.
CREATE FEATURE VIEW plane
  ENTITY (tailnum) TIMESTAMP (built)
  AS SELECT tailnum, arrow_cast(make_date(year, 1, 1), 'Timestamp(Microsecond, None)') AS built, year AS built_year, seats
     FROM planes
     WHERE year IS NOT NULL;

-- Computed at request time, from the request and from the features above.
CREATE FEATURE VIEW flight_plan ON DEMAND (scheduled TIMESTAMP, distance INT, carrier VARCHAR, dest VARCHAR, plane__built_year INT)
  AS SELECT hour_sin(scheduled) AS hour_sin, hour_cos(scheduled) AS hour_cos,
            month_sin(scheduled) AS month_sin, month_cos(scheduled) AS month_cos,
            log1p(CAST(distance AS DOUBLE)) AS log_distance,
            hash_bucket(feature_cross(carrier, dest), 256) AS route_bucket,
            CAST(date_part('year', scheduled) - plane__built_year AS DOUBLE) AS plane_age;
