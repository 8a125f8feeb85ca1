-- Every flight, as it looked one hour before scheduled departure. A cancelled flight has no time and stays, with status
-- null_time; the label is NULL where the arrival is not recorded.
SELECT *
FROM ml_training_set(
    spine => (
        SELECT row_number() OVER (ORDER BY year, month, day, scheduled, origin, carrier, flight, tailnum, dest) AS n,
               year, month, day, flight, carrier, tailnum, origin, dest, distance, scheduled, prediction_time,
               CASE WHEN arr_delay > 15 THEN 1 WHEN arr_delay <= 15 THEN 0 END AS late
        FROM departures
        ORDER BY n
    ),
    timestamp => 'prediction_time',
    features => ['weather', 'inbound', 'airport', 'airline', 'plane', 'flight_plan'],
    status => true
)
