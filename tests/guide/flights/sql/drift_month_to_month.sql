-- Which columns moved since the month before: one row for each month and column. An effect of 0.1 is asked for, since
-- with twenty thousand flights a month every difference is significant.
SELECT year, month, feature, metric, effect_size, p_adjusted, is_drift
FROM ml_validate_drift(
    base => (
        -- Under the month that it is compared with.
        SELECT (year * 12 + month) / 12 AS year, (year * 12 + month) % 12 + 1 AS month,
               * EXCEPT (n, year, month, day, flight, tailnum, scheduled, prediction_time, late_label, late_mlp_label)
        FROM scored
    ),
    study => (
        SELECT CAST(year AS BIGINT) AS year, CAST(month AS BIGINT) AS month,
               * EXCEPT (n, year, month, day, flight, tailnum, scheduled, prediction_time, late_label, late_mlp_label)
        FROM scored
    ),
    by => ['year', 'month'],
    min_effect => 0.1
)
WHERE metric IS NOT NULL AND metric <> 'missing' AND is_drift IS NOT NULL
