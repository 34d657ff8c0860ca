//! Finds the Containerfile, and reads in it which images a build starts from.
//!
//! Only as much is read as is needed to pull base images before a build without network, and to say in the record which they were:
//! `FROM`, `ARG` before and between stages, `--from=`, and `ADD` of a URL. buildah stays the judge of everything else.
//!
//! Specification: <https://github.com/containers/common/blob/main/docs/Containerfile.5.md>.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::settings::MAX_TEXT;
use super::source::Source;
use crate::{Failure, log};

/// The name that is looked for when nobody gave one.
const DEFAULT: &str = "./Dockerfile";

/// Finds the file, and where it really lies: relative to the source, else to the context; when `given` is the default, `Containerfile` is tried after it.
///
/// # Errors
/// Exit 2 when no file is there, every place is named; when it cannot be read; when it is a link that leads out of the source.
pub(super) fn find(
    source: &Source,
    context: &Path,
    given: Option<&str>,
) -> Result<PathBuf, Failure> {
    let inside = |path: PathBuf| source.inside("DOCKERFILE", &path);
    let given = given.unwrap_or(DEFAULT);
    let is_default = matches!(given, DEFAULT | "Dockerfile");
    let names = if is_default {
        vec![given, "Containerfile"]
    } else {
        vec![given]
    };
    let mut looked = Vec::new();
    for name in names {
        let in_source = source.path().join(name);
        let in_context = context.join(name);
        match (is_readable(&in_source)?, is_readable(&in_context)?) {
            (true, true) => {
                let taken = inside(in_source)?;
                // Outside of the source nothing is read, not even to compare.
                if let Ok(left) = inside(in_context) {
                    warn_if_different(&taken, &left);
                }
                return Ok(taken);
            }
            (true, false) => return inside(in_source),
            (false, true) => return inside(in_context),
            (false, false) => {}
        }
        for path in [in_source, in_context] {
            let path = path.display().to_string();
            if !looked.contains(&path) {
                looked.push(path);
            }
        }
    }
    Err(Failure::misuse(anyhow!("no Containerfile, looked for {}", looked.join(", ")))
        .hint("DOCKERFILE is relative to the source, then to CONTEXT; check both parameters and that the source was fetched"))
}

fn is_readable(path: &Path) -> Result<bool, Failure> {
    let unreadable = |error: anyhow::Error| {
        Failure::misuse(error)
            .context(format!("reading the Containerfile {}", path.display()))
            .hint("it must be a file that the user of this step may read")
    };
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => fs::File::open(path)
            .map(|_| true)
            .map_err(|e| unreadable(e.into())),
        Ok(_) => Err(unreadable(anyhow!("it is not a file"))),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(false)
        }
        Err(e) => Err(unreadable(e.into())),
    }
}

fn warn_if_different(taken: &Path, left: &Path) {
    if taken != left && !has_same_text(taken, left).unwrap_or(false) {
        log::warn(
            "two different Containerfiles, the one of the source is taken",
            &[("taken", &taken.display()), ("left", &left.display())],
        );
    }
}

/// Whether two files are equal, up to the length from which on neither is used as a Containerfile.
fn has_same_text(one: &Path, other: &Path) -> io::Result<bool> {
    let (length, other_length) = (fs::metadata(one)?.len(), fs::metadata(other)?.len());
    if length != other_length || length > MAX_TEXT {
        return Ok(false);
    }
    let read = |path: &Path| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(path)?
            .take(MAX_TEXT)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    Ok(read(one)? == read(other)?)
}

/// What a Containerfile takes from outside, as far as it says so.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outside {
    /// Images of `FROM` and `--from=`, each once, in order.
    pub(super) images: Vec<String>,
    /// The first `ADD` of a URL.
    pub(super) download: Option<String>,
}

/// Reads `text` with the values of build arguments (`NAME=VALUE`) and the platform that is built for.
pub(super) fn outside(text: &str, build_args: &[String], platform: Option<&str>) -> Outside {
    let mut known = platform_args(platform);
    let given: BTreeMap<_, _> = build_args
        .iter()
        .filter_map(|arg| arg.split_once('='))
        .collect();
    let mut stages: Vec<String> = Vec::new();
    let mut found = Outside::default();
    for words in instructions(text) {
        let Some((instruction, rest)) = words.split_first() else {
            continue;
        };
        match instruction.to_ascii_uppercase().as_str() {
            // Arguments of a stage do not reach FROM.
            "ARG" if stages.is_empty() => {
                for arg in rest {
                    let (name, default) = arg.split_once('=').unwrap_or((arg, ""));
                    let value = match given.get(name) {
                        Some(value) => (*value).to_owned(),
                        None => substitute(unquoted(default), &known),
                    };
                    known.insert(name.to_owned(), value);
                }
            }
            "FROM" => {
                let mut rest = rest.iter().filter(|word| !word.starts_with("--"));
                let image = substitute(unquoted(rest.next().map_or("", String::as_str)), &known);
                found.image(&image, &stages);
                let name = match (rest.next(), rest.next()) {
                    (Some(word), Some(name)) if word.eq_ignore_ascii_case("as") => {
                        name.to_lowercase()
                    }
                    _ => stages.len().to_string(),
                };
                stages.push(name);
            }
            "COPY" | "RUN" | "ADD" => {
                for word in rest.iter().take_while(|word| word.starts_with("--")) {
                    if let Some(from) = from_of(word) {
                        found.image(&substitute(from, &known), &stages);
                    }
                }
                let is_url = |word: &&String| word.contains("://") || word.starts_with("git@");
                if instruction.eq_ignore_ascii_case("ADD") && found.download.is_none() {
                    found.download = rest.iter().find(is_url).cloned();
                }
            }
            _ => {}
        }
    }
    found
}

impl Outside {
    fn image(&mut self, name: &str, stages: &[String]) {
        let is_stage = stages
            .iter()
            .enumerate()
            .any(|(at, stage)| *stage == name.to_lowercase() || at.to_string() == name);
        if !name.is_empty()
            && name != "scratch"
            && !is_stage
            && !self.images.iter().any(|known| known == name)
        {
            self.images.push(name.to_owned());
        }
    }
}

/// The image or stage in `--from=X` and `--mount=type=bind,from=X,…`.
fn from_of(word: &str) -> Option<&str> {
    if let Some(from) = word.strip_prefix("--from=") {
        return Some(from);
    }
    word.strip_prefix("--mount=")?
        .split(',')
        .find_map(|part| part.strip_prefix("from="))
}

/// Instructions as words: continued lines joined, comments and here-documents left out.
fn instructions(text: &str) -> Vec<Vec<String>> {
    let escape = if escape_directive(text) { '`' } else { '\\' };
    let mut all = Vec::new();
    let mut current = String::new();
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(part) = line.strip_suffix(escape) {
            current.push_str(part);
            current.push(' ');
            continue;
        }
        current.push_str(line);
        let words: Vec<String> = current.split_whitespace().map(str::to_owned).collect();
        current.clear();
        for end in here_documents(&words) {
            let _ = lines
                .by_ref()
                .find(|line| line.trim_start_matches('\t') == end);
        }
        all.push(words);
    }
    all
}

/// `# escape=`` ` `` ` among the directives at the top.
fn escape_directive(text: &str) -> bool {
    text.lines()
        .map_while(|line| line.trim().strip_prefix('#'))
        .filter_map(|directive| directive.split_once('='))
        .any(|(name, value)| name.trim().eq_ignore_ascii_case("escape") && value.trim() == "`")
}

/// The last lines of the here-documents that follow an instruction.
fn here_documents(words: &[String]) -> Vec<String> {
    let takes_them = words.first().is_some_and(|word| {
        ["RUN", "COPY", "ADD"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
    });
    if !takes_them {
        return Vec::new();
    }
    let end = |word: &String| {
        let name = word.strip_prefix("<<")?;
        let name = unquoted(name.strip_prefix('-').unwrap_or(name));
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_name.then(|| name.to_owned())
    };
    words.iter().filter_map(end).collect()
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text
            .strip_prefix(quote)
            .and_then(|text| text.strip_suffix(quote))
        {
            return inner;
        }
    }
    text
}

/// Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+alternative}`; what is unknown is empty.
fn substitute(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let value = |name: &str| known.get(name).map_or("", String::as_str);
        if let Some((inner, left)) = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'))
        {
            rest = left;
            let (name, word) = inner.split_once(':').unwrap_or((inner, ""));
            match (word.strip_prefix('-'), word.strip_prefix('+')) {
                (Some(default), _) if value(name).is_empty() => out.push_str(default),
                (_, Some(alternative)) if !value(name).is_empty() => out.push_str(alternative),
                (_, Some(_)) => {}
                _ => out.push_str(value(name)),
            }
            continue;
        }
        let end = after
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(after.len());
        out.push_str(value(&after[..end]));
        rest = &after[end..];
    }
    out + rest
}

/// The arguments that buildah itself knows before the first stage.
fn platform_args(platform: Option<&str>) -> BTreeMap<String, String> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    };
    let host = format!("linux/{arch}");
    let mut args = BTreeMap::new();
    for (prefix, platform) in [
        ("BUILD", host.as_str()),
        ("TARGET", platform.unwrap_or(&host)),
    ] {
        let mut parts = platform.splitn(3, '/');
        args.insert(format!("{prefix}PLATFORM"), platform.to_owned());
        for part in ["OS", "ARCH", "VARIANT"] {
            args.insert(
                format!("{prefix}{part}"),
                parts.next().unwrap_or_default().to_owned(),
            );
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        folder
    }

    fn found(
        files: &[(&str, &str)],
        context: &str,
        given: Option<&str>,
    ) -> Result<String, Failure> {
        let folder = tree(files);
        let source = Source::open(folder.path())?;
        let path = find(&source, &folder.path().join(context), given)?;
        let path = path.strip_prefix(folder.path()).expect("inside the source");
        Ok(path.to_string_lossy().replace("./", ""))
    }

    #[test]
    fn the_source_goes_before_the_context_and_dockerfile_before_containerfile() {
        for (files, given, wanted) in [
            (
                &[("Dockerfile", "a"), ("app/Dockerfile", "b")] as &[_],
                None,
                "Dockerfile",
            ),
            (
                &[("app/Dockerfile", "b"), ("Containerfile", "a")],
                None,
                "app/Dockerfile",
            ),
            (&[("app/Containerfile", "b")], None, "app/Containerfile"),
            (
                &[("Containerfile", "b"), ("app/x", "")],
                Some("./Dockerfile"),
                "Containerfile",
            ),
            (&[("app/my.file", "b")], Some("my.file"), "app/my.file"),
        ] {
            assert_eq!(found(files, "app", given).expect("one is there"), wanted);
        }
    }

    #[test]
    fn a_missing_containerfile_names_every_place() {
        let failure = found(&[("Containerfile", "x")], "app", Some("other"))
            .expect_err("no fallback for a given name");
        assert_eq!(failure.code(), crate::exit::MISUSE);
        assert!(
            failure.message().contains("app/other"),
            "{}",
            failure.message()
        );
        assert!(
            found(&[("Dockerfile/x", "")], ".", None).is_err(),
            "a folder is no Containerfile"
        );
    }

    #[test]
    fn a_link_out_of_the_source_is_no_containerfile() {
        let folder = tree(&[
            ("source/app/x", ""),
            ("source/real", "FROM scratch\n"),
            ("secret", "x"),
        ]);
        let place = |name: &str| folder.path().join(name);
        let source = Source::open(&place("source")).expect("a folder");
        for link in ["source/Dockerfile", "source/app/other"] {
            symlink(place("secret"), place(link)).expect("a link");
        }
        symlink("../real", place("source/app/good")).expect("a link");
        let find = |given| find(&source, &place("source/app"), given);
        for given in [None, Some("other"), Some("../secret")] {
            let failure = find(given).expect_err("outside");
            assert_eq!(failure.code(), crate::exit::MISUSE);
            assert!(
                failure.message().contains("secret, outside of the source"),
                "{}",
                failure.message()
            );
        }
        let found = find(Some("good")).expect("inside");
        assert_eq!(source.relative(&found), "real");
    }

    #[test]
    fn only_small_files_of_one_length_are_compared() {
        let folder = tree(&[
            ("a", "FROM a"),
            ("b", "FROM a"),
            ("c", "FROM c"),
            ("d", "FROM"),
        ]);
        let same = |one: &str, other: &str| {
            has_same_text(&folder.path().join(one), &folder.path().join(other)).expect("readable")
        };
        assert!(same("a", "b"));
        assert!(!same("a", "c"));
        assert!(!same("a", "d"));
        // As sparse files, they take no room; to read them would take all memory.
        for name in ["large", "larger"] {
            let file = fs::File::create(folder.path().join(name)).expect("a file");
            file.set_len(1 << 40).expect("a sparse file");
        }
        assert!(!same("large", "larger"));
    }

    #[test]
    fn base_images_are_found_and_stages_are_not() {
        let text = r#"# syntax=docker/dockerfile:1
ARG BASE=quay.io/a/b TAG="1.2"
ARG OTHER=${BASE}-x
FROM --platform=$BUILDPLATFORM ${BASE}:$TAG AS Build
ARG TAG=9
RUN --mount=type=bind,from=quay.io/tools/t:1,target=/t echo \
    # a comment inside
    FROM nowhere
RUN <<EOF
FROM here/document
EOF
FROM scratch
from build as two
COPY --from=0 /a /a
COPY --from=two /a /a
COPY --from=quay.io/c/d@sha256:00 --chown=1 /a /a
FROM quay.io/e/f:${TAG:+x}
FROM $OTHER
FROM example/${TARGETARCH}
"#;
        let images = outside(
            text,
            &["TAG=2".to_owned(), "UNUSED=1".to_owned()],
            Some("linux/arm64/v8"),
        )
        .images;
        assert_eq!(
            images,
            [
                "quay.io/a/b:2",
                "quay.io/tools/t:1",
                "quay.io/c/d@sha256:00",
                "quay.io/e/f:x",
                "quay.io/a/b-x",
                "example/arm64"
            ]
        );
    }

    #[test]
    fn defaults_and_alternatives_are_substituted() {
        let known = BTreeMap::from([
            ("A".to_owned(), "1".to_owned()),
            ("E".to_owned(), String::new()),
        ]);
        for (text, wanted) in [
            ("x$A-y", "x1-y"),
            ("${A}${B}", "1"),
            ("${E:-d}", "d"),
            ("${A:-d}", "1"),
            ("${A:+alt}${E:+no}", "alt"),
            ("$", ""),
            ("${open", "{open"),
        ] {
            assert_eq!(substitute(text, &known), wanted, "{text}");
        }
    }

    #[test]
    fn a_download_is_seen() {
        assert_eq!(outside("FROM scratch\nADD a b\n", &[], None).download, None);
        let download = outside(
            "FROM scratch\nADD --chown=1 https://x.example/f /f\n",
            &[],
            None,
        )
        .download;
        assert_eq!(download.as_deref(), Some("https://x.example/f"));
    }

    #[test]
    fn odd_texts_do_no_harm() {
        for text in [
            "",
            "FROM",
            "FROM \\",
            "ARG",
            "\u{feff}FROM a",
            "RUN <<",
            "RUN <<EOF",
            "COPY --from=",
            "# escape=`\nFROM `\na",
        ] {
            let _ = outside(text, &["=".to_owned()], Some("/"));
        }
        assert_eq!(
            outside("# escape=`\nFROM `\na/b\n", &[], None).images,
            ["a/b"]
        );
    }
}
