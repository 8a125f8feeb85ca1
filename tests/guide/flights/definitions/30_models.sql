-- Trained by tests/data/train.py on the training set of sql/training_set.sql.
CREATE MODEL late FROM 'models/late.skew';
CREATE MODEL late_mlp FROM 'models/late_mlp.skew';
