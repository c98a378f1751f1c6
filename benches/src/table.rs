//! From the reports of interleaved runs to a table: medians, and ratios to one row taken run by run.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::measure::Report;

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sample {
    /// Messages a second: by the sender's clock, or through a broker by the receiver's.
    pub rate: f64,
    /// Microseconds of CPU a message at the sender.
    pub send_cpu: f64,
    /// Microseconds of CPU a message at the receiver.
    pub recv_cpu: f64,
    /// Microseconds of CPU a message at the broker, where there is one.
    pub broker_cpu: Option<f64>,
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

/// The runs of one pair, or through one broker, at one size.
#[derive(Debug, Clone)]
pub struct Row {
    /// `sender -> receiver`, or the broker.
    pub name: String,
    /// Bytes of body.
    pub size: usize,
    /// One entry a repetition; none where that run failed.
    pub samples: Vec<Option<Sample>>,
}

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns under each other.
    Text,
    /// A table of Markdown.
    Markdown,
    /// No table: every sample as a line of JSON, as it comes.
    Json,
}

impl Sample {
    /// The sample of a run from peer to peer, from the reports of its sender and its receiver.
    #[must_use]
    pub fn direct(send: &Report, recv: &Report) -> Self {
        let (rate, [send_cpu, recv_cpu]) = (rate(send), [send, recv].map(|report| micros(report.cpu, report.n)));
        Self { rate, send_cpu, recv_cpu, broker_cpu: None }
    }

    /// The sample of a run through a broker, which used so much CPU.
    #[must_use]
    pub fn through(send: &Report, recv: &Report, broker: Duration) -> Self {
        let broker_cpu = Some(micros(broker.as_secs_f64(), recv.n));
        Self { rate: rate(recv), broker_cpu, ..Self::direct(send, recv) }
    }

    /// Microseconds of CPU a message: of the broker where there is one, else of sender and receiver together.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        self.broker_cpu.unwrap_or(self.send_cpu + self.recv_cpu)
    }
}

#[expect(clippy::cast_precision_loss, reason = "message counts are far below 2^53")]
fn rate(report: &Report) -> f64 {
    report.n as f64 / report.secs
}

#[expect(clippy::cast_precision_loss, reason = "message counts are far below 2^53")]
fn micros(secs: f64, messages: u64) -> f64 {
    secs * 1e6 / messages as f64
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

/// Writes the rows as a table, with each row's ratios to the row called `base` of the same size.
///
/// # Errors
/// As the formatter's.
pub fn write(out: &mut impl fmt::Write, format: Format, rows: &[Row], base: &str) -> fmt::Result {
    let lines: Vec<Vec<String>> =
        std::iter::once(head(rows)).chain(rows.iter().map(|row| cells(row, rows, base))).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    for (index, line) in lines.iter().enumerate() {
        // The name leads, the numbers are aligned at their right.
        let padded = line.iter().enumerate().map(|(column, cell)| match column {
            0 => format!("{cell:<width$}", width = width(0)),
            _ => format!("{cell:>width$}", width = width(column)),
        });
        let padded: Vec<String> = padded.collect();
        match format {
            Format::Markdown => writeln!(out, "| {} |", padded.join(" | "))?,
            Format::Text | Format::Json => writeln!(out, "{}", padded.join("  ").trim_end())?,
        }
        if format == Format::Markdown && index == 0 {
            writeln!(out, "|---|{}", "---:|".repeat(line.len() - 1))?;
        }
    }
    Ok(())
}

fn through_brokers(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.samples.iter().flatten().any(|sample| sample.broker_cpu.is_some()))
}

fn head(rows: &[Row]) -> Vec<String> {
    let names: &[&str] = match through_brokers(rows) {
        true => &["broker", "bytes", "msgs/s", "broker us", "send us", "recv us", "rate / base", "broker us / base"],
        false => &["pair", "bytes", "msgs/s", "send us", "recv us", "sum us", "rate / base", "sum us / base"],
    };
    names.iter().map(ToString::to_string).collect()
}

fn cells(row: &Row, rows: &[Row], base: &str) -> Vec<String> {
    let median = |of: fn(&Sample) -> f64, digits: usize| {
        row.spread(of).map_or_else(|| "-".into(), |spread| format!("{:.digits$}", spread.median))
    };
    let base = rows.iter().find(|other| other.name == base && other.size == row.size);
    let ratio = |of: fn(&Sample) -> f64| {
        base.and_then(|base| row.ratio(base, of))
            .map_or_else(|| "-".into(), |r| format!("{:.2} ({:.2}..{:.2})", r.median, r.min, r.max))
    };
    let (send, recv, cpu) =
        (median(|sample| sample.send_cpu, 2), median(|sample| sample.recv_cpu, 2), median(Sample::cpu, 2));
    let costs = if through_brokers(rows) { [cpu, send, recv] } else { [send, recv, cpu] };
    let front = [row.name.clone(), row.size.to_string(), median(|sample| sample.rate, 0)];
    front.into_iter().chain(costs).chain([ratio(|sample| sample.rate), ratio(Sample::cpu)]).collect()
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

    fn row(name: &str, rates: &[Option<f64>]) -> Row {
        let sample = |rate| Sample { rate, send_cpu: 1.0, recv_cpu: 0.5, broker_cpu: None };
        let samples = rates.iter().map(|rate| rate.map(sample)).collect();
        Row { name: name.into(), size: 100, samples }
    }

    #[test]
    fn ratios_are_taken_within_a_repetition() {
        // The second repetition ran on a machine half as fast, the third failed on one side.
        let (own, base) =
            (row("p", &[Some(200.0), Some(100.0), Some(1.0)]), row("b", &[Some(100.0), Some(50.0), None]));
        assert_eq!(own.ratio(&base, |sample| sample.rate), Some(Spread { median: 2.0, min: 2.0, max: 2.0 }));
    }

    fn report(cpu: f64) -> Report {
        Report { implementation: "x".into(), role: "send".into(), n: 1000, secs: 0.5, cpu }
    }

    #[test]
    fn a_sample_divides_by_messages() {
        let sample = Sample::direct(&report(0.002), &report(0.003));
        assert!((sample.rate - 2000.0).abs() < 1e-9 && (sample.cpu() - 5.0).abs() < 1e-9, "{sample:?}");
        let through = Sample::through(&report(0.002), &report(0.003), Duration::from_millis(7));
        assert!((through.cpu() - 7.0).abs() < 1e-9 && (through.recv_cpu - 3.0).abs() < 1e-9, "{through:?}");
    }

    #[test]
    fn a_table_is_written_for_people_and_as_markdown() {
        let rows = [row("base", &[Some(100.0)]), row("ours", &[Some(250.0)]), row("broken", &[None])];
        let mut text = String::new();
        write(&mut text, Format::Text, &rows, "base").unwrap();
        assert_eq!(
            text,
            "pair    bytes  msgs/s  send us  recv us  sum us        rate / base      sum us / base\n\
             base      100     100     1.00     0.50    1.50  1.00 (1.00..1.00)  1.00 (1.00..1.00)\n\
             ours      100     250     1.00     0.50    1.50  2.50 (2.50..2.50)  1.00 (1.00..1.00)\n\
             broken    100       -        -        -       -                  -                  -\n"
        );
        let mut markdown = String::new();
        write(&mut markdown, Format::Markdown, &rows[..1], "base").unwrap();
        assert_eq!(
            markdown,
            "| pair | bytes | msgs/s | send us | recv us | sum us |       rate / base |     sum us / base |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|\n\
             | base |   100 |    100 |    1.00 |    0.50 |   1.50 | 1.00 (1.00..1.00) | 1.00 (1.00..1.00) |\n"
        );
    }
}
