//! `tekseal-buildah-push`: builds an image with buildah, pushes it, and writes the results that name it.
//!
//! ```text
//! Args ─ Settings::from_args ─▶ Settings ─ build ─▶ Built ─ push ─▶ Pushed ─┬─▶ record (outside a cluster)
//!   flags, environment           checked     │  buildah    buildah, registry └─▶ results, last of all
//!                                            └ Tool: driver, network, credentials, signals
//! ```
//!
//! No shell stands between the parameters and buildah. The digest in the results is the one that buildah wrote for the pushed manifest,
//! and the registry was asked for it. Results are written when all that is done and not before, so a digest in them is an image that
//! can be pulled.

mod args;
mod authfile;
mod build;
mod complaint;
mod containerfile;
mod extra_args;
mod push;
mod record;
mod refused;
mod sbom;
mod settings;
mod source;
mod tls;
mod tool;
mod variables;

use std::fs;

use jiff::Timestamp;
use serde_json::json;
use tekseal_core::Digest;
use tekseal_core::hints::{ARTIFACT_OUTPUTS, IMAGE_DIGEST, IMAGE_URL, IMAGES};

use crate::image_results::{self, IMAGE_REF};
use crate::registry_args::Access;
use crate::results::Results;
use crate::{Failure, install, log};

use build::What;
use push::Pushed;
use record::Told;
use settings::{Platforms, Settings};
use tls::Tls;
use tool::Tool;

pub use args::Args;

/// Builds, pushes and writes the results; or, with `--install`, only copies this program.
///
/// # Errors
/// Exit 1 if the build fails; 2 for bad parameters and refused credentials; 3 if a registry, the disk or the results folder fails; 143 and
/// 130 after SIGTERM and SIGINT. Then no result and no record is left.
pub async fn run(args: &Args) -> Result<(), Failure> {
    if let Some(folder) = args.install.folder() {
        return install::install(folder);
    }
    let started = Timestamp::now();
    let settings = Settings::from_args(args)?;
    let mut results = args.results.open()?;
    check_size(&settings)?;
    let mut access = args.registry.clone();
    if settings.trust.said() == Some(Tls::Insecure) {
        access
            .insecure
            .push(settings.image.repository.registry().to_owned());
    }
    let registry = access.open(if settings.additional_tags.is_empty() {
        Access::Pull
    } else {
        Access::PullPush
    })?;
    let mut tool = Tool::prepare(&settings, &args.registry).await?;
    let built = build::build(&mut tool, &settings).await?;
    if let Some(sbom) = &settings.sbom {
        let made = sbom::make(&mut tool, sbom, &built.what).await;
        if let (Err(_), What::Index(list)) = (&made, &built.what) {
            build::forget(&mut tool, list).await;
        }
        made?;
    }
    if !settings.push {
        if let What::Index(list) = &built.what {
            build::forget(&mut tool, list).await;
        }
        log::info(
            "push skipped, results are empty",
            &[("image", &settings.image.url)],
        );
        for name in [IMAGE_URL, IMAGE_DIGEST, IMAGE_REF, IMAGES] {
            results.set(name, "");
        }
        return Ok(results.commit()?);
    }
    let pushed = push::push(&mut tool, &settings, &built.what, &registry).await;
    if let What::Index(list) = &built.what {
        build::forget(&mut tool, list).await;
    }
    fill(&mut results, &settings, &pushed?);
    let Some(path) = &settings.record else {
        return Ok(results.commit()?);
    };
    let told = Told {
        started,
        completed: Timestamp::now(),
        results: results.values(),
        bases: &built.bases,
        source: settings.source.as_ref(),
        containerfile: &settings.containerfile_in_source,
    };
    record::write(path, args, &told)?;
    log::info("recorded", &[("file", &path.display())]);
    results.commit().inspect_err(|_| {
        // The record speaks of results that are not there.
        let _ = fs::remove_file(path);
    })?;
    Ok(())
}

/// Refuses results that will not fit while nothing is built yet: the lengths of digests are known.
fn check_size(settings: &Settings) -> Result<(), Failure> {
    let digest = Digest::of(b"");
    let children = match &settings.platforms {
        Platforms::Host | Platforms::One(_) => Vec::new(),
        Platforms::Index(platforms) => vec![digest.clone(); platforms.len()],
    };
    let mut trial = Results::open(None)?;
    fill(&mut trial, settings, &Pushed { digest, children });
    Ok(trial.check_size()?)
}

fn fill(results: &mut Results, settings: &Settings, pushed: &Pushed) {
    let image = &settings.image;
    image_results::fill(results, image, &pushed.digest, &pushed.children);
    if settings.artifact_outputs {
        let object = json!({"uri": image.repository.to_string(), "digest": pushed.digest, "isBuildArtifact": "true"});
        results.set(&format!("IMAGE_{ARTIFACT_OUTPUTS}"), object.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::args::tests::parse;
    use super::*;

    /// The settings for `flags`, with a Containerfile in place.
    fn settings(flags: &[&str]) -> Result<Settings, Failure> {
        let source = tempfile::tempdir().expect("a folder");
        fs::write(source.path().join("Containerfile"), "FROM scratch\n").expect("a file");
        let mut all = vec!["--source", source.path().to_str().expect("ASCII")];
        all.extend(flags);
        Settings::from_args(&parse(&all).expect("known flags"))
    }

    fn values(flags: &[&str], children: usize) -> Vec<String> {
        let settings = settings(flags).expect("good parameters");
        let mut results = Results::open(None).expect("no folder");
        let children = (0..children)
            .map(|at| Digest::of(&[u8::try_from(at).expect("few")]))
            .collect();
        fill(
            &mut results,
            &settings,
            &Pushed {
                digest: Digest::of(b"x"),
                children,
            },
        );
        results
            .values()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn one_image_is_named_by_url_and_digest() {
        let digest = Digest::of(b"x");
        assert_eq!(
            values(&["--image", " host:5000/app:V1\n"], 0),
            [
                "IMAGE_URL=host:5000/app:V1".to_owned(),
                format!("IMAGE_DIGEST={digest}"),
                format!("IMAGE_REF=host:5000/app@{digest}"),
                "IMAGES=".to_owned(),
            ]
        );
    }

    #[test]
    fn an_index_comes_before_its_images() {
        let values = values(&["--image", "host:5000/app", "--artifact-outputs"], 2);
        let (index, one, two) = (Digest::of(b"x"), Digest::of(&[0]), Digest::of(&[1]));
        assert_eq!(
            values[3],
            format!("IMAGES=host:5000/app@{index},host:5000/app@{one},host:5000/app@{two}")
        );
        let object = format!(
            r#"IMAGE_ARTIFACT_OUTPUTS={{"digest":"{index}","isBuildArtifact":"true","uri":"host:5000/app"}}"#
        );
        assert_eq!(values[4], object);
    }

    #[test]
    fn bad_images_are_refused_with_a_hint() {
        for (image, word) in [
            ("", "missing"),
            ("r.example/app:1@sha256:00", "digest"),
            ("r.example/app b", "white space"),
            ("r.example/app:1\nr.example/b", "white space"),
            ("r.example/App:1", "App"),
            ("docker://r.example/app", "scheme"),
            ("r.example/app/:1", "empty part"),
            ("r.example/app:bad:tag", "bad"),
        ] {
            let failure = settings(&["--image", image]).expect_err(image);
            assert_eq!(failure.code(), crate::exit::MISUSE, "{image}");
            assert!(
                failure.message().contains(word),
                "{image}: {}",
                failure.message()
            );
        }
    }

    #[test]
    fn bad_parameters_are_misuse_and_name_themselves() {
        for (flags, word) in [
            (&["--format", "oic"] as &[&str], "FORMAT"),
            (&["--tlsverify", "no"], "TLSVERIFY"),
            (&["--squash", "yes"], "SQUASH"),
            (&["--isolation", "none"], "isolation"),
            (&["--push-retries", "-"], "PUSH_RETRIES"),
            (&["--source-date-epoch", "today"], "SOURCE_DATE_EPOCH"),
            (&["--log-level", "loud"], "LOG_LEVEL"),
            (&["--platform", "arm64"], "platform"),
            (
                &["--platform", "linux/arm64", "--platform", "linux/arm64"],
                "once",
            ),
            (
                &[
                    "--platform",
                    "linux/arm64",
                    "--platforms",
                    "linux/amd64",
                    ";",
                ],
                "PLATFORMS",
            ),
            (&["--additional-tag", "a/b"], "ADDITIONAL_TAGS"),
            (&["--context", "absent"], "CONTEXT"),
            (&["--context", "Containerfile"], "CONTEXT"),
            (&["--dockerfile", "absent"], "absent"),
            (&["--build-args-file", "absent"], "BUILD_ARGS_FILE"),
            (&["--build-args-file", "Containerfile"], "line 1"),
            (&["--build-arg", "NAME"], "BUILD_ARGS"),
            (&["--env-var", "NAME"], "ENV_VARS"),
            (&["--record", "/absent/folder/run.json"], "/absent/folder"),
            (&["--record", "/"], "record"),
            (&["--context", ".."], "outside of the source"),
            (&["--additional-secret", "absent"], "ADDITIONAL_SECRET"),
            (&["--build-extra-args", "--tag x"], "BUILD_EXTRA_ARGS"),
            (&["--push-extra-args", "'"], "PUSH_EXTRA_ARGS"),
            (&["--skip-push", "--record", "x"], "record"),
            (&["--sbom-tool", "x {image} {output}"], "SBOM_OUTPUT"),
            (&["--sbom-output", "x"], "SBOM_TOOL"),
        ] {
            let mut all = vec!["--image", "r.example/app:1"];
            all.extend(flags);
            let failure = settings(&all).expect_err(word);
            assert_eq!(failure.code(), crate::exit::MISUSE, "{word}");
            let hints = format!("{failure:?}");
            assert!(
                failure.message().contains(word) || hints.contains(word),
                "{word}: {}",
                failure.message()
            );
        }
    }

    #[test]
    fn an_alias_wins_when_it_is_not_empty() {
        let flags = [
            "--image",
            "r/a",
            "--tlsverify",
            "true",
            "--tls-verify",
            "false",
            "--format",
            "docker",
            "--buildah-format",
            "",
        ];
        let settings = settings(&flags).expect("good parameters");
        assert_eq!(
            (settings.trust.said(), settings.format),
            (Some(Tls::Insecure), crate::parameters::Format::Docker)
        );
    }

    #[test]
    fn too_many_platforms_are_refused_before_the_build() {
        let image = format!("r.example/{}:1", "a".repeat(200));
        let platforms: Vec<_> = (0..10).map(|at| format!("linux/p{at}")).collect();
        let mut flags = vec!["--image", &image, "--platforms"];
        flags.extend(platforms.iter().map(String::as_str));
        let failure = check_size(&settings(&flags).expect("good parameters"))
            .expect_err("11 names of 280 bytes");
        assert_eq!(failure.code(), crate::exit::MISUSE);
        check_size(&settings(&flags[..6]).expect("good parameters")).expect("three platforms fit");
    }

    #[test]
    fn tags_that_are_there_already_are_left_out() {
        let settings = settings(&[
            "--image",
            "r/a:1",
            "--additional-tags",
            "1",
            "2",
            " 2",
            "",
            "3",
            ";",
        ])
        .expect("good parameters");
        assert_eq!(settings.additional_tags, ["2", "3"]);
    }

    #[test]
    fn each_file_of_a_mounted_secret_is_a_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("..data")).expect("a folder");
        fs::write(folder.path().join("token"), "x").expect("a file");
        let path = folder.path().to_str().expect("ASCII");
        let found = settings(&["--image", "r/a", "--additional-secret", path])
            .expect("good parameters")
            .secrets;
        assert_eq!(found, [("token".to_owned(), folder.path().join("token"))]);
    }
}
