-- How far each month has moved from the flights that the models were trained on (population stability index).
SELECT
    year, month,
    psi_value(late_probability, is_base) AS late_probability,
    psi_value(weather__wind_gust, is_base) AS weather__wind_gust,
    psi_value(weather__visibility, is_base) AS weather__visibility,
    psi_value(airport__avg_arr_delay_6h, is_base) AS airport__avg_arr_delay_6h,
    psi_value(CAST(inbound__last_arr_delay AS DOUBLE), is_base) AS inbound__last_arr_delay,
    psi_value(flight_plan__log_distance, is_base) AS flight_plan__log_distance
FROM (
    SELECT *, false AS is_base FROM scored
    UNION ALL BY NAME
    SELECT scored.* EXCEPT (year, month), months.year, months.month, true AS is_base
    FROM scored CROSS JOIN (SELECT DISTINCT year, month FROM scored) AS months
    WHERE scored.prediction_time < TIMESTAMP '2017-03-01T00:00:00'
)
GROUP BY year, month
ORDER BY year, month
