//! Build arguments and environment variables, `NAME=VALUE`.
//!
//! buildah takes the value of a bare `NAME` from its own environment, and so from the step's, where passwords may be: a bare name is refused.
//! Values, and lines that are none of this, may be secret, so a message tells where they are and not what they are.

use anyhow::anyhow;

use super::args::{self, Args};
use super::settings::text;
use super::source::Source;
use crate::Failure;
use crate::parameters::given;

/// Build arguments: those of the file first, so that what was given directly wins.
///
/// # Errors
/// Exit 2 for a file outside of the source or of another form, and for an element without value.
pub(super) fn build_args(args: &Args, source: &Source) -> Result<Vec<String>, Failure> {
    let mut all = match given(&args.build_args_file) {
        Some(file) => from_file(source, file)?,
        None => Vec::new(),
    };
    all.extend(with_values(
        "BUILD_ARGS (--build-arg)",
        args::list(&args.build_args, &args.build_arg),
    )?);
    Ok(all)
}

/// Environment variables of the image.
///
/// # Errors
/// Exit 2 for an element without value.
pub(super) fn env_vars(args: &Args) -> Result<Vec<String>, Failure> {
    with_values(
        "ENV_VARS (--env-var)",
        args::list(&args.env_vars, &args.env_var),
    )
}

fn from_file(source: &Source, file: &str) -> Result<Vec<String>, Failure> {
    const PARAMETER: &str = "BUILD_ARGS_FILE";
    let path = source.inside(PARAMETER, &source.path().join(file))?;
    if !path.is_file() {
        return Err(Failure::misuse(anyhow!(
            "{PARAMETER} {} is not a file",
            path.display()
        )));
    }
    let mut all = Vec::new();
    for (at, line) in text(&path, PARAMETER)?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if !line.split_once('=').is_some_and(|(name, _)| is_name(name)) {
            return Err(Failure::misuse(anyhow!("{PARAMETER} {}, line {}, is not NAME=VALUE", path.display(), at + 1))
                .hint("a NAME has letters, digits and _ and does not begin with a digit; lines that begin with # and empty ones are left out"));
        }
        all.push(line.to_owned());
    }
    Ok(all)
}

fn is_name(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|b| is_letter(b) || b.is_ascii_digit())
}

fn with_values(parameter: &str, all: Vec<String>) -> Result<Vec<String>, Failure> {
    for (at, element) in all.iter().enumerate() {
        let has_name = element
            .split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace));
        if !has_name {
            return Err(Failure::misuse(anyhow!(
                "{parameter} has an element that is not NAME=VALUE, number {} of those that are not empty",
                at + 1
            ))
            .hint("a NAME alone would take its value from the environment of the step; write NAME= for an empty value"));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::super::args::tests::parse;
    use super::*;

    fn of_file(text: &str) -> Result<Vec<String>, Failure> {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("args"), text).expect("a file");
        let source = Source::open(folder.path()).expect("a folder");
        build_args(
            &parse(&["--build-args-file", "args"]).expect("known flags"),
            &source,
        )
    }

    #[test]
    fn a_file_has_an_argument_a_line() {
        assert_eq!(
            of_file("# c\n A=1 \r\n\n_b2=x=y z\nC=\n").expect("well formed"),
            ["A=1", "_b2=x=y z", "C="]
        );
    }

    #[test]
    fn a_bad_line_is_told_by_its_number_and_never_shown() {
        for line in [
            "s3cret",
            "2A=s3cret",
            "s3-cret=1",
            "=s3cret",
            "A B=s3cret",
            "é=s3cret",
        ] {
            let failure = of_file(&format!("A=1\n\n{line}\n")).expect_err(line);
            assert_eq!(failure.code(), crate::exit::MISUSE);
            assert!(failure.message().contains("line 3"), "{line}");
            let all = format!("{failure:?}");
            assert!(!all.contains("s3cret") && !all.contains("s3-cret"), "{all}");
        }
    }

    #[test]
    fn a_file_outside_of_the_source_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        fs::create_dir(place("source")).expect("a folder");
        fs::write(place("token"), "T=s3cret\n").expect("a file");
        symlink(place("token"), place("source/args")).expect("a link");
        let source = Source::open(&place("source")).expect("a folder");
        for file in ["args", "../token", place("token").to_str().expect("ASCII")] {
            let args = parse(&["--build-args-file", file]).expect("known flags");
            let failure = build_args(&args, &source).expect_err(file);
            assert_eq!(failure.code(), crate::exit::MISUSE);
            assert!(
                failure.message().contains("outside of the source"),
                "{file}"
            );
        }
        let args = parse(&["--build-args-file", "."]).expect("known flags");
        let failure = build_args(&args, &source).expect_err("a folder");
        assert!(failure.message().contains("not a file"));
    }

    #[test]
    fn a_name_without_value_is_refused_and_nothing_of_it_shown() {
        let source = Source::open(Path::new(".")).expect("a folder");
        for flag in ["--build-arg", "--env-var"] {
            for bad in ["s3cret", "=s3cret", "s3cret and=more"] {
                let args = parse(&[flag, "A=1", flag, bad]).expect("known flags");
                let failure = build_args(&args, &source)
                    .and_then(|_| env_vars(&args))
                    .expect_err(bad);
                assert_eq!(failure.code(), crate::exit::MISUSE);
                assert!(failure.message().contains("number 2"), "{bad}");
                assert!(failure.message().contains(flag), "{bad}");
                assert!(!format!("{failure:?}").contains("s3cret"), "{bad}");
            }
            let args = parse(&[flag, "A=", flag, "b.c=1\n2"]).expect("known flags");
            let good = build_args(&args, &source).expect("well formed").len()
                + env_vars(&args).expect("well formed").len();
            assert_eq!(good, 2);
        }
    }
}
