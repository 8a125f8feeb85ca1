//! What is predicted, and so what is measured: SQL expressions over the label and the prediction.

use super::Args;
use crate::report::session::quoted;

/// What the predictions are.
pub(super) enum Task {
    Probability,
    Class,
    Number,
}

/// The columns that measures read, of the query that [`Task::rows`] is.
const LABEL: &str = "__label";
const PREDICTED: &str = "__predicted";
const DECIDED: &str = "__decided";

impl Task {
    pub(super) fn of(args: &Args) -> Self {
        if args.probability.is_some() {
            Self::Probability
        } else if args.prediction.is_some() {
            Self::Class
        } else {
            Self::Number
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Probability => "probability",
            Self::Class => "class",
            Self::Number => "number",
        }
    }

    /// The measures that have one value, by name, as calls.
    pub(super) fn measures(&self) -> Vec<(&'static str, String)> {
        let of = |name: &'static str, predicted: &str| (name, format!("{name}({LABEL}, {predicted})"));
        match self {
            Self::Probability => vec![
                of("roc_auc", PREDICTED),
                of("average_precision", PREDICTED),
                of("log_loss", PREDICTED),
                of("brier_score", PREDICTED),
                of("expected_calibration_error", PREDICTED),
                of("accuracy", DECIDED),
                of("precision", DECIDED),
                of("recall", DECIDED),
                of("f1_score", DECIDED),
            ],
            // Of classes that are no booleans the mean over the classes.
            Self::Class => ["accuracy", "precision", "recall", "f1_score"]
                .map(|name| match name {
                    "accuracy" => of(name, PREDICTED),
                    _ => (name, format!("{name}({LABEL}, {PREDICTED}, NULL, 'macro')")),
                })
                .into(),
            Self::Number => vec![
                of("mean_absolute_error", PREDICTED),
                of("root_mean_squared_error", PREDICTED),
                of("mean_absolute_percentage_error", PREDICTED),
                of("r_squared", PREDICTED),
            ],
        }
    }

    /// What is drawn, by name, as calls.
    pub(super) fn pictures(&self) -> Vec<(&'static str, String)> {
        let curve = |name: &'static str| (name, format!("{name}({LABEL}, {PREDICTED}, true, 400)"));
        match self {
            Self::Probability => vec![
                curve("roc_curve"),
                curve("precision_recall_curve"),
                ("reliability_table", format!("reliability_table({LABEL}, {PREDICTED}, 10, 'quantile')")),
                ("confusion_matrix", format!("confusion_matrix({LABEL}, {DECIDED})")),
            ],
            Self::Class => vec![("confusion_matrix", format!("confusion_matrix({LABEL}, {PREDICTED})"))],
            Self::Number => vec![
                ("labels", format!("ml_profile({LABEL})")),
                ("predictions", format!("ml_profile({PREDICTED})")),
                ("errors", format!("ml_profile({PREDICTED} - {LABEL})")),
            ],
        }
    }

    /// How groups are compared; the decisions have to be booleans.
    pub(super) fn fairness(&self, group: &str) -> Vec<(&'static str, String)> {
        let (group, decided) = (quoted(group), if matches!(self, Self::Class) { PREDICTED } else { DECIDED });
        vec![
            ("demographic_parity_difference", format!("demographic_parity_difference({decided}, {group})")),
            ("demographic_parity_ratio", format!("demographic_parity_ratio({decided}, {group})")),
            ("equal_opportunity_difference", format!("equal_opportunity_difference({LABEL}, {decided}, {group})")),
            ("equalized_odds_difference", format!("equalized_odds_difference({LABEL}, {decided}, {group})")),
        ]
    }

    /// The loss of a row, and what it is called.
    pub(super) fn loss(&self) -> (&'static str, String) {
        match self {
            Self::Probability => (
                "log loss",
                format!(
                    "CASE WHEN {PREDICTED} BETWEEN 0 AND 1 \
                     THEN -ln(greatest(CASE WHEN {LABEL} THEN {PREDICTED} ELSE 1 - {PREDICTED} END, 2.220446049250313e-16)) END"
                ),
            ),
            Self::Class => ("error rate", format!("CAST({LABEL} <> {PREDICTED} AS DOUBLE)")),
            Self::Number => ("absolute error", format!("abs({LABEL} - {PREDICTED})")),
        }
    }

    /// All rows with their columns, and the label and the prediction as the measures read them.
    pub(super) fn rows(&self, args: &Args, data: &str) -> String {
        let predicted = args.probability.as_ref().or(args.prediction.as_ref()).or(args.value.as_ref());
        let (label, predicted) = (quoted(&args.label), quoted(predicted.map_or("", String::as_str)));
        let columns = match self {
            Self::Probability => format!(
                "CAST({label} AS BOOLEAN) AS {LABEL}, CAST({predicted} AS DOUBLE) AS {PREDICTED}, \
                 CAST({predicted} AS DOUBLE) >= {} AS {DECIDED}",
                args.threshold
            ),
            Self::Class => format!("{label} AS {LABEL}, {predicted} AS {PREDICTED}"),
            Self::Number => format!("CAST({label} AS DOUBLE) AS {LABEL}, CAST({predicted} AS DOUBLE) AS {PREDICTED}"),
        };
        format!("SELECT *, {columns} FROM ({data})")
    }

    /// The columns that hold the label and the prediction.
    pub(super) fn is_read(args: &Args, column: &str) -> bool {
        [Some(&args.label), args.probability.as_ref(), args.prediction.as_ref(), args.value.as_ref()]
            .into_iter()
            .flatten()
            .any(|own| own == column)
    }
}
