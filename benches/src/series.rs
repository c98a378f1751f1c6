//! Courses side by side: each runs once in every repetition, at every size, and a table compares them.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;

use crate::measure::Report;
use crate::run::{Course, Load};
use crate::table::{self, Format, Row};

/// How often, with how much, and for how long courses are run.
#[derive(Debug, Clone, clap::Args)]
pub struct Series {
    /// Repetitions; everything runs once in each.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub reps: u32,
    /// Bytes of body, separated by commas.
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "100,1024,65536",
          value_parser = RangedU64ValueParser::<usize>::new().range(1..=LARGEST))]
    pub sizes: Vec<usize>,
    /// Seconds that a run is to take; how many messages that makes is found first.
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub seconds: Duration,
    /// Messages a run, instead of a time.
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// The most messages on the way to the receiver.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub credit: u32,
    /// Seconds after which a run has failed.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub limit: u64,
    /// How the result is written.
    #[arg(long, value_name = "F", value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// The largest body, in bytes: a gibibyte.
const LARGEST: u64 = 1 << 30;

/// The runs of one course at one size, and how many messages each has, once that is known.
struct Entry {
    course: usize,
    count: Option<u64>,
    row: Row,
}

impl Series {
    /// Runs the courses and writes the table, with each one's ratios to the one called `base`. A run that fails is named, and
    /// the others go on; the exit code says whether one did.
    pub fn compare(&self, courses: &mut [Course], base: &str) -> ExitCode {
        let mut entries: Vec<Entry> = Vec::new();
        for &size in &self.sizes {
            entries.extend(courses.iter().enumerate().map(|(course, named)| Entry {
                course,
                count: self.count,
                row: Row { name: named.name(), size, samples: Vec::new() },
            }));
        }
        let mut failed = courses.is_empty();
        for repetition in 0..self.reps {
            for entry in &mut entries {
                failed |= !self.run(&mut courses[entry.course], entry, repetition);
            }
        }
        if self.format != Format::Json {
            let rows: Vec<Row> = entries.into_iter().map(|entry| entry.row).collect();
            let mut text = String::new();
            table::write(&mut text, self.format, &rows, base).expect("a string takes all");
            let Self { reps, credit, .. } = self;
            println!(
                "medians of {reps} interleaved runs, ratios with their least and most; credit {credit}; base: {base}\n\n{text}"
            );
        }
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    /// Runs a course once, and says whether that went well.
    fn run(&self, course: &mut Course, Entry { count, row, .. }: &mut Entry, repetition: u32) -> bool {
        let limit = Duration::from_secs(self.limit);
        let load = |count| Load { count, size: row.size, credit: self.credit };
        let found = count.map_or_else(|| course.count_for(self.seconds.min(limit / 4), load(0), limit), Ok);
        let sample = found.and_then(|found| course.run(load(*count.insert(found)), limit));
        let sample = sample.inspect_err(|error| eprintln!("failed: {}, {} bytes: {error}", row.name, row.size)).ok();
        if let (Some(sample), Format::Json) = (sample, self.format) {
            let line = serde_json::json!({
                "repetition": repetition, "name": row.name, "size": row.size, "count": count, "sample": sample,
            });
            println!("{line}");
        }
        row.samples.push(sample);
        sample.is_some()
    }
}

/// Runs one end of a course on one thread, as other people's peers do, and prints its report.
pub fn run_end(end: impl AsyncFnOnce() -> Result<Report, Box<dyn Error>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(end())) {
        Ok(report) => {
            println!("{}", serde_json::json!(report));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|time| !time.is_zero()).ok_or_else(|| "a number of seconds above 0 is wanted".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Arguments {
        #[command(flatten)]
        series: Series,
    }

    fn parse(arguments: &[&str]) -> Result<Series, String> {
        let all = std::iter::once("bench").chain(arguments.iter().copied());
        Arguments::try_parse_from(all).map(|arguments| arguments.series).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_readme() {
        let Series { reps, sizes, seconds, count, credit, limit, format } = parse(&[]).unwrap();
        assert_eq!((reps, sizes, seconds), (5, vec![100, 1024, 65_536], Duration::from_secs(1)));
        assert_eq!((count, credit, limit, format), (None, 500, 60, Format::Text));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for wrong in [
            &["--reps", "0"][..],
            &["--sizes", "100,0"],
            &["--sizes", ""],
            &["--sizes", "2000000000"],
            &["--seconds", "nan"],
            &["--seconds=-1"],
            &["--seconds", "0"],
            &["--count", "0"],
            &["--credit", "0"],
            &["--limit", "0"],
            &["--format", "xml"],
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(error.contains(wrong[0].split('=').next().unwrap()), "{wrong:?}: {error}");
        }
        assert!(parse(&["--count", "3", "--seconds", "1"]).unwrap_err().contains("cannot be used with"));
    }
}
