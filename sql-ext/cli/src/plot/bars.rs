//! Two distributions side by side.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// The shares of two samples in the same cells, the first as filled bars and the second as outlined ones.
pub(crate) struct Bars<'a> {
    pub(crate) title: &'a str,
    /// What each cell is called under its bar; at most about six are shown.
    pub(crate) labels: &'a [String],
    /// What the samples are called.
    pub(crate) names: [&'a str; 2],
    /// The share of each sample in each cell.
    pub(crate) shares: &'a [(f64, f64)],
}

impl Bars<'_> {
    /// The chart as one `<svg>` element.
    pub(crate) fn svg(&self) -> Result<String> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|error| anyhow!("the chart {:?} cannot be drawn: {error}", self.title))?;
        Ok(svg)
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let (first, second) = (RGBColor(160, 190, 220), RGBColor(200, 80, 20));
        let [first_name, second_name] = self.names;
        let top = self.shares.iter().fold(0.01_f64, |top, (a, b)| top.max(*a).max(*b)) * 1.15;
        let end = self.shares.len().max(1) as f64;
        let root = SVGBackend::with_string(svg, (420, 240)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, ("sans-serif", 14))
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..end, 0.0..top)?;
        let every = self.labels.len().div_ceil(6).max(1);
        let label = |x: &f64| {
            let cell = x.floor() as usize;
            let shown = cell.is_multiple_of(every) && (x - x.floor()).abs() < 0.51;
            if shown { self.labels.get(cell).cloned().unwrap_or_default() } else { String::new() }
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(6)
            .x_label_formatter(&label)
            .y_label_formatter(&|y| format!("{:.0}%", y * 100.0))
            .light_line_style(WHITE)
            .draw()?;
        let bar = |cell: usize, share: f64| [(cell as f64 + 0.08, 0.0), (cell as f64 + 0.92, share)];
        let shares = || self.shares.iter().enumerate();
        chart
            .draw_series(shares().map(|(cell, (share, _))| Rectangle::new(bar(cell, *share), first.filled())))?
            .label(first_name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], first.filled()));
        chart
            .draw_series(shares().map(|(cell, (_, share))| Rectangle::new(bar(cell, *share), second.stroke_width(2))))?
            .label(second_name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], second.stroke_width(2)));
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .position(SeriesLabelPosition::UpperRight)
            .draw()?;
        root.present()?;
        Ok(())
    }
}
