//! From the reports of interleaved runs to a table: medians, and ratios to a peer taken run by run.

use std::fmt;

use crate::measure::Report;

/// One run of one pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Messages a second, by the sender's clock.
    pub rate: f64,
    /// Microseconds of CPU a message at the sender.
    pub send_cpu: f64,
    /// Microseconds of CPU a message at the receiver.
    pub recv_cpu: f64,
}

/// A median with the least and the most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The median; of an even number of values the mean of the middle two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

/// The runs of one pair at one size.
#[derive(Debug, Clone)]
pub struct Row {
    /// `sender -> receiver`.
    pub pair: String,
    /// Bytes of body.
    pub size: usize,
    /// One entry a repetition; none where that run failed.
    pub samples: Vec<Option<Sample>>,
}

impl Sample {
    /// The sample of a run, from the reports of its sender and its receiver.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "message counts are far below 2^53")]
    pub fn new(send: &Report, recv: &Report) -> Self {
        let micros = |report: &Report| report.cpu * 1e6 / report.n as f64;
        Self { rate: send.n as f64 / send.secs, send_cpu: micros(send), recv_cpu: micros(recv) }
    }

    /// Microseconds of CPU a message, sender and receiver together.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        self.send_cpu + self.recv_cpu
    }
}

impl Spread {
    /// The spread of the values; none of no values.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, min, max })
    }
}

impl Row {
    /// The spread of what `of` takes from each run.
    pub fn spread(&self, of: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.samples.iter().flatten().map(of))
    }

    /// The spread of the ratio to `base`, each run against the one of the same repetition: the machine
    /// was the same for both.
    pub fn ratio(&self, base: &Self, of: impl Fn(&Sample) -> f64) -> Option<Spread> {
        let pairs = self.samples.iter().zip(&base.samples);
        Spread::of(pairs.filter_map(|(own, base)| Some(of(own.as_ref()?) / of(base.as_ref()?))))
    }
}

/// Writes the rows as a table, with each row's ratios to the row of the pair `base` of the same size.
///
/// # Errors
/// As the formatter's.
pub fn write(out: &mut impl fmt::Write, rows: &[Row], base: &str) -> fmt::Result {
    writeln!(
        out,
        "{:<24} {:>6} {:>10} {:>9} {:>9} {:>9}   {:<22} {:<22}",
        "pair", "bytes", "msgs/s", "send us", "recv us", "sum us", "rate / base (min..max)", "CPU / base (min..max)"
    )?;
    for row in rows {
        let median = |of: fn(&Sample) -> f64| row.spread(of).map_or(f64::NAN, |spread| spread.median);
        let base = rows.iter().find(|other| other.pair == base && other.size == row.size);
        let ratio = |of: fn(&Sample) -> f64| {
            base.and_then(|base| row.ratio(base, of))
                .map_or_else(|| "-".into(), |r| format!("{:.2} ({:.2}..{:.2})", r.median, r.min, r.max))
        };
        writeln!(
            out,
            "{:<24} {:>6} {:>10.0} {:>9.2} {:>9.2} {:>9.2}   {:<22} {:<22}",
            row.pair,
            row.size,
            median(|sample| sample.rate),
            median(|sample| sample.send_cpu),
            median(|sample| sample.recv_cpu),
            median(Sample::cpu),
            ratio(|sample| sample.rate),
            ratio(Sample::cpu),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_repetition() {
        let row = |rates: [Option<f64>; 3]| Row {
            pair: "p".into(),
            size: 100,
            samples: rates.map(|rate| rate.map(|rate| Sample { rate, send_cpu: 1.0, recv_cpu: 1.0 })).to_vec(),
        };
        // The second repetition ran on a machine half as fast, the third failed on one side.
        let (own, base) = (row([Some(200.0), Some(100.0), Some(1.0)]), row([Some(100.0), Some(50.0), None]));
        assert_eq!(own.ratio(&base, |sample| sample.rate), Some(Spread { median: 2.0, min: 2.0, max: 2.0 }));
    }

    #[test]
    fn a_sample_divides_by_messages() {
        let report = |cpu| Report { implementation: "x".into(), role: "send".into(), n: 1000, secs: 0.5, cpu };
        let sample = Sample::new(&report(0.002), &report(0.003));
        assert!((sample.rate - 2000.0).abs() < 1e-9 && (sample.cpu() - 5.0).abs() < 1e-9, "{sample:?}");
    }
}
