//! `cargo xtask test`: every check and every test, each as a named step, and a table at the end.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::steps::{self, Interrupt, Outcome, Ran};
use crate::{Verdict, features, layers, mirror_check, peers, seed_check, spec_check, workspace};

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Install the system packages that interop suites need (apt, root); CI=true does too
    #[arg(long)]
    install_peers: bool,
    /// Run only the step of this name; may be given again
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the steps and run none
    #[arg(long)]
    list: bool,
    /// Folder with the XML of the AMQP 1.0 standard
    #[arg(long, value_name = "DIR", env = "POSTROAD_SPEC_XML")]
    xml: Option<PathBuf>,
}

impl Options {
    /// One step, by its name.
    pub(crate) fn only(step: &str) -> Self {
        Self { install_peers: false, only: vec![step.to_owned()], list: false, xml: None }
    }
}

/// A step: its name, what it is for, and the function that runs it.
struct Step {
    name: &'static str,
    what: &'static str,
    run: fn(&Context<'_>) -> Ran,
}

/// The time for all steps together, so that CI ends by itself and says what it did not reach.
const TOTAL: Duration = Duration::from_secs(80 * 60);

struct Context<'a> {
    deadline: Instant,
    root: &'a Path,
    options: &'a Options,
    interrupt: &'a Interrupt,
}

const STEPS: &[Step] = &[
    Step { name: "fmt", what: "formatting", run: |c| c.cargo(&["fmt", "--all", "--check"], 3) },
    Step {
        name: "clippy",
        what: "lints, warnings refused",
        run: |c| c.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], 20),
    },
    Step { name: "layers", what: "who imports whom", run: |c| in_process(layers::check(c.root)) },
    Step {
        name: "seed-check",
        what: "items and tests named in docs/seeds",
        run: |c| in_process(seed_check::check(c.root)),
    },
    Step {
        name: "mirror-check",
        what: "the blocking mirrors have every method of their originals",
        run: |c| in_process(mirror_check::check(c.root)),
    },
    Step { name: "spec-check", what: "the codec's tables against the standard's XML", run: check_spec },
    Step { name: "features", what: "transport services with some protocol stacks, and with none", run: check_features },
    Step {
        name: "tests",
        what: "unit and integration tests",
        // Not --all-targets, which would run the benches as tests.
        run: |c| c.cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"], 25),
    },
    Step {
        name: "doc-tests",
        what: "examples in the documentation",
        run: |c| c.cargo(&["test", "--workspace", "--doc", "--no-fail-fast"], 20),
    },
    Step {
        name: "rustdoc",
        what: "the documentation, warnings refused",
        run: |c| {
            let mut command = workspace::cargo(c.root);
            command
                .args(["doc", "--workspace", "--no-deps", "--features", "postroad/blocking"])
                .env("RUSTDOCFLAGS", "-D warnings");
            c.run(command, 15)
        },
    },
    Step { name: "examples", what: "every example, run", run: run_examples },
    Step {
        name: "fuzz-smoke",
        what: "each fuzz target for ten seconds",
        run: |c| c.cargo(&["run", "-p", "tests", "--release", "--bin", "fuzz-smoke", "--", "--seconds", "10"], 20),
    },
    Step {
        name: "chaos",
        what: "guarantees and transactions over connections that are cut a hundred times",
        run: run_chaos,
    },
    Step { name: "peers", what: "other people's clients and brokers, into target/peers", run: fetch_peers },
    Step {
        name: "interop",
        what: "suites against those peers",
        run: |c| {
            let mut command = workspace::cargo(c.root);
            command
                .args([
                    "test",
                    "-p",
                    "tests",
                    "--release",
                    "--features",
                    "interop",
                    "--no-fail-fast",
                    "--",
                    "--nocapture",
                ])
                .env("POSTROAD_PEERS", peers::folder(c.root));
            c.run(command, 30)
        },
    },
];

/// A line of the table at the end.
struct Line {
    name: String,
    outcome: Outcome,
    seconds: f64,
}

/// Runs the steps and prints the table; the last line is `N passed, M failed, K skipped`, where a skip is a step or
/// anything that a step's output named in a line `skipped: NAME: REASON`.
pub(crate) fn run(root: &Path, options: &Options) -> ExitCode {
    if options.list {
        for step in STEPS {
            println!("{:<12}{}", step.name, step.what);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = options.only.iter().find(|only| STEPS.iter().all(|step| step.name != **only)) {
        eprintln!("no step `{unknown}`; `cargo xtask test --list` names them");
        return ExitCode::from(2);
    }
    let interrupt = Interrupt::watch();
    let context = Context { deadline: Instant::now() + TOTAL, root, options, interrupt: &interrupt };
    let (mut lines, mut named_skips, mut peers) = (Vec::new(), Vec::<String>::new(), BTreeSet::new());
    for step in STEPS.iter().filter(|step| options.only.is_empty() || options.only.iter().any(|only| only == step.name))
    {
        println!("\n=== {}: {}", step.name, step.what);
        let started = Instant::now();
        let ran =
            if interrupt.is_set() { outcome(Outcome::Skipped("interrupted".into())) } else { (step.run)(&context) };
        lines.push(Line { name: step.name.into(), outcome: ran.outcome, seconds: started.elapsed().as_secs_f64() });
        peers.extend(ran.peers);
        for skip in ran.skipped {
            if !named_skips.contains(&skip) {
                named_skips.push(skip);
            }
        }
    }
    let (table, success) = summary(&lines, &named_skips, &peers);
    print!("{table}");
    if success && !interrupt.is_set() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn summary(lines: &[Line], named_skips: &[String], peers: &BTreeSet<String>) -> (String, bool) {
    let (mut passed, mut failed, mut skipped) = (0_usize, 0_usize, named_skips.len());
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0).max(4);
    let mut text = format!("\n{:<width$}  {:<7}  {:>7}\n", "step", "result", "seconds");
    for line in lines {
        let (word, count, more) = match &line.outcome {
            Outcome::Passed(more) => ("passed", &mut passed, more),
            Outcome::Failed(more) => ("failed", &mut failed, more),
            Outcome::Skipped(more) => ("skipped", &mut skipped, more),
        };
        *count += 1;
        let row = format!("{:<width$}  {word:<7}  {:>7.1}  {more}", line.name, line.seconds);
        text.push_str(row.trim_end());
        text.push('\n');
    }
    if !peers.is_empty() {
        text.push_str("\npeers that were run against, and what read along:\n");
        for peer in peers {
            text.push_str(&format!("  {peer}\n"));
        }
    }
    if !named_skips.is_empty() {
        text.push_str("\nskipped inside the steps:\n");
        for skip in named_skips {
            text.push_str(&format!("  {skip}\n"));
        }
    }
    text.push_str(&format!("\n{passed} passed, {failed} failed, {skipped} skipped\n"));
    (text, failed == 0)
}

fn outcome(outcome: Outcome) -> Ran {
    Ran::of(outcome)
}

fn in_process(verdict: Verdict) -> Ran {
    match verdict {
        Ok(summary) => {
            println!("{summary}");
            outcome(Outcome::Passed(String::new()))
        }
        Err(faults) => {
            for fault in &faults {
                println!("{fault}");
            }
            outcome(Outcome::Failed(format!("{} lines above", faults.len())))
        }
    }
}

fn check_features(context: &Context<'_>) -> Ran {
    let (mut failed, mut skipped) = (Vec::new(), Vec::new());
    let commands = features::commands(context.root);
    let (count, end) = (commands.len(), Instant::now() + Duration::from_secs(15 * 60));
    for (name, command) in commands {
        println!("--- {name}");
        let ran = context.run_for(command, end.saturating_duration_since(Instant::now()));
        skipped.extend(ran.skipped);
        if let Outcome::Failed(why) = ran.outcome {
            failed.push(format!("{name} ({why})"));
        }
    }
    let outcome = match failed.as_slice() {
        [] => Outcome::Passed(format!("{count} builds")),
        failed => Outcome::Failed(failed.join(", ")),
    };
    Ran { skipped, ..Ran::of(outcome) }
}

fn check_spec(context: &Context<'_>) -> Ran {
    match &context.options.xml {
        Some(folder) => in_process(spec_check::check(folder)),
        None => outcome(Outcome::Skipped(
            "the standard's XML is not part of the repository; name its folder with --xml or POSTROAD_SPEC_XML".into(),
        )),
    }
}

fn fetch_peers(context: &Context<'_>) -> Ran {
    let install = context.options.install_peers || peers::on_ci();
    let mut command =
        workspace::command(&env::current_exe().map_or_else(|_| "cargo".into(), |path| path.display().to_string()));
    command.arg("peers").args(install.then_some("--install")).current_dir(context.root);
    context.run(command, 15)
}

/// What is run under faults: by which name, and with which arguments.
const CHAOS: &[(&str, &[&str])] = &[
    ("at-most-once", &["--messages", "50000", "--guarantee", "at-most-once"]),
    ("at-least-once", &["--messages", "50000", "--guarantee", "at-least-once"]),
    ("exactly-once", &["--messages", "50000", "--guarantee", "exactly-once"]),
    ("at-least-once, by handlers", &["--face", "container", "--messages", "50000", "--guarantee", "at-least-once"]),
    ("exactly-once, by handlers", &["--face", "container", "--messages", "50000", "--guarantee", "exactly-once"]),
    ("transactions", &["--transactions", "1000"]),
];

/// Without optimization: that is built already, and quicker than to build the other.
fn run_chaos(context: &Context<'_>) -> Ran {
    let program = ["--package", "tests", "--bin", "chaos"];
    let built = context.cargo(&[&["build"], &program[..]].concat(), 15);
    if !matches!(built.outcome, Outcome::Passed(_)) {
        return built;
    }
    let (mut failed, mut told) = (Vec::new(), Vec::new());
    for (name, arguments) in CHAOS {
        println!("--- {name}");
        let run = [&["run", "--quiet"], &program[..], &["--", "--cuts", "100"], *arguments].concat();
        match context.cargo(&run, 4).outcome {
            Outcome::Passed(last) => told.push(format!("{name}: {last}")),
            Outcome::Failed(why) | Outcome::Skipped(why) => failed.push(format!("{name}: {why}")),
        }
    }
    Ran::of(if failed.is_empty() { Outcome::Passed(told.join("; ")) } else { Outcome::Failed(failed.join("; ")) })
}

fn run_examples(context: &Context<'_>) -> Ran {
    let examples = match workspace::metadata(context.root) {
        Ok(metadata) => examples(&metadata),
        Err(fault) => return outcome(Outcome::Failed(fault)),
    };
    if examples.is_empty() {
        return outcome(Outcome::Skipped("the workspace has no examples".into()));
    }
    let (mut failed, mut skipped) = (Vec::new(), Vec::new());
    for example in &examples {
        println!("--- {} of {}", example.name, example.package);
        // Built first, so that the limit is the example's own.
        for (verb, limit) in [("build", Duration::from_secs(15 * 60)), ("run", Duration::from_secs(60))] {
            let mut command = workspace::cargo(context.root);
            command.args([verb, "--quiet", "--package", &example.package, "--example", &example.name]);
            if !example.features.is_empty() {
                command.args(["--features", &example.features.join(",")]);
            }
            let ran = context.run_for(command, limit);
            skipped.extend(ran.skipped);
            if let Outcome::Failed(why) = ran.outcome {
                failed.push(format!("{} ({verb}: {why})", example.name));
                break;
            }
        }
    }
    let outcome = match failed.as_slice() {
        [] => Outcome::Passed(format!("{} examples", examples.len())),
        failed => Outcome::Failed(failed.join(", ")),
    };
    Ran { skipped, ..Ran::of(outcome) }
}

#[derive(Debug, PartialEq, Eq)]
struct Example {
    package: String,
    name: String,
    features: Vec<String>,
}

/// The examples of workspace members.
fn examples(metadata: &Value) -> Vec<Example> {
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let members = array(&metadata["workspace_members"]);
    let mut found = Vec::new();
    // A package whose examples have nobody to talk to runs them in its tests.
    let alone = |package: &&Value| package["metadata"]["postroad"]["examples-need-a-peer"] != true;
    let mine = |package: &&Value| members.contains(&package["id"]);
    for package in array(&metadata["packages"]).iter().filter(mine).filter(alone) {
        for target in array(&package["targets"])
            .iter()
            .filter(|target| array(&target["kind"]).iter().any(|kind| kind == "example"))
        {
            found.push(Example {
                package: text(&package["name"]),
                name: text(&target["name"]),
                features: array(&target["required-features"]).iter().map(text).collect(),
            });
        }
    }
    found
}

impl Context<'_> {
    fn cargo(&self, arguments: &[&str], minutes: u64) -> Ran {
        let mut command = workspace::cargo(self.root);
        command.args(arguments);
        self.run(command, minutes)
    }

    fn run(&self, command: Command, minutes: u64) -> Ran {
        self.run_for(command, Duration::from_secs(minutes * 60))
    }

    /// Runs a command for `limit`, or for what is left of the whole run's time if that is less.
    fn run_for(&self, command: Command, limit: Duration) -> Ran {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return outcome(Outcome::Failed(format!("not reached within {} minutes", TOTAL.as_secs() / 60)));
        }
        steps::run(command, limit.min(left), self.interrupt)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(name: &str, outcome: Outcome) -> Line {
        Line { name: name.into(), outcome, seconds: 1.25 }
    }

    #[test]
    fn table_ends_with_the_count_alone() {
        let lines = [
            line("fmt", Outcome::Passed(String::new())),
            line("tests", Outcome::Failed("exit status: 101".into())),
            line("spec-check", Outcome::Skipped("no XML".into())),
        ];
        let (table, success) = summary(&lines, &["rabbitmq: not installed".into()], &["rhea 3.0.5".into()].into());
        assert!(!success);
        assert_eq!(
            table.lines().collect::<Vec<_>>(),
            [
                "",
                "step        result   seconds",
                "fmt         passed       1.2",
                "tests       failed       1.2  exit status: 101",
                "spec-check  skipped      1.2  no XML",
                "",
                "peers that were run against, and what read along:",
                "  rhea 3.0.5",
                "",
                "skipped inside the steps:",
                "  rabbitmq: not installed",
                "",
                "1 passed, 1 failed, 2 skipped",
            ]
        );
    }

    #[test]
    fn out_of_time_is_a_failure_and_runs_nothing() {
        let options = Options { install_peers: false, only: Vec::new(), list: false, xml: None };
        let interrupt = Interrupt::default();
        let context =
            Context { deadline: Instant::now(), root: Path::new("."), options: &options, interrupt: &interrupt };
        let ran = context.run(Command::new("no-such-program-here"), 1);
        assert_eq!(ran.outcome, Outcome::Failed("not reached within 80 minutes".into()));
    }

    #[test]
    fn a_skip_is_no_failure() {
        let (_, success) = summary(&[line("interop", Outcome::Skipped("no peers".into()))], &[], &BTreeSet::new());
        assert!(success);
    }

    #[test]
    fn names_of_steps_are_unique() {
        let mut names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }

    #[test]
    fn examples_are_those_of_members() {
        let target = |kind: &str, name: &str| json!({"kind": [kind], "name": name, "required-features": ["tls"]});
        let metadata = json!({
            "workspace_members": ["a"],
            "packages": [
                {"id": "a", "name": "one", "targets": [target("lib", "one"), target("example", "hello")]},
                {"id": "b", "name": "two", "targets": [target("example", "other")]},
            ],
        });
        let hello = Example { package: "one".into(), name: "hello".into(), features: vec!["tls".into()] };
        assert_eq!(examples(&metadata), [hello]);
    }
}
