//! Figures: what of many measured times is told, and tables of them.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

/// What is told of many times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// How many there were.
    pub count: usize,
    /// The shortest.
    pub min: f64,
    /// Half were shorter.
    pub p50: f64,
    /// 99 of a hundred were shorter.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Spread {
    /// Of these times; `None` when there are none.
    #[must_use]
    pub fn of(times: &[Duration]) -> Option<Self> {
        let mut sorted: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |thousandths: usize| {
            sorted.get((sorted.len().checked_sub(1)? * thousandths).div_ceil(1000)).copied()
        };
        Some(Self { count: sorted.len(), min: at(0)?, p50: at(500)?, p99: at(990)?, max: at(1000)? })
    }

    /// `p50`, `p99` and `max`, for a table.
    #[must_use]
    pub fn cells(spread: Option<Self>) -> [String; 3] {
        match spread {
            Some(spread) => [spread.p50, spread.p99, spread.max].map(|ms| format!("{ms:.2}")),
            None => Default::default(),
        }
    }
}

/// The middle one; of an even count the lower of the two in the middle.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// The smallest.
#[must_use]
pub fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::min)
}

/// The exponent `e` for which `y = c · x^e` fits best: 1 is linear. `None` with fewer than two different `x`.
#[must_use]
pub fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = f64::from(u32::try_from(logs.len()).ok()?);
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (mx, my) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = logs.iter().map(|(x, _)| (x - mx).powi(2)).sum();
    let together: f64 = logs.iter().map(|(x, y)| (x - mx) * (y - my)).sum();
    (spread > 1e-9).then(|| together / spread)
}

/// Columns as wide as they need to be, numbers to the right.
#[derive(Clone, Debug, Default)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// With these headings.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        Self(vec![headings.iter().map(|&heading| heading.to_owned()).collect()])
    }

    /// One more line.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.0
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.0 {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let number = cell.starts_with(|c: char| c.is_ascii_digit());
                // Writing to a string does not fail.
                let _ =
                    if number { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_tells_of_all_its_times() {
        let times: Vec<Duration> = (1..=1000).rev().map(Duration::from_millis).collect();
        let expected = Spread { count: 1000, min: 1.0, p50: 501.0, p99: 991.0, max: 1000.0 };
        assert_eq!(Spread::of(&times), Some(expected));
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&times[..1]).unwrap().p99, 1000.0);
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[2.0, 1.0]), least(&[3.0, 1.0, 2.0])), (2.0, 1.0, 1.0));
    }

    #[test]
    fn exponents_are_those_that_figures_were_made_with() {
        let made =
            |e: f64| exponent(&[50.0_f64, 100.0, 800.0, 8000.0].map(|x| (x, 3.0 * x.powf(e)))).unwrap();
        for e in [0.5, 1.0, 2.0] {
            assert!((made(e) - e).abs() < 1e-9, "{e}");
        }
        assert_eq!(exponent(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(&["apps", "ms"]);
        table.row(["create".to_owned(), "1.5".to_owned()]);
        table.row(["x".to_owned(), "12.25".to_owned()]);
        insta::assert_snapshot!(table.to_string(), @r"
        apps    ms
        create    1.5
        x       12.25
        ");
    }
}
