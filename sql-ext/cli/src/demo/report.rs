//! The report: one self-contained page with plots, and the same numbers as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::http::Latency;
use super::metrics::Labelled;
use super::parity::Parity;
use super::sql::{Drift, Move, Scored};
use crate::plot::{Chart, Line, STYLE, escape};

const MODELS: [(&str, &str); 2] = [("late", "gradient-boosted trees"), ("late_mlp", "multi-layer perceptron")];
/// The models were trained on the flights before this month.
const HELD_OUT_FROM: (i64, i64) = (2017, 3);

/// What the report says.
pub(super) struct Report<'a> {
    pub(super) rows: usize,
    pub(super) scored: &'a Scored,
    pub(super) drift: &'a Drift,
    pub(super) moves: &'a [Move],
    pub(super) latency: &'a Latency,
    pub(super) parity: &'a Parity,
}

/// A model's scores of the flights whose label is known, with their months.
struct Model {
    title: &'static str,
    held_out: Labelled,
    /// Per month: mean probability, share that was late.
    months: Vec<(String, f64, f64)>,
}

impl Report<'_> {
    /// Writes `report.html` and `report.json` into a folder; the path of the page.
    pub(super) fn write(&self, folder: &Path) -> Result<PathBuf> {
        let models = MODELS.iter().map(|(name, title)| self.model(name, title)).collect::<Result<Vec<_>>>()?;
        let page = folder.join("report.html");
        std::fs::write(&page, self.html(&models)?).with_context(|| format!("{} cannot be written", page.display()))?;
        let numbers = folder.join("report.json");
        std::fs::write(&numbers, serde_json::to_vec_pretty(&self.json(&models))?)
            .with_context(|| format!("{} cannot be written", numbers.display()))?;
        Ok(page)
    }

    fn model(&self, name: &str, title: &'static str) -> Result<Model> {
        let labels = self.scored.integers("late")?;
        let probabilities = self.scored.floats(&format!("{name}_probability"))?;
        let departed = self.scored.integers("prediction_time")?;
        let (years, months) = (self.scored.integers("year")?, self.scored.integers("month")?);
        let mut held_out = vec![];
        let mut by_month: BTreeMap<(i64, i64), (f64, f64, f64)> = BTreeMap::new();
        for row in 0..labels.len() {
            let (Some(label), Some(p), Some(_)) = (labels[row], probabilities[row], departed[row]) else { continue };
            let (Some(year), Some(month)) = (years[row], months[row]) else { continue };
            if (year, month) >= HELD_OUT_FROM {
                held_out.push((p, label == 1));
            }
            let sums = by_month.entry((year, month)).or_default();
            *sums = (sums.0 + p, sums.1 + label as f64, sums.2 + 1.0);
        }
        let months = by_month
            .into_iter()
            .map(|((year, month), (p, late, n))| (format!("{year}-{month:02}"), p / n, late / n))
            .collect();
        Ok(Model { title, held_out: Labelled::new(held_out), months })
    }

    fn json(&self, models: &[Model]) -> serde_json::Value {
        let models: serde_json::Map<_, _> = MODELS
            .iter()
            .zip(models)
            .map(|((name, _), model)| {
                let numbers = json!({
                    "held_out_flights": model.held_out.len(),
                    "roc_auc": model.held_out.roc_auc(),
                    "brier": model.held_out.brier(),
                    "calibration": model.held_out.calibration(10),
                    "months": model.months,
                });
                ((*name).to_owned(), numbers)
            })
            .collect();
        let drift: serde_json::Map<_, _> =
            self.drift.columns.iter().map(|(name, values)| (name.clone(), json!(values))).collect();
        json!({
            "flights": self.rows,
            "models": models,
            "moved_since_the_month_before": self.moves.iter().map(|moved| json!({
                "month": moved.month, "column": moved.column, "effect_size": moved.effect, "is_drift": moved.is_drift,
            })).collect::<Vec<_>>(),
            "psi_by_month": { "months": self.drift.months, "columns": drift },
            "http_median_ms": { "features": self.latency.features_ms, "predict": self.latency.predict_ms },
            "parity": self.parity.rows,
        })
    }

    fn html(&self, models: &[Model]) -> Result<String> {
        let roc = Chart {
            title: "ROC, flights after the training months",
            x: "false positive rate",
            y: "true positive rate",
            ends: (1.0, 1.0),
            diagonal: true,
            labels: &[],
        }
        .svg(&lines(models, |model| {
            (format!("{} (area {:.3})", model.title, model.held_out.roc_auc()), thin(&model.held_out.roc()))
        }))?;
        let calibrated: Vec<Line> = lines(models, |model| {
            let points = model.held_out.calibration(10).into_iter().map(|(p, late, _)| (p, late)).collect();
            (format!("{} (Brier {:.3})", model.title, model.held_out.brier()), points)
        });
        let end =
            calibrated.iter().flat_map(|line| &line.points).fold(0.1f64, |end, point| end.max(point.0).max(point.1));
        let calibration = Chart {
            title: "Calibration, tenths of the flights by probability",
            x: "mean probability",
            y: "share late",
            ends: (end * 1.05, end * 1.05),
            diagonal: true,
            labels: &[],
        }
        .svg(&calibrated)?;
        let names: Vec<String> =
            models.first().map_or(vec![], |model| model.months.iter().map(|month| month.0.clone()).collect());
        let mut rates = lines(models, |model| {
            (format!("{}: mean probability", model.title), indexed(model.months.iter().map(|month| Some(month.1))))
        });
        if let Some(model) = models.first() {
            rates.push(Line {
                name: "late".to_owned(),
                points: indexed(model.months.iter().map(|month| Some(month.2))),
            });
        }
        let end = rates.iter().flat_map(|line| &line.points).fold(0.1f64, |end, point| end.max(point.1));
        let months = Chart {
            title: "Predicted and real share of late flights",
            x: "month",
            y: "share",
            ends: (names.len().saturating_sub(1) as f64, end * 1.3),
            diagonal: false,
            labels: &short(&names),
        }
        .svg(&rates)?;
        let drifts: Vec<Line> = self
            .drift
            .columns
            .iter()
            .map(|(name, values)| Line { name: name.clone(), points: indexed(values.iter().copied()) })
            .collect();
        let end = drifts.iter().flat_map(|line| &line.points).fold(0.25f64, |end, point| end.max(point.1));
        let drift = Chart {
            title: "Drift: PSI against the training months",
            x: "month",
            y: "population stability index",
            ends: (self.drift.months.len().saturating_sub(1) as f64, end * 1.5),
            diagonal: false,
            labels: &short(&self.drift.months),
        }
        .svg(&drifts)?;
        Ok(format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Skewless: flights</title>\n<style>{STYLE}</style>\n\
             <h1>Late flights, on three surfaces</h1>\n\
             <p>{rows} flights as they looked one hour before scheduled departure, scored in SQL; a sample asked again \
             over HTTP (median {features:.1} ms for the features, {predict:.1} ms for a prediction) and in a web page.</p>\n\
             <h2>Parity</h2>\n{table}\n<h2>Quality</h2>\n<div class=\"plots\">{roc}{calibration}</div>\n\
             <h2>Month by month</h2>\n<div class=\"plots\">{months}{drift}</div>\n\
             <h2>Moved since the month before</h2>\n<p>The effect size of each column's test (Kolmogorov–Smirnov's distance, \
             Cramér's V); bold where it is drift: significant at 5 % after Benjamini and Hochberg, and at least 0.1.</p>\n{moves}\n",
            rows = self.rows,
            features = self.latency.features_ms,
            predict = self.latency.predict_ms,
            table = self.table(),
            moves = self.moves(),
        ))
    }

    /// One row a column, the one that moved most often first; one column a month.
    fn moves(&self) -> String {
        let months: BTreeSet<&str> = self.moves.iter().map(|moved| moved.month.as_str()).collect();
        let mut columns: BTreeMap<&str, BTreeMap<&str, &Move>> = BTreeMap::new();
        for moved in self.moves {
            columns.entry(&moved.column).or_default().insert(&moved.month, moved);
        }
        let mut columns: Vec<_> = columns.into_iter().collect();
        columns.sort_by_key(|(name, moves)| {
            (std::cmp::Reverse(moves.values().filter(|moved| moved.is_drift).count()), *name)
        });
        let mut table = String::from("<table><tr><th>column");
        for month in &months {
            let _ = write!(table, "<th>{}", month.get(2..).unwrap_or(month));
        }
        for (name, moves) in columns {
            let _ = write!(table, "\n<tr><td>{}", escape(name));
            for month in &months {
                let _ = match moves.get(month) {
                    Some(moved) if moved.is_drift => write!(table, "<td class=\"n\"><b>{:.2}</b>", moved.effect),
                    Some(moved) => write!(table, "<td class=\"n\">{:.2}", moved.effect),
                    None => write!(table, "<td>"),
                };
            }
        }
        table + "</table>"
    }

    fn table(&self) -> String {
        let mut rows = String::new();
        for row in &self.parity.rows {
            let class = if row.holds() { "holds" } else { "differs" };
            let (what, pair, values, verdict) = (row.what, &row.pair, row.values, row.verdict());
            let _ = writeln!(rows, "<tr class=\"{class}\"><td>{what}<td>{pair}<td class=\"n\">{values}<td>{verdict}");
        }
        format!("<table><tr><th>what<th>surfaces<th>values<th>largest difference\n{rows}</table>")
    }
}

fn lines(models: &[Model], line: impl Fn(&Model) -> (String, Vec<(f64, f64)>)) -> Vec<Line> {
    let line = |model| {
        let (name, points) = line(model);
        Line { name, points }
    };
    models.iter().map(line).collect()
}

/// Points at x = 0, 1, …, but for the missing ones.
fn indexed(values: impl Iterator<Item = Option<f64>>) -> Vec<(f64, f64)> {
    values.enumerate().filter_map(|(i, value)| value.map(|value| (i as f64, value))).collect()
}

/// At most about 500 points of a curve, its ends among them.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let step = (points.len() / 500).max(1);
    let last = points.len().saturating_sub(1);
    points.iter().enumerate().filter(|(i, _)| i % step == 0 || *i == last).map(|(_, point)| *point).collect()
}

/// `16-06` for `2016-06`.
fn short(months: &[String]) -> Vec<String> {
    months.iter().map(|month| month.get(2..).unwrap_or(month).to_owned()).collect()
}
