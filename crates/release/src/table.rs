//! The table at the end: what was released, by digest, and how large it is.

use std::io::Write as _;

use tekseal_steps::Failure;

use crate::images::Released;

/// Prints the table to stdout.
pub(crate) fn print(images: &[Released], bundles: &[Released]) -> Result<(), Failure> {
    std::io::stdout()
        .lock()
        .write_all(text(images, bundles).as_bytes())
        .map_err(|e| Failure::outside(e).context("writing to stdout"))
}

fn text(images: &[Released], bundles: &[Released]) -> String {
    let all = || images.iter().chain(bundles);
    let width = all().map(|one| one.name.len()).max().unwrap_or_default();
    let mut text = format!(
        "{:width$}  {:>8}  {:>8}  REFERENCE\n",
        "NAME", "FETCHED", "UNPACKED"
    );
    for one in all() {
        text += &format!(
            "{:width$}  {:>8}  {:>8}  {}\n",
            one.name,
            megabytes(one.packed),
            megabytes(one.unpacked),
            one.by_digest()
        );
    }
    text
}

/// Rounded up, so that nothing looks smaller than it is.
fn megabytes(bytes: u64) -> String {
    let hundredths = bytes.div_ceil(10_000);
    format!("{}.{:02} MB", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use tekseal_core::Digest;

    use super::*;

    #[test]
    fn sizes_are_rounded_up_and_columns_stand_below_each_other() {
        assert_eq!(
            ["0.00 MB", "0.01 MB", "6.00 MB", "6.01 MB"],
            [0, 1, 6_000_000, 6_000_001]
                .map(megabytes)
                .each_ref()
                .map(String::as_str)
        );
        let digest = Digest::of(b"x");
        let one = |name: &str| Released {
            name: name.to_owned(),
            repository: format!("r.example/{name}"),
            digest: digest.clone(),
            packed: 2_500_000,
            unpacked: 5_990_000,
        };
        let table = text(&[one("controller")], &[one("tasks")]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "NAME         FETCHED  UNPACKED  REFERENCE");
        assert_eq!(
            lines[2],
            format!("tasks        2.50 MB   5.99 MB  r.example/tasks@{digest}")
        );
    }
}
