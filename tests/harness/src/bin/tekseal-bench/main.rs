//! Measures the programs against cosign 2 and 3 and the CLI of Kyverno (the same registry, the same image, the same key, in turn), the
//! controller against that of Tekton Chains, and how fast runs become statements.
//!
//! ```text
//!   tekseal-bench cosign --bin-dir DIR [--works a,b] [--json FILE] [--rounds N]
//!   tekseal-bench controller --bin-dir DIR [--chains DIR] [--works a,b] [--programs a,b] [--json FILE] [--rounds N]
//!   tekseal-bench format [--json FILE] [--rounds N]     to be built for release: the measured code is in here
//!   tekseal-bench measure PROGRAM ARG…     runs one command and prints what it cost: see `measure`
//! ```

mod contest;
mod controller;
mod documents;
mod format;
mod measure;
mod names;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tekseal_counting::Counting;

const USAGE: &str = "usage: bench format [--json FILE] [--rounds N]
       bench cosign [--works NAME,…] [--json FILE] [--rounds N]
       bench controller [--works NAME,…] [--programs NAME,…] [--json FILE] [--rounds N]";

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the command line asks for.
struct Options {
    /// Folder with the project's programs.
    programs: PathBuf,
    /// Where the rows go as JSON.
    json: Option<PathBuf>,
    /// How often each command is timed, where it is not as usual.
    rounds: Option<usize>,
    /// Folder with Tekton Chains' controller.
    chains: Option<PathBuf>,
    /// What is to be done; everything where nothing is named.
    works: Vec<String>,
    /// Which controllers.
    players: Vec<String>,
}

/// Columns of the table of controllers.
const CONTROLLER: [report::Column; 12] = [
    ("runs_per_s", 1),
    ("latency_p50_s", 3),
    ("latency_p95_s", 3),
    ("cpu_s_per_run", 4),
    ("idle_cpu_s", 2),
    ("peak_mib", 1),
    ("rss_mib", 1),
    ("others_cpu_s_per_run", 3),
    ("log_cpu_s_per_run", 3),
    ("api_requests", 2),
    ("registry_requests", 2),
    ("log_requests", 2),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((word, command)) if word == "measure" && !command.is_empty() => measure::run(command),
        Some((word, rest)) if ["cosign", "controller", "format"].contains(&word.as_str()) => {
            let outcome = options(word, rest).and_then(|options| match word.as_str() {
                "cosign" => compare(&options),
                "controller" => controllers(options),
                _ => Ok(format(&options)),
            });
            outcome.unwrap_or_else(|problem| {
                eprintln!("bench: error: {problem}\n{USAGE}");
                ExitCode::from(2)
            })
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn compare(options: &Options) -> Result<ExitCode, String> {
    let contest = contest::Contest::prepare(&options.programs, &options.works)?;
    println!("{}", report::machine());
    contest.print_versions();
    let rows = contest.rows(options.rounds.unwrap_or(15));
    let (policies, rest): (Vec<_>, Vec<_>) = rows
        .iter()
        .cloned()
        .partition(|row| contest::is_policy(row.work));
    let (held, rest): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|row| contest::is_held(row.work));
    let (logged, plain): (Vec<_>, Vec<_>) = rest
        .into_iter()
        .partition(|row| contest::is_logged(row.work));
    if !plain.is_empty() {
        report::print_table(&plain);
    }
    if !logged.is_empty() {
        report::print_logged(&logged);
    }
    if !held.is_empty() {
        report::print_held(&held);
    }
    if !policies.is_empty() {
        report::print_policies(&policies);
    }
    Ok(write(options.json.as_deref(), &rows))
}

fn format(options: &Options) -> ExitCode {
    println!("{}", report::machine());
    let rows = format::run(options.rounds.unwrap_or(15));
    write(options.json.as_deref(), &rows)
}

/// Numbers go to stdout as lines of JSON while they come, what is for people to stderr.
fn controllers(options: Options) -> Result<ExitCode, String> {
    let Options {
        programs,
        json,
        rounds,
        chains,
        works,
        players,
    } = options;
    let contest = controller::Match::new(&works, &players, programs, chains)?;
    eprintln!("{}", report::machine());
    let rows = contest.rows(rounds.unwrap_or(3));
    eprint!("\n{}", report::columns(&rows, &CONTROLLER));
    let Some(path) = json else {
        return Ok(ExitCode::SUCCESS);
    };
    Ok(write(Some(&path), &rows))
}

fn write(json: Option<&Path>, rows: &[report::Row]) -> ExitCode {
    let Some(path) = json else {
        return ExitCode::SUCCESS;
    };
    if let Err(e) = report::write_json(path, rows) {
        eprintln!("bench: error: writing {}: {e}", path.display());
        return ExitCode::from(3);
    }
    eprintln!("rows are in {}", path.display());
    ExitCode::SUCCESS
}

fn options(word: &str, args: &[String]) -> Result<Options, String> {
    let mut options = Options {
        programs: PathBuf::from("out/bin"),
        json: None,
        rounds: None,
        chains: None,
        works: Vec::new(),
        players: Vec::new(),
    };
    let names = |value: &String| value.split(',').map(str::to_owned).collect();
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--bin-dir" => options.programs = value.into(),
            "--json" => options.json = Some(value.into()),
            "--rounds" => {
                let rounds = value.parse().ok().filter(|n| *n > 0);
                options.rounds =
                    Some(rounds.ok_or_else(|| format!("{value} is no number of rounds"))?);
            }
            "--chains" if word == "controller" => options.chains = Some(value.into()),
            "--works" if word != "format" => options.works = names(value),
            "--programs" if word == "controller" => options.players = names(value),
            _ => return Err(format!("there is no flag {flag}")),
        }
    }
    Ok(options)
}
