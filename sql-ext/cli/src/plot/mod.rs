//! Charts as SVG, to be read inside an HTML page.

mod bars;
mod lines;

pub(crate) use bars::Bars;
pub(crate) use lines::{Chart, Line};

/// The style of our pages.
pub(crate) const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1300px;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse}td,th{padding:.25em .9em;text-align:left;border-bottom:1px solid #ddd}.n{text-align:right}\
.holds td:last-child{color:#186a2b}.differs td:last-child{color:#b00020;font-weight:bold}\
.plots{display:flex;flex-wrap:wrap;gap:1em}.plots svg{max-width:100%;height:auto;border:1px solid #eee}";

/// A text as HTML shows it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
