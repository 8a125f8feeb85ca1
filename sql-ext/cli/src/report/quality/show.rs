//! The findings as a summary in the terminal and as a page.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Map, Value as Json};

use super::Args;
use super::measure::{Findings, Group, Measure, number, numbers, text};
use crate::plot::{Bars, Chart, Line, escape};
use crate::report::page::{Table, page, shown};

/// "0.71 (0.69 to 0.73)".
fn with_interval(measure: &Measure) -> String {
    let value = shown(measure.value);
    match (measure.low, measure.high) {
        (Some(low), Some(high)) => format!("{value} ({} to {})", shown(Some(low)), shown(Some(high))),
        _ => value,
    }
}

fn field(slice: &Map<String, Json>, name: &str) -> String {
    shown(number(slice.get(name)))
}

fn condition(slice: &Map<String, Json>) -> String {
    text(slice.get("slice")).unwrap_or_default()
}

fn rows(slice: &Map<String, Json>) -> String {
    slice.get("n").map(Json::to_string).unwrap_or_default()
}

/// Numbers as a line of blocks, from zero to the greatest.
fn blocks(values: &[f64]) -> String {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let top = values.iter().copied().filter(|value| value.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    let block = |value: &f64| BLOCKS.get((value / top * 8.0).ceil() as usize).copied().unwrap_or('█');
    values.iter().map(block).collect()
}

pub(super) fn summary(findings: &Findings) -> String {
    let mut out = String::new();
    for measure in &findings.measures {
        let note = measure.note.as_deref().unwrap_or("");
        let _ = writeln!(out, "{:<30}  {:<28}  {note}", measure.name, with_interval(measure));
    }
    if let (Some(mean), Some(observed)) = (reliability(findings, "mean_probability"), reliability(findings, "observed"))
    {
        let _ = writeln!(out, "\nreliability, tenths of the rows by probability");
        let _ = writeln!(out, "  predicted  {}\n  observed   {}", blocks(&mean), blocks(&observed));
    }
    if let Some(shape) = &findings.shape {
        let (labels, predictions) = shape.blocks();
        let _ = writeln!(out, "\n  label      {labels}\n  predicted  {predictions}");
    }
    for group in &findings.groups {
        let Some(measure) = group.measures.first() else { continue };
        let _ = writeln!(
            out,
            "{:<30}  {:<28}  {} rows, {}",
            title(group),
            with_interval(measure),
            group.rows,
            measure.name
        );
    }
    for measure in &findings.fairness {
        let note = measure.note.as_deref().unwrap_or("");
        let _ = writeln!(out, "{:<30}  {:<28}  {note}", measure.name, with_interval(measure));
    }
    if let Some(all) = findings.slices.first() {
        let note = text(all.get("note")).unwrap_or_default();
        let _ = writeln!(out, "\n{} {}: {note}", findings.loss, field(all, "mean_loss"));
    }
    for slice in findings.worse() {
        let _ = writeln!(
            out,
            "worse       {}: {} of {} rows, {} of the rest; p {}{}",
            condition(slice),
            field(slice, "mean_loss"),
            rows(slice),
            field(slice, "mean_rest"),
            field(slice, "p_adjusted"),
            text(slice.get("explained_by")).map_or_else(String::new, |by| format!("; explained by {by}")),
        );
    }
    for limit in &findings.limits {
        let verdict = if limit.holds { "holds" } else { "broken" };
        let _ = writeln!(
            out,
            "{verdict:<10}  {}: {}",
            limit.text(),
            limit.value.map_or("no value".into(), |x| shown(Some(x)))
        );
    }
    out
}

fn title(group: &Group) -> String {
    format!("{} = {}", group.column, group.value.as_deref().unwrap_or("NULL"))
}

fn reliability(findings: &Findings, list: &str) -> Option<Vec<f64>> {
    Some(numbers(findings.pictures.get("reliability_table")?.get(list))).filter(|list| !list.is_empty())
}

pub(super) fn document(args: &Args, findings: &Findings) -> Result<String> {
    let mut body =
        format!("<p>Data: <code>{}</code>, label <code>{}</code></p>\n", escape(&args.data), escape(&args.label));
    body.push_str(&measures("measure", &findings.measures));
    if !findings.limits.is_empty() {
        let mut table = Table::new(&[("limit", false), ("value", true), ("verdict", false)]);
        for limit in &findings.limits {
            let verdict = if limit.holds { "holds" } else { "broken" };
            table.row(Some(limit.holds), &[&limit.text(), &shown(limit.value), verdict]);
        }
        let _ = write!(body, "<h2>Limits</h2>\n{}", table.html());
    }
    let _ =
        write!(body, "<div class=\"plots\">{}</div>\n{}{}", plots(findings)?, confusion(findings), errors(findings));
    body.push_str(&slices(args, findings));
    if !findings.groups.is_empty() {
        let _ = write!(body, "<h2>By value</h2>\n{}", groups(&findings.groups));
    }
    if !findings.fairness.is_empty() {
        let group = escape(args.group.as_deref().unwrap_or(""));
        let _ = write!(body, "<h2>Groups of <code>{group}</code></h2>\n{}", measures("difference", &findings.fairness));
    }
    Ok(page("Quality", &body))
}

fn measures(name: &str, measures: &[Measure]) -> String {
    let columns = [(name, false), ("value", true), ("low", true), ("high", true), ("rows", true), ("note", false)];
    let mut table = Table::new(&columns);
    for measure in measures {
        let n = measure.n.map_or_else(String::new, |n| n.to_string());
        let [value, low, high] = [measure.value, measure.low, measure.high].map(shown);
        table.row(None, &[&measure.name, &value, &low, &high, &n, measure.note.as_deref().unwrap_or("")]);
    }
    table.html()
}

fn groups(groups: &[Group]) -> String {
    let names: Vec<&str> =
        groups.first().into_iter().flat_map(|group| &group.measures).map(|m| m.name.as_str()).collect();
    let columns: Vec<(&str, bool)> =
        [("value", false), ("rows", true)].into_iter().chain(names.into_iter().map(|name| (name, true))).collect();
    let mut table = Table::new(&columns);
    for group in groups {
        let mut cells = vec![title(group), group.rows.to_string()];
        cells.extend(group.measures.iter().map(with_interval));
        table.row(None, &cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    table.html()
}

fn slices(args: &Args, findings: &Findings) -> String {
    let Some(all) = findings.slices.first() else {
        return "<h2>Slices</h2>\n<p>There is no column to make slices of.</p>\n".to_owned();
    };
    let mut table = Table::new(&[
        ("slice", false),
        ("rows", true),
        ("mean loss", true),
        ("of the rest", true),
        ("difference", true),
        ("low", true),
        ("high", true),
        ("effect", true),
        ("p adjusted", true),
        ("explained by", false),
        ("note", false),
        ("verdict", false),
    ]);
    for slice in findings.worse() {
        let explained = text(slice.get("explained_by"));
        let [mean, rest, difference, low, high, effect, p] =
            ["mean_loss", "mean_rest", "difference", "low", "high", "effect_size", "p_adjusted"]
                .map(|name| field(slice, name));
        let note = text(slice.get("note")).unwrap_or_default();
        let (name, n) = (condition(slice), rows(slice));
        let by = explained.clone().unwrap_or_default();
        let cells = [&name, &n, &mean, &rest, &difference, &low, &high, &effect, &p, &by, &note].map(String::as_str);
        table.row(if explained.is_some() { None } else { Some(false) }, &[&cells[..], &["worse"]].concat());
    }
    format!(
        "<h2>Slices</h2>\n<p>Loss: {}, {} over all rows. {}. False alarms accepted over all slices: {}.</p>\n{}",
        findings.loss,
        field(all, "mean_loss"),
        escape(&text(all.get("note")).unwrap_or_default()),
        args.alpha,
        table.html()
    )
}

fn plots(findings: &Findings) -> Result<String> {
    let mut svg = String::new();
    let chart = |title, x, y, diagonal, points: Vec<(f64, f64)>| {
        let chart = Chart { title, x, y, ends: (1.0, 1.0), diagonal, labels: &[] };
        let drawn: Vec<(f64, f64)> = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        if drawn.is_empty() {
            Ok(String::new())
        } else {
            chart.svg(&[Line { name: "model".to_owned(), points: drawn }])
        }
    };
    let lists = |name: &str, x: &str, y: &str| -> Vec<(f64, f64)> {
        let picture = findings.pictures.get(name);
        let list = |list: &str| numbers(picture.and_then(|picture| picture.get(list)));
        list(x).into_iter().zip(list(y)).collect()
    };
    svg.push_str(&chart("ROC", "false positive rate", "true positive rate", true, lists("roc_curve", "fpr", "tpr"))?);
    let points = lists("precision_recall_curve", "recall", "precision");
    svg.push_str(&chart("Precision and recall", "recall", "precision", false, points)?);
    let points = lists("reliability_table", "mean_probability", "observed");
    svg.push_str(&chart("Reliability, tenths of the rows", "mean probability", "share true", true, points)?);
    if let Some(shape) = &findings.shape {
        let bars = Bars {
            title: "Labels and predictions",
            labels: &shape.labels,
            names: ["label", "prediction"],
            shares: &shape.shares,
        };
        svg.push_str(&bars.svg()?);
    }
    Ok(svg)
}

fn confusion(findings: &Findings) -> String {
    let Some(matrix) = findings.pictures.get("confusion_matrix") else { return String::new() };
    let names = |list: &str| -> Vec<String> {
        matrix.get(list).and_then(Json::as_array).into_iter().flatten().filter_map(|name| text(Some(name))).collect()
    };
    let mut table = Table::new(&[("label", false), ("prediction", false), ("rows", true)]);
    for ((label, prediction), count) in names("label").iter().zip(names("prediction")).zip(numbers(matrix.get("count")))
    {
        table.row(None, &[label, &prediction, &count.to_string()]);
    }
    format!("<h2>Confusion</h2>\n{}", table.html())
}

fn errors(findings: &Findings) -> String {
    if findings.errors.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[("share of rows up to", true), ("prediction less label", true)]);
    for (share, error) in &findings.errors {
        table.row(None, &[&format!("{:.0}%", share * 100.0), &shown(Some(*error))]);
    }
    format!("<h2>Errors</h2>\n{}", table.html())
}
