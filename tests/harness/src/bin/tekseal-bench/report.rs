//! Rows of numbers: medians for people, JSON for machines, and the machine they were measured on.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

/// One number of one program for one piece of work.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) work: &'static str,
    pub(crate) program: &'static str,
    pub(crate) metric: &'static str,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) n: usize,
}

impl Row {
    /// The row of these values.
    ///
    /// # Panics
    ///
    /// When there are none.
    pub(crate) fn of(
        work: &'static str,
        program: &'static str,
        metric: &'static str,
        mut values: Vec<f64>,
    ) -> Self {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let median = f64::midpoint(values[(n - 1) / 2], values[n / 2]);
        Self {
            work,
            program,
            metric,
            median,
            min: values[0],
            max: values[n - 1],
            n,
        }
    }
}

/// Adds how much longer one work of ours takes than another: the differences of their medians.
pub(crate) fn add_difference(rows: &mut Vec<Row>, work: &'static str, of: (&str, &str)) {
    for metric in ["wall_s", "cpu_s"] {
        let find = |work| {
            rows.iter()
                .find(|row| row.work == work && row.program == "tekseal" && row.metric == metric)
                .cloned()
        };
        if let (Some(longer), Some(shorter)) = (find(of.0), find(of.1)) {
            let difference = longer.median - shorter.median;
            let row = Row::of(work, longer.program, metric, vec![difference]);
            rows.push(Row { n: longer.n, ..row });
        }
    }
}

/// Cores, processor and kernel.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "machine: {cores} cores, {model}, Linux {}, load {load} at the start",
        kernel.trim()
    )
}

/// Prints a line for each work and program with the medians, and the range of the wall time.
pub(crate) fn print_table(rows: &[Row]) {
    let (order, cells) = by_line(rows);
    println!(
        "\n{:<16} {:<8} {:>9} {:>19} {:>9} {:>9} {:>8} {:>11} {:>11} {:>10}",
        "work",
        "program",
        "wall_s",
        "(min-max)",
        "cpu_s",
        "peak_mib",
        "requests",
        "round_trips",
        "connections",
        "bytes"
    );
    for (work, program) in order {
        let show = |metric, digits: usize| {
            cells
                .get(&(work, program, metric))
                .map_or("-".to_owned(), |row| format!("{:.digits$}", row.median))
        };
        let range = cells
            .get(&(work, program, "wall_s"))
            .map_or(String::new(), |row| {
                format!("({:.4}-{:.4})", row.min, row.max)
            });
        println!(
            "{work:<16} {program:<8} {:>9} {range:>19} {:>9} {:>9} {:>8} {:>11} {:>11} {:>10}",
            show("wall_s", 4),
            show("cpu_s", 4),
            show("peak_mib", 1),
            show("requests", 0),
            show("round_trips", 0),
            show("connections", 0),
            show("bytes", 0)
        );
    }
    println!(
        "\nsign = put one image signature onto the registry with an encrypted key; for tekseal the sum of sign-only and upload-only."
    );
    println!(
        "plain = an unencrypted PKCS#8 key; cosign has no plain keys, so these rows are without it."
    );
    println!(
        "derive = sign-only less sign-only-plain (medians): what opening the encrypted key costs. public-key = cosign opening it with the same parameters."
    );
}

/// Prints the same for signatures that are witnessed, with the requests to each server.
pub(crate) fn print_logged(rows: &[Row]) {
    const COLUMNS: [Column; 9] = [
        ("wall_s", 4),
        ("cpu_s", 4),
        ("peak_mib", 1),
        ("round_trips", 0),
        ("requests", 0),
        ("registry_requests", 0),
        ("log_requests", 0),
        ("authority_requests", 0),
        ("connections", 0),
    ];
    print!("\n{}", columns(rows, &COLUMNS));
    println!(
        "\nsign-logged = put one image signature (encrypted key) onto the registry with an entry of a log, and stamped: with the time of an authority; for tekseal both programs."
    );
    println!(
        "v1 = Rekor v1, under a tag. v2 = Rekor v2, in a bundle, which cosign 2 cannot. Most of wall_s is the log's own interval; see docs/performance.md."
    );
}

/// Prints the same for keys that somebody else holds, with what they were asked.
pub(crate) fn print_held(rows: &[Row]) {
    const COLUMNS: [Column; 10] = [
        ("wall_s", 4),
        ("cpu_s", 4),
        ("peak_mib", 1),
        ("round_trips", 0),
        ("registry_requests", 0),
        ("vault_requests", 0),
        ("key_reads", 0),
        ("sign_calls", 0),
        ("fulcio_requests", 0),
        ("log_requests", 0),
    ];
    print!("\n{}", columns(rows, &COLUMNS));
    println!(
        "\nsign-vault = put one image signature onto the registry with a key in Vault; -20: of 20 images in one call. sign-vault-1000 = tekseal-sign alone, 1,000 payloads of one folder; cosign signs nothing that it does not store."
    );
    println!(
        "sign-keyless = the same with a certificate by Fulcio and an entry in Rekor v1; keyless-batch-100: of 100 images in one call, once each. wall_s and cpu_s are the share of one image, the others are those of the call; key_reads and sign_calls are Vault's audit log."
    );
}

/// Prints the same for images that are judged by policies, with what is shared by all images of a call.
pub(crate) fn print_policies(rows: &[Row]) {
    const COLUMNS: [Column; 8] = [
        ("wall_s", 4),
        ("cpu_s", 4),
        ("peak_mib", 1),
        ("requests", 2),
        ("requests_oci_1_1", 2),
        ("round_trips", 0),
        ("connections", 0),
        ("bytes", 0),
    ];
    print!("\n{}", columns(rows, &COLUMNS));
    println!(
        "\npolicy-check = judge one image with a signature and two attestations by the builder of its provenance v0.2; for cosign both of verify and verify-attestation."
    );
    println!(
        "policy-500 = 500 such images in one call (cosign: in two); wall_s, cpu_s and requests are the share of one image, the others are those of the call. Who needs more than 10 s for a call is measured once; requests and connections are those of a call with 50 images."
    );
}

/// A column of [`columns`]: the metric, and how many digits it has after the point.
pub(crate) type Column = (&'static str, usize);

/// A line for each work and program, with the median and (from two rounds on) the range of each of these metrics. What no row has gets no
/// column.
pub(crate) fn columns(rows: &[Row], columns: &[Column]) -> String {
    let (order, cells) = by_line(rows);
    let has = |metric| rows.iter().any(|row| row.metric == metric);
    let columns: Vec<_> = columns
        .iter()
        .filter(|(metric, _)| has(*metric))
        .copied()
        .collect();
    let mut lines = vec![vec!["work".to_owned(), "program".to_owned()]];
    lines[0].extend(columns.iter().map(|(metric, _)| (*metric).to_owned()));
    for (work, program) in order {
        let mut line = vec![work.to_owned(), program.to_owned()];
        for &(metric, digits) in &columns {
            let row = cells.get(&(work, program, metric));
            line.push(row.map_or("-".to_owned(), |row| match row.n {
                1 => format!("{:.digits$}", row.median),
                _ => format!(
                    "{:.digits$} ({:.digits$}-{:.digits$})",
                    row.median, row.min, row.max
                ),
            }));
        }
        lines.push(line);
    }
    let width = |at: usize| lines.iter().map(|line| line[at].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<_> = line
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Work and program of each line, and what stands in it by metric.
type Cells<'a> = BTreeMap<(&'static str, &'static str, &'static str), &'a Row>;

fn by_line(rows: &[Row]) -> (Vec<(&'static str, &'static str)>, Cells<'_>) {
    let mut order = Vec::new();
    let mut cells = Cells::new();
    for row in rows {
        if !order.contains(&(row.work, row.program)) {
            order.push((row.work, row.program));
        }
        cells.insert((row.work, row.program, row.metric), row);
    }
    (order, cells)
}

/// Writes the rows as a JSON list.
pub(crate) fn write_json(path: &Path, rows: &[Row]) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(rows)?;
    text.push('\n');
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        let row = Row::of("sign", "tekseal", "wall_s", vec![3.0, 1.0, 2.0]);
        assert_eq!((row.median, row.min, row.max, row.n), (2.0, 1.0, 3.0, 3));
        assert_eq!(
            Row::of("sign", "tekseal", "wall_s", vec![4.0, 1.0, 2.0, 3.0]).median,
            2.5
        );
    }
    #[test]
    fn columns_have_a_range_where_there_is_one_and_are_none_without_a_value() {
        let rows = [
            Row::of("drain", "a", "runs_per_s", vec![1.0, 3.0, 2.0]),
            Row::of("drain", "a", "peak_mib", vec![20.25]),
            Row::of("idle", "b", "peak_mib", vec![7.0]),
        ];
        let text = columns(
            &rows,
            &[("runs_per_s", 1), ("log_requests", 2), ("peak_mib", 0)],
        );
        let wanted = "work   program  runs_per_s     peak_mib\n\
                      drain  a        2.0 (1.0-3.0)  20\n\
                      idle   b        -              7\n";
        assert_eq!(text, wanted);
    }
}
