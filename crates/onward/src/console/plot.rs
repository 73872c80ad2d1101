//! Small line plots as SVG, with as few bytes as a page of twenty queues allows.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

const WIDTH: usize = 120;
const HEIGHT: usize = 30;

/// One line of a plot.
pub(super) struct Line {
    /// The class of its style: `a`, `b` or `c`.
    pub class: &'static str,
    /// The oldest value first.
    pub values: Vec<f64>,
}

/// A plot with a text for those who do not see it. All lines have one scale, which begins at zero.
pub(super) fn plot(label: &str, lines: &[Line]) -> Markup {
    let most = most(lines);
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) preserveAspectRatio="none" {
            @for line in lines {
                path class=(line.class) d=(PreEscaped(path(&line.values, most)));
            }
        }
    }
}

/// The greatest value of all lines.
pub(super) fn most(lines: &[Line]) -> f64 {
    lines.iter().flat_map(|line| &line.values).fold(0.0, |most, value| value.max(most))
}

/// A path by steps of whole units: `M0 30l2-3 2 0`.
fn path(values: &[f64], most: f64) -> String {
    let height = |value: f64| {
        let share = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
        // The pen has a width, so the line stays a unit away from the edges.
        HEIGHT as i64 - 1 - (share * (HEIGHT - 2) as f64).round() as i64
    };
    let Some((first, rest)) = values.split_first() else { return String::new() };
    let step = WIDTH / rest.len().max(1);
    let mut y = height(*first);
    let mut path = format!("M0 {y}l");
    for (index, value) in rest.iter().enumerate() {
        let next = height(*value);
        let (gap, change) = (if index == 0 { "" } else { " " }, next - y);
        let between = if change < 0 { "" } else { " " };
        write!(path, "{gap}{step}{between}{change}").expect("a String takes every write");
        y = next;
    }
    path
}

/// Fewer values, each the greatest of three, where a page has little room.
pub(super) fn fewer(values: Vec<f64>) -> Vec<f64> {
    values.chunks(3).map(|some| some.iter().copied().fold(0.0, f64::max)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_by_whole_steps_and_stays_inside() {
        assert_eq!(path(&[], 1.0), "");
        assert_eq!(path(&[0.0, 0.0], 0.0), "M0 29l120 0");
        assert_eq!(path(&[0.0, 10.0, 5.0, 5.0], 10.0), "M0 29l40-28 40 14 40 0");
        assert_eq!(path(&[f64::NAN, 1.0], 1.0), "M0 29l120-28", "a value that is none counts as zero");
        assert_eq!(fewer(vec![1.0, 2.0, 0.0, 3.0]), [2.0, 3.0]);
    }
}
