//! Measures the programs against cosign 2 and 3: the same registry, the same image, the same key, in turn.
//!
//! ```text
//!   tekseal-bench cosign --bin-dir DIR [--json FILE] [--rounds N]
//!   tekseal-bench measure PROGRAM ARG…     runs one command and prints what it cost: see `measure`
//! ```

mod contest;
mod measure;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: bench cosign [--json FILE] [--rounds N]";

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
        Some((word, rest)) if word == "cosign" => match options(rest) {
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
    if let Some(path) = &options.json {
        if let Err(e) = report::write_json(path, &rows) {
            eprintln!("bench: error: writing {}: {e}", path.display());
            return ExitCode::from(3);
        }
        println!("rows are in {}", path.display());
    }
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
