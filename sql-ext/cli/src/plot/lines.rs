//! Line charts.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// A named line and whether its points are marked.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// What a chart shows.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// The right ends of the axes; both begin at 0.
    pub(crate) ends: (f64, f64),
    /// Whether the diagonal is drawn.
    pub(crate) diagonal: bool,
    /// Names for x = 0, 1, …; numbers where there are none.
    pub(crate) labels: &'a [String],
}

const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 96, 32),
    RGBColor(44, 140, 60),
    RGBColor(148, 80, 170),
    RGBColor(140, 100, 60),
    RGBColor(90, 90, 90),
];

impl Chart<'_> {
    /// The chart with its lines, as one `<svg>` element.
    pub(crate) fn svg(&self, lines: &[Line]) -> Result<String> {
        let mut svg = String::new();
        self.draw(lines, &mut svg).map_err(|error| anyhow!("the chart {:?} cannot be drawn: {error}", self.title))?;
        Ok(svg)
    }

    fn draw(&self, lines: &[Line], svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::with_string(svg, (620, 400)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(42)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..self.ends.0, 0.0..self.ends.1)?;
        let label = |x: &f64| {
            if self.labels.is_empty() {
                format!("{x:.2}")
            } else {
                self.labels.get(x.round() as usize).cloned().unwrap_or_default()
            }
        };
        let x_labels = if self.labels.is_empty() { 11 } else { self.labels.len() };
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_labels(x_labels)
            .x_label_formatter(&label)
            .light_line_style(WHITE)
            .draw()?;
        if self.diagonal {
            let end = self.ends.0.min(self.ends.1);
            chart.draw_series(LineSeries::new([(0.0, 0.0), (end, end)], BLACK.mix(0.3)))?;
        }
        for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
            if line.points.len() <= 40 {
                chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
            }
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .position(SeriesLabelPosition::UpperLeft)
            .draw()?;
        root.present()?;
        Ok(())
    }
}
