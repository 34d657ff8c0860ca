//! Measures the programs against cosign 2 and 3 (the same registry, the same image, the same key, in turn), and how fast runs become
//! statements.
//!
//! ```text
//!   tekseal-bench cosign --bin-dir DIR [--json FILE] [--rounds N]
//!   tekseal-bench format [--json FILE] [--rounds N]     to be built for release: the measured code is in here
//!   tekseal-bench measure PROGRAM ARG…     runs one command and prints what it cost: see `measure`
//! ```

mod contest;
mod documents;
mod format;
mod measure;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tekseal_counting::Counting;

const USAGE: &str = "usage: bench cosign|format [--json FILE] [--rounds N]";

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the command line asks for.
struct Options {
    /// Folder with the project's programs.
    programs: PathBuf,
    /// Where the rows go as JSON.
    json: Option<PathBuf>,
    /// How often each command is timed.
    rounds: usize,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((word, command)) if word == "measure" && !command.is_empty() => measure::run(command),
        Some((word, rest)) if word == "cosign" || word == "format" => match options(rest) {
            Ok(options) if word == "format" => format(&options),
            Ok(options) => compare(&options),
            Err(problem) => {
                eprintln!("bench: error: {problem}\n{USAGE}");
                ExitCode::from(2)
            }
        },
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn compare(options: &Options) -> ExitCode {
    let contest = contest::Contest::prepare(&options.programs);
    report::print_machine();
    contest.print_versions();
    let rows = contest.rows(options.rounds);
    report::print_table(&rows);
    write(options.json.as_deref(), &rows)
}

fn format(options: &Options) -> ExitCode {
    report::print_machine();
    let rows = format::run(options.rounds);
    write(options.json.as_deref(), &rows)
}

fn write(json: Option<&Path>, rows: &[report::Row]) -> ExitCode {
    let Some(path) = json else {
        return ExitCode::SUCCESS;
    };
    if let Err(e) = report::write_json(path, rows) {
        eprintln!("bench: error: writing {}: {e}", path.display());
        return ExitCode::from(3);
    }
    println!("rows are in {}", path.display());
    ExitCode::SUCCESS
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options {
        programs: PathBuf::from("out/bin"),
        json: None,
        rounds: 15,
    };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--bin-dir" => options.programs = value.into(),
            "--json" => options.json = Some(value.into()),
            "--rounds" => {
                options.rounds = value
                    .parse()
                    .ok()
                    .filter(|n| *n > 0)
                    .ok_or_else(|| format!("{value} is no number of rounds"))?;
            }
            _ => return Err(format!("there is no flag {flag}")),
        }
    }
    Ok(options)
}
