//! Builds: one call of buildah for each platform, base images first where the build is to have no network.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::anyhow;
use tekseal_core::{Digest, ImageRef, Repository};

use super::complaint::{self, Cause, Doing};
use super::containerfile::{self, Outside};
use super::extra_args;
use super::record;
use super::settings::{self, Isolation, Platforms, Settings};
use super::tls::Tls;
use super::tool::{Network, Tool, words};
use crate::child::Stdout;
use crate::{Failure, log};

/// What was built, in buildah's storage.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) what: What,
    /// Base images as they were used; only if a record is wanted.
    pub(super) bases: Vec<Base>,
}

/// One image or an index.
#[derive(Debug)]
pub(super) enum What {
    /// By its id.
    Image(String),
    /// By its name in the storage.
    Index(String),
}

/// A base image and the digest of its manifest, as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) repository: Repository,
    pub(super) digest: Digest,
}

/// Builds all that `settings` asks for.
///
/// # Errors
/// Exit 1 if the build fails; 2 if base images are refused or an option is unknown; 3 if a registry is down or the disk is full.
pub(super) async fn build(tool: &mut Tool, settings: &Settings) -> Result<Built, Failure> {
    let list = match &settings.platforms {
        Platforms::Host | Platforms::One(_) => None,
        Platforms::Index(_) => Some(format!("localhost/tekseal-{}", record::uuid()?)),
    };
    let mut bases = Vec::new();
    let images = build_all(tool, settings, list.as_deref(), &mut bases).await;
    if let (Err(_), Some(list)) = (&images, &list) {
        forget(tool, list).await;
    }
    let image = images?;
    let what = match list {
        Some(list) => What::Index(list),
        None => What::Image(image),
    };
    Ok(Built { what, bases })
}

/// Builds for each platform, and gives the id of the last image.
async fn build_all(
    tool: &mut Tool,
    settings: &Settings,
    list: Option<&str>,
    bases: &mut Vec<Base>,
) -> Result<String, Failure> {
    let text = settings::text(&settings.containerfile, "Containerfile")?;
    let mut image = String::new();
    for (at, platform) in settings.builds().into_iter().enumerate() {
        let outside = containerfile::outside(&text, &settings.build_args, platform);
        if settings.hermetic {
            prefetch(tool, settings, &outside, platform).await?;
        }
        let iidfile = tool.scratch.path().join(format!("image-id-{at}"));
        let mut args = arguments(settings, platform, list);
        args.extend(tool.access(tls(settings, &outside)));
        image = build_one(tool, settings, args, &iidfile).await?;
        log::info(
            "built",
            &[
                ("image-id", &image),
                ("platform", &platform.unwrap_or("host")),
                ("containerfile", &settings.containerfile.display()),
            ],
        );
        if settings.record.is_some() {
            find_bases(tool, &outside, bases).await?;
        }
    }
    Ok(image)
}

/// Removes the index from the storage, where nobody needs it any more; at worst a few bytes stay.
pub(super) async fn forget(tool: &mut Tool, list: &str) {
    match tool
        .call(
            Network::Shared,
            words(&["manifest", "rm", list]),
            Stdout::Keep,
        )
        .await
    {
        Ok(ended) if ended.is_success() => {}
        Ok(ended) => log::warn(
            "index left in buildah's storage",
            &[("name", &list), ("reason", &ended.status())],
        ),
        Err(e) => log::warn(
            "index left in buildah's storage",
            &[("name", &list), ("reason", &e.message())],
        ),
    }
}

async fn build_one(
    tool: &mut Tool,
    settings: &Settings,
    mut args: Vec<OsString>,
    iidfile: &Path,
) -> Result<String, Failure> {
    let what = format!("building {}", settings.containerfile.display());
    args.extend(["--iidfile".into(), iidfile.into()]);
    args.extend(settings.build_extra.iter().map(OsString::from));
    args.push(settings.context.clone().into());
    let network = tool.network_of_build();
    let mut ended = tool.call(network, args.clone(), Stdout::Log).await?;
    if !ended.is_success() && tool.take_vfs_instead(&ended) {
        ended = tool.call(network, args, Stdout::Log).await?;
    }
    if !ended.is_success() {
        return Err(complaint::of_build(&ended).failure(Doing::Building, &ended, what));
    }
    let id = fs::read_to_string(iidfile).unwrap_or_default();
    match id.trim().parse::<Digest>() {
        Ok(id) => Ok(id.hex().to_owned()),
        Err(_) => Err(Failure::no(anyhow!("buildah ended well but wrote no image id"))
            .context(what)
            .hint("look for an option in BUILD_EXTRA_ARGS that keeps buildah from building, such as --help")),
    }
}

/// Whether registries must show a valid certificate in a build. An option that names more images than the Containerfile does is as good as
/// another registry.
fn tls(settings: &Settings, outside: &Outside) -> Tls {
    match settings.trust.said() {
        None if extra_args::names_images(&settings.build_extra) => Tls::Verify,
        _ => settings.trust.of_all(&outside.images),
    }
}

/// Everything but the way to registries, the extra arguments and the context.
fn arguments(settings: &Settings, platform: Option<&str>, list: Option<&str>) -> Vec<OsString> {
    let mut args = words(&[
        "build",
        "--isolation",
        settings.isolation.name(),
        "--format",
        settings.format.name(),
        "--file",
    ]);
    args.push(settings.containerfile.clone().into());
    for (option, value) in [
        ("--platform", platform),
        ("--manifest", list),
        ("--target", settings.target_stage.as_deref()),
        ("--timestamp", settings.timestamp.as_deref()),
    ] {
        if let Some(value) = value {
            args.extend(words(&[option, value]));
        }
    }
    for (option, is_set) in [
        ("--squash", settings.squash),
        ("--no-cache", settings.no_cache),
        ("--skip-unused-stages=false", !settings.skip_unused_stages),
        ("--pull=never", settings.hermetic),
        // buildah as a whole has no network then; this keeps it from trying to make one, which chroot isolation never does and refuses.
        (
            "--network=none",
            settings.hermetic && settings.isolation != Isolation::Chroot,
        ),
    ] {
        if is_set {
            args.push(option.into());
        }
    }
    for (option, values) in [
        ("--build-arg", &settings.build_args),
        ("--env", &settings.env_vars),
        ("--label", &settings.labels),
        ("--annotation", &settings.annotations),
    ] {
        for value in values {
            args.extend(words(&[option, value]));
        }
    }
    for (name, path) in &settings.secrets {
        let mut value = OsString::from(format!("id={name},src="));
        value.push(path);
        args.extend(["--secret".into(), value]);
    }
    args
}

/// Pulls the images that the build starts from.
async fn prefetch(
    tool: &mut Tool,
    settings: &Settings,
    outside: &Outside,
    platform: Option<&str>,
) -> Result<(), Failure> {
    if let Some(url) = &outside.download {
        return Err(Failure::misuse(anyhow!(
            "HERMETIC is asked for, but {} has an ADD of {url}",
            settings.containerfile.display()
        ))
        .hint("fetch the file in a task before and COPY it, or set HERMETIC to false"));
    }
    for image in &outside.images {
        let mut args = words(&["pull", "--policy", "missing"]);
        args.extend(tool.access(settings.trust.of_all(std::slice::from_ref(image))));
        if let Some(platform) = platform {
            args.extend(words(&["--platform", platform]));
        }
        args.push(image.into());
        let mut ended = tool
            .call(Network::Shared, args.clone(), Stdout::Log)
            .await?;
        if !ended.is_success() && tool.take_vfs_instead(&ended) {
            ended = tool.call(Network::Shared, args, Stdout::Log).await?;
        }
        if !ended.is_success() {
            return Err(Cause::of(&ended).failure(
                Doing::Pulling,
                &ended,
                format!("pulling the base image {image}"),
            ));
        }
        log::info("pulled", &[("image", image)]);
    }
    Ok(())
}

/// Asks the storage which manifests the base images are. An image of a stage that was left out is not there; that is no failure.
async fn find_bases(
    tool: &mut Tool,
    outside: &Outside,
    bases: &mut Vec<Base>,
) -> Result<(), Failure> {
    for image in &outside.images {
        let args = words(&[
            "inspect",
            "--type",
            "image",
            "--format",
            "{{.FromImage}} {{.FromImageDigest}}",
            image,
        ]);
        let ended = tool.call(Network::Shared, args, Stdout::Keep).await?;
        match base(&ended.answer) {
            Some(base) if ended.is_success() && !bases.contains(&base) => bases.push(base),
            Some(_) => {}
            None => log::warn(
                "base image left out of the record, its digest is not known",
                &[("image", image)],
            ),
        }
    }
    Ok(())
}

fn base(answer: &str) -> Option<Base> {
    let (name, digest) = answer.trim().split_once(' ')?;
    Some(Base {
        repository: ImageRef::parse(name).ok()?.repository,
        digest: digest.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::args::tests::parse;
    use super::*;

    fn arguments_of(flags: &[&str], platform: Option<&str>) -> Result<Vec<String>, Failure> {
        let source = tempfile::tempdir().expect("a folder");
        fs::write(source.path().join("Containerfile"), "FROM scratch\n").expect("a file");
        fs::write(source.path().join("args"), "# c\nA=file\n\nB=file\n").expect("a file");
        let source = source.path().to_str().expect("ASCII").to_owned();
        let mut all = vec!["--image", "r.example/app:1", "--source", &source];
        all.extend(flags);
        let settings = Settings::from_args(&parse(&all).expect("known flags"))?;
        let args = arguments(&settings, platform, None);
        Ok(args
            .iter()
            .map(|arg| arg.to_str().expect("UTF-8").replace(&source, "SRC"))
            .collect())
    }

    #[test]
    fn without_parameters_the_defaults_are_told_to_buildah() {
        let args = arguments_of(&[], None).expect("good");
        assert_eq!(
            args,
            [
                "build",
                "--isolation",
                "chroot",
                "--format",
                "oci",
                "--file",
                "SRC/Containerfile"
            ]
        );
        let empty = [
            "--dockerfile",
            "",
            "--context",
            "",
            "--format",
            "",
            "--build-args",
            "",
            ";",
            "--squash",
            "",
            "--push-retries",
            "",
            "--platform",
            "",
        ];
        assert_eq!(arguments_of(&empty, None).expect("empty is absent"), args);
    }

    #[test]
    fn every_parameter_reaches_buildah() {
        let args = arguments_of(
            &[
                "--format",
                "oci",
                "--buildah-format",
                "docker",
                "--build-args",
                "B=1\n\"2\"",
                "",
                ";",
                "--build-args-file",
                "args",
                "--target-stage",
                "t",
                "--squash",
                "--no-cache",
                "--skip-unused-stages=false",
                "--env-var",
                "E=1",
                "--label",
                "org.opencontainers.image.source=mine",
                "--annotation",
                "x=y",
                "--source-url",
                "https://s.example",
                "--commit-sha",
                "abc",
                "--image-expires-after",
                "7d",
                "--source-date-epoch",
                "12",
                "--hermetic",
                "--isolation",
                "oci",
            ],
            Some("linux/arm64"),
        )
        .expect("good");
        assert_eq!(
            args[1..7],
            [
                "--isolation",
                "oci",
                "--format",
                "docker",
                "--file",
                "SRC/Containerfile"
            ]
        );
        let rest = args[7..].join("|");
        assert_eq!(
            rest,
            "--platform|linux/arm64|--target|t|--timestamp|12|--squash|--no-cache|--skip-unused-stages=false|--pull=never|--network=none|\
             --build-arg|A=file|--build-arg|B=file|--build-arg|B=1\n\"2\"|--env|E=1|\
             --label|org.opencontainers.image.revision=abc|--label|quay.expires-after=7d|--label|org.opencontainers.image.source=mine"
        );
    }

    #[test]
    fn an_oci_image_has_the_source_in_its_annotations_too() {
        let args = arguments_of(
            &["--source-url", "https://s.example", "--commit-sha", "abc"],
            None,
        )
        .expect("good")
        .join(" ");
        assert!(
            args.contains("--annotation org.opencontainers.image.source=https://s.example"),
            "{args}"
        );
        assert!(
            args.contains("--label org.opencontainers.image.revision=abc"),
            "{args}"
        );
    }

    #[test]
    fn the_answer_of_the_storage_becomes_a_base_image() {
        let digest = Digest::of(b"x");
        let found = base(&format!("docker.io/library/alpine:3 {digest}\n")).expect("well formed");
        assert_eq!(
            (found.repository.to_string().as_str(), found.digest),
            ("index.docker.io/library/alpine", digest)
        );
        assert_eq!(base(""), None);
        assert_eq!(base("a sha256:00"), None);
    }
}
