//! The shape of a column in both samples: shares of the same cells, for a chart and for a line of text.

use skewless_catalog::profile::Profile;

/// How many cells numbers are shown in, and how many categories.
const CELLS: usize = 24;
const CATEGORIES: usize = 12;

/// Names of cells, and the share of each sample in each.
pub(super) struct Shape {
    pub(super) labels: Vec<String>,
    pub(super) shares: Vec<(f64, f64)>,
}

impl Shape {
    /// `None` where neither sample has a value.
    pub(super) fn of(base: &Profile, study: &Profile) -> Option<Self> {
        if base.categories().is_empty() && study.categories().is_empty() {
            numbers(base, study)
        } else {
            Some(categories(base, study))
        }
    }

    /// The samples as two rows of blocks, the base's above.
    pub(super) fn blocks(&self) -> (String, String) {
        const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let top = self.shares.iter().fold(f64::MIN_POSITIVE, |top, (a, b)| top.max(*a).max(*b));
        let block = |share: f64| BLOCKS.get((share / top * 8.0).ceil() as usize).copied().unwrap_or('█');
        (
            self.shares.iter().map(|(share, _)| block(*share)).collect(),
            self.shares.iter().map(|(_, share)| block(*share)).collect(),
        )
    }
}

/// Cells of one width between the outer percentiles of both samples; what lies beyond is in the first and the last.
fn numbers(base: &Profile, study: &Profile) -> Option<Shape> {
    let ends: Vec<(f64, f64)> = [base, study]
        .iter()
        .filter_map(|profile| Some((profile.quantile(0.005)?.value, profile.quantile(0.995)?.value)))
        .filter(|(low, high)| low.is_finite() && high.is_finite())
        .collect();
    let low = ends.iter().map(|(low, _)| *low).reduce(f64::min)?;
    let high = ends.iter().map(|(_, high)| *high).reduce(f64::max)?;
    let width = (high - low) / CELLS as f64;
    if width <= 0.0 {
        return Some(Shape { labels: vec![format!("{low}")], shares: vec![(1.0, 1.0)] });
    }
    let up_to = |profile: &Profile, cell: usize| {
        if cell + 1 == CELLS {
            return 1.0;
        }
        profile.rank(low + width * (cell + 1) as f64).map_or(0.0, |share| share.value)
    };
    let share = |profile: &Profile, cell: usize| {
        if profile.rank(low).is_none() {
            return 0.0;
        }
        let below = if cell == 0 { 0.0 } else { up_to(profile, cell - 1) };
        (up_to(profile, cell) - below).max(0.0)
    };
    Some(Shape {
        labels: (0..CELLS).map(|cell| short(low + width * cell as f64)).collect(),
        shares: (0..CELLS).map(|cell| (share(base, cell), share(study, cell))).collect(),
    })
}

/// The most frequent categories of both samples, and all others as one.
fn categories(base: &Profile, study: &Profile) -> Shape {
    let mut counts: std::collections::BTreeMap<String, (u64, u64)> = std::collections::BTreeMap::new();
    for category in base.categories() {
        counts.entry(category.text.to_owned()).or_default().0 += category.count;
    }
    for category in study.categories() {
        counts.entry(category.text.to_owned()).or_default().1 += category.count;
    }
    let given = |profile: &Profile| (profile.rows() - profile.nulls()).max(1) as f64;
    let (m, n) = (given(base), given(study));
    let mut shares: Vec<(String, (f64, f64))> =
        counts.into_iter().map(|(text, (a, b))| (text, (a as f64 / m, b as f64 / n))).collect();
    shares.sort_by(|a, b| (b.1.0 + b.1.1).total_cmp(&(a.1.0 + a.1.1)).then_with(|| a.0.cmp(&b.0)));
    shares.truncate(CATEGORIES);
    let rest = shares.iter().fold((1.0, 1.0), |rest, (_, (a, b))| (rest.0 - a, rest.1 - b));
    if rest.0 > 1e-9 || rest.1 > 1e-9 {
        shares.push(("others".to_owned(), (rest.0.max(0.0), rest.1.max(0.0))));
    }
    let (labels, shares) = shares.into_iter().unzip();
    Shape { labels, shares }
}

/// A number in few characters.
fn short(x: f64) -> String {
    if x != 0.0 && (x.abs() >= 1e5 || x.abs() < 1e-2) { format!("{x:.0e}") } else { format!("{x:.1}") }
}
