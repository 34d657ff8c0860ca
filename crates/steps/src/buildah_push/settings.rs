//! What to do, after every check that needs neither buildah nor a registry: [`Settings`] can only be made from good arguments.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, anyhow};

use super::args::{self, Args};
use super::containerfile;
use super::extra_args::{self, Command};
use super::refused;
use super::sbom::Sbom;
use super::source::Source;
use super::tls::{Tls, Trust};
use super::variables;
use crate::parameters::{Format, either, given, named, switch, wrong};
use crate::target::Image;
use crate::{Failure, files, log, registry_args};

/// The parameters, checked.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) image: Image,
    pub(super) context: PathBuf,
    pub(super) containerfile: PathBuf,
    /// The same, relative to the source.
    pub(super) containerfile_in_source: String,
    pub(super) driver: String,
    pub(super) isolation: Isolation,
    pub(super) format: Format,
    pub(super) trust: Trust,
    /// From the file first.
    pub(super) build_args: Vec<String>,
    pub(super) target_stage: Option<String>,
    pub(super) env_vars: Vec<String>,
    /// Automatic ones included.
    pub(super) labels: Vec<String>,
    /// Automatic ones included.
    pub(super) annotations: Vec<String>,
    pub(super) build_extra: Vec<String>,
    pub(super) push_extra: Vec<String>,
    pub(super) additional_tags: Vec<String>,
    pub(super) platforms: Platforms,
    pub(super) source: Option<(String, String)>,
    pub(super) timestamp: Option<String>,
    /// Name and path of each secret.
    pub(super) secrets: Vec<(String, PathBuf)>,
    pub(super) push_retries: u32,
    pub(super) log_level: Option<String>,
    pub(super) record: Option<PathBuf>,
    pub(super) sbom: Option<Sbom>,
    pub(super) push: bool,
    pub(super) squash: bool,
    pub(super) no_cache: bool,
    pub(super) hermetic: bool,
    pub(super) skip_unused_stages: bool,
    pub(super) artifact_outputs: bool,
}

/// How buildah isolates `RUN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    Chroot,
    Oci,
    Rootless,
}

/// What is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Platforms {
    /// One image, for the platform of this machine.
    Host,
    /// One image, for that platform.
    One(String),
    /// An index with an image for each.
    Index(Vec<String>),
}

const LOG_LEVELS: [&str; 7] = ["trace", "debug", "info", "warn", "error", "fatal", "panic"];
/// The longest Containerfile and file of build arguments that is read.
pub(super) const MAX_TEXT: u64 = 1024 * 1024;

impl Settings {
    /// Checks `args`; looks at files, changes nothing.
    ///
    /// # Errors
    /// Exit 2, with what is wrong, where, and what to do.
    pub(super) fn from_args(args: &Args) -> Result<Self, Failure> {
        refused::check(&args.refuse)?;
        let image = Image::parse(args.image.as_deref().unwrap_or_default())?;
        let source = Source::open(Path::new(given(&args.source).unwrap_or(".")))?;
        let context = context(&source, given(&args.context).unwrap_or("."))?;
        let containerfile = containerfile::find(&source, &context, given(&args.dockerfile))?;
        let hermetic = switch("HERMETIC", &args.hermetic, false)?;
        let push = !switch("SKIP_PUSH", &args.skip_push, false)?;
        let format = given(either(&args.buildah_format, &args.format));
        let format = named("FORMAT", format, "oci")?;
        let (labels, annotations) = marks(args, format);
        let settings = Self {
            context,
            containerfile_in_source: source.relative(&containerfile),
            containerfile,
            driver: given(&args.storage_driver).unwrap_or("overlay").to_owned(),
            isolation: named("isolation", given(&args.isolation), "chroot")?,
            format,
            trust: Trust::new(
                tls(args)?,
                registry_args::given(&args.registry.insecure)
                    .map(str::to_owned)
                    .collect(),
            ),
            build_args: variables::build_args(args, &source)?,
            target_stage: given(&args.target_stage).map(str::to_owned),
            env_vars: variables::env_vars(args)?,
            labels,
            annotations,
            build_extra: extra_args::split(
                Command::Build { hermetic },
                given(&args.build_extra_args).unwrap_or_default(),
            )?,
            push_extra: extra_args::split(
                Command::Push,
                given(&args.push_extra_args).unwrap_or_default(),
            )?,
            additional_tags: image
                .more_tags(&args::list(&args.additional_tags, &args.additional_tag))?,
            platforms: platforms(args)?,
            source: given(&args.source_url)
                .zip(given(&args.commit_sha))
                .map(|(url, sha)| (url.to_owned(), sha.to_owned())),
            timestamp: timestamp(given(&args.source_date_epoch))?,
            secrets: secrets(given(&args.additional_secret))?,
            push_retries: retries(given(&args.push_retries).unwrap_or("5"))?,
            log_level: log_level(args)?,
            record: given(&args.record).map(record).transpose()?,
            sbom: Sbom::parse(given(&args.sbom_tool), given(&args.sbom_output), &source)?,
            push,
            squash: switch("SQUASH", &args.squash, false)?,
            no_cache: switch("NO_CACHE", &args.no_cache, false)?,
            hermetic,
            skip_unused_stages: switch("SKIP_UNUSED_STAGES", &args.skip_unused_stages, true)?,
            artifact_outputs: switch("ARTIFACT_OUTPUTS", &args.artifact_outputs, false)?,
            image,
        };
        if settings.record.is_some() && !push {
            return Err(Failure::misuse(anyhow!(
                "nothing is pushed, so there is nothing to record"
            ))
            .hint("leave out --record or SKIP_PUSH"));
        }
        Ok(settings)
    }

    /// The platforms as buildah wants them, one build each; `None` is this machine's.
    pub(super) fn builds(&self) -> Vec<Option<&str>> {
        match &self.platforms {
            Platforms::Host => vec![None],
            Platforms::One(platform) => vec![Some(platform)],
            Platforms::Index(platforms) => platforms
                .iter()
                .map(|platform| Some(platform.as_str()))
                .collect(),
        }
    }
}

impl Format {
    /// buildah's word for a single manifest.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Oci => "oci",
            Self::Docker => "docker",
        }
    }

    /// The word of `buildah manifest push` for an index.
    pub(super) fn index_name(self) -> &'static str {
        match self {
            Self::Oci => "oci",
            Self::Docker => "v2s2",
        }
    }
}

impl Isolation {
    /// buildah's word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chroot => "chroot",
            Self::Oci => "oci",
            Self::Rootless => "rootless",
        }
    }
}

impl FromStr for Isolation {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "chroot" => Ok(Self::Chroot),
            "oci" => Ok(Self::Oci),
            "rootless" => Ok(Self::Rootless),
            _ => Err("chroot, oci or rootless"),
        }
    }
}

/// TLS_VERIFY, else TLSVERIFY, if one was given.
fn tls(args: &Args) -> Result<Option<Tls>, Failure> {
    let value = either(&args.tls_verify, &args.tlsverify);
    if given(value).is_none() {
        return Ok(None);
    }
    Ok(Some(if switch("TLSVERIFY", value, true)? {
        Tls::Verify
    } else {
        Tls::Insecure
    }))
}

fn context(source: &Source, context: &str) -> Result<PathBuf, Failure> {
    let path = source.path().join(context);
    match path.metadata() {
        Ok(meta) if meta.is_dir() => source.inside("CONTEXT", &path),
        Ok(_) => Err(Failure::misuse(anyhow!("CONTEXT {} is not a folder", path.display()))
            .hint("CONTEXT is a folder relative to the source; DOCKERFILE names the file")),
        Err(e) => Err(Failure::misuse(e)
            .context(format!("looking for CONTEXT {}", path.display()))
            .hint("CONTEXT is relative to the source; check that the source was fetched before this step")),
    }
}

/// Automatic labels and annotations, then the user's; what the user names is not set automatically.
fn marks(args: &Args, format: Format) -> (Vec<String>, Vec<String>) {
    let mut automatic = Vec::new();
    for (key, value) in [
        ("org.opencontainers.image.source", &args.source_url),
        ("org.opencontainers.image.revision", &args.commit_sha),
    ] {
        automatic.extend(given(value).map(|value| (key, value)));
    }
    let mut labels = automatic.clone();
    labels.extend(given(&args.image_expires_after).map(|value| ("quay.expires-after", value)));
    let mut annotations = args::list(&args.annotations, &args.annotation);
    if format == Format::Docker {
        automatic.clear();
        if !annotations.is_empty() {
            log::warn(
                "docker manifests have no annotations, those given are dropped; use FORMAT oci (--format oci) or labels",
                &[("dropped", &annotations.len())],
            );
            annotations.clear();
        }
    }
    let merge = |automatic: Vec<(&str, &str)>, user: Vec<String>| {
        let is_named = |key: &str| user.iter().any(|mark| mark.split('=').next() == Some(key));
        let mut marks: Vec<_> = automatic
            .iter()
            .filter(|(key, _)| !is_named(key))
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        marks.extend(user.iter().cloned());
        marks
    };
    (
        merge(labels, args::list(&args.labels, &args.label)),
        merge(automatic, annotations),
    )
}

/// A text file of the source.
pub(super) fn text(path: &Path, what: &str) -> Result<String, Failure> {
    let bytes = files::read(path, MAX_TEXT, what)?;
    String::from_utf8(bytes)
        .with_context(|| format!("{what} {} is not UTF-8", path.display()))
        .map_err(Failure::misuse)
}

fn platforms(args: &Args) -> Result<Platforms, Failure> {
    let clean = |list: Vec<String>| -> Vec<String> {
        list.iter()
            .map(|platform| platform.trim())
            .filter(|platform| !platform.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let single = clean(args.platform.clone());
    let index = clean(args::list(&args.platforms, &[]));
    if !single.is_empty() && !index.is_empty() {
        return Err(
            Failure::misuse(anyhow!("both PLATFORM and PLATFORMS are given"))
                .hint("PLATFORM builds one image, PLATFORMS an index; leave one of them empty"),
        );
    }
    let mut seen = Vec::new();
    for platform in single.iter().chain(&index) {
        let parts: Vec<_> = platform.split('/').collect();
        let is_name = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        };
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(is_name) {
            return Err(wrong(
                "a platform",
                platform,
                "os/architecture[/variant] in lower case, such as linux/arm64",
            ));
        }
        if seen.contains(&platform) {
            return Err(wrong("a platform", platform, "given only once"));
        }
        seen.push(platform);
    }
    Ok(match (single.len(), index.len()) {
        (0, 0) => Platforms::Host,
        (1, 0) => Platforms::One(single[0].clone()),
        (_, 0) => Platforms::Index(single),
        (_, _) => Platforms::Index(index),
    })
}

fn timestamp(value: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(value) = value else { return Ok(None) };
    match value.parse::<u32>() {
        Ok(seconds) => Ok(Some(seconds.to_string())),
        Err(_) => Err(wrong(
            "SOURCE_DATE_EPOCH",
            value,
            "a number of seconds since 1970, as `git log -1 --format=%ct` prints",
        )),
    }
}

fn secrets(path: Option<&str>) -> Result<Vec<(String, PathBuf)>, Failure> {
    let Some(path) = path.map(PathBuf::from) else {
        return Ok(Vec::new());
    };
    let unreadable = |e: std::io::Error| {
        Failure::misuse(e)
            .context(format!("reading ADDITIONAL_SECRET {}", path.display()))
            .hint("give the file, or the folder where the Secret is mounted; an empty folder is allowed")
    };
    let mut found = Vec::new();
    if path.metadata().map_err(unreadable)?.is_dir() {
        for entry in path.read_dir().map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            // A mounted Secret has links to files, and folders such as `..data` behind them.
            if file.is_file() {
                found.push(file);
            }
        }
        found.sort();
    } else {
        found.push(path.clone());
    }
    found
        .into_iter()
        .map(|file| {
            let name = file
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default()
                .to_owned();
            if name.is_empty() || file.to_string_lossy().contains([',', '"', '\n']) {
                return Err(wrong(
                    "a secret file",
                    &file.to_string_lossy(),
                    "a path without comma, quote and newline",
                ));
            }
            Ok((name, file))
        })
        .collect()
}

/// Where the record goes; better known before the build than after it.
fn record(path: &str) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(path);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if path.is_dir() || !folder.is_dir() {
        let wrong = if path.is_dir() {
            anyhow!("--record {} is a folder", path.display())
        } else {
            anyhow!(
                "--record {}: {} is not a folder",
                path.display(),
                folder.display()
            )
        };
        return Err(Failure::misuse(wrong)
            .hint("--record (TEKSEAL_RECORD) names a file in a folder that is there"));
    }
    Ok(path)
}

fn retries(value: &str) -> Result<u32, Failure> {
    value
        .parse()
        .ok()
        .filter(|count| *count <= 100)
        .ok_or_else(|| wrong("PUSH_RETRIES", value, "a number from 0 to 100"))
}

fn log_level(args: &Args) -> Result<Option<String>, Failure> {
    let verbose = switch("VERBOSE", &args.verbose, false)?;
    match given(&args.log_level) {
        Some(level) if !LOG_LEVELS.contains(&level) => Err(wrong(
            "LOG_LEVEL",
            level,
            &format!("one of {}", LOG_LEVELS.join(", ")),
        )),
        Some(level) => Ok(Some(level.to_owned())),
        None => Ok(verbose.then(|| "debug".to_owned())),
    }
}
