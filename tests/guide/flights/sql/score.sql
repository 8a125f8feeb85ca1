-- Both models over the whole training set, inputs by name; every column passes through.
SELECT * EXCEPT (prediction, probabilities), prediction AS late_mlp_label, probabilities[2] AS late_mlp_probability
FROM ml_predict('late_mlp', (
    SELECT * EXCEPT (prediction, probabilities), prediction AS late_label, probabilities[2] AS late_probability
    FROM ml_predict('late', (SELECT * FROM training_set))
))
ORDER BY n
