//! The credentials file that buildah is given: the one that was named, or a copy of it in the one form that buildah reads.
//!
//! Kubernetes and Docker take `username` and `password` of an entry as well as `auth`, which holds both in base64. buildah reads `auth` alone,
//! and takes an entry without it for none.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::settings::Settings;
use crate::Failure;
use crate::files::{self, Mode};
use crate::registry_args::{MAX_CONFIG, RegistryArgs};

const DOCKER_CONFIG: &str = "DOCKER_CONFIG";

/// The file for buildah, in `scratch` if it had to be made.
///
/// # Errors
/// Exit 2 if a file cannot be read, 3 if none can be written.
pub(super) fn for_buildah(
    settings: &Settings,
    registry: &RegistryArgs,
    scratch: &Path,
) -> Result<Option<PathBuf>, Failure> {
    let Some(file) = chosen(settings, registry)? else {
        return Ok(None);
    };
    let bytes = files::read(&file, MAX_CONFIG, "credentials file")?;
    let Some(copy) = in_the_form_of_buildah(&bytes) else {
        return Ok(Some(file));
    };
    let path = scratch.join("auth.json");
    files::write(&path, copy.as_bytes(), Mode::Secret)?;
    Ok(Some(path))
}

/// The one that was named, else the one that knows the image's registry.
fn chosen(settings: &Settings, registry: &RegistryArgs) -> Result<Option<PathBuf>, Failure> {
    if let Some(file) = registry.auth_file() {
        return Ok(Some(file));
    }
    if let Some(folder) = registry.dockerconfig() {
        // Absence of both is told when the registry client reads its credentials.
        return Ok(["config.json", ".dockerconfigjson"]
            .iter()
            .map(|name| folder.join(name))
            .find(|path| path.is_file()));
    }
    let credentials = registry.credentials()?;
    let found = credentials.for_repository(&settings.image.repository);
    let found = found
        .first()
        .map(|entry| PathBuf::from(entry.file()))
        .filter(|file| {
            // buildah does not read the oldest format.
            !file.ends_with(".dockercfg")
        });
    Ok(found.or_else(|| of_secret(env::var_os(DOCKER_CONFIG))))
}

/// The file of a Secret that is mounted at `DOCKER_CONFIG`, where buildah looks for `config.json` alone. Base images may need it, also where
/// it knows nothing of the image's registry.
fn of_secret(folder: Option<OsString>) -> Option<PathBuf> {
    let folder = PathBuf::from(folder.filter(|folder| !folder.is_empty())?);
    let file = folder.join(".dockerconfigjson");
    (!folder.join("config.json").is_file() && file.is_file()).then_some(file)
}

/// Variables that name a credentials file, or its folder, where there is none: buildah would fail with them, also where no credentials are
/// needed, while others (docker, and what asks registries here) go on without.
pub(super) fn leading_nowhere() -> Vec<&'static str> {
    let names = [
        ("REGISTRY_AUTH_FILE", None),
        (DOCKER_CONFIG, Some("config.json")),
    ];
    let names = names.into_iter().filter(|(name, file)| {
        let value = env::var_os(name).filter(|value| !value.is_empty());
        value.is_some_and(|value| is_no_file(PathBuf::from(value), *file))
    });
    names.map(|(name, _)| name).collect()
}

/// Whether nothing is at `place`, or at `file` in it, that could be read as a file.
fn is_no_file(place: PathBuf, file: Option<&str>) -> bool {
    let path = file.map_or_else(|| place.clone(), |file| place.join(file));
    !path.is_file()
}

/// The same credentials with `auth` in each entry, if one has `username` and `password` in its place. What is no credentials file is left
/// to whoever reads it.
fn in_the_form_of_buildah(bytes: &[u8]) -> Option<String> {
    let mut document: Value = serde_json::from_slice(bytes).ok()?;
    let mut is_changed = false;
    for entry in document.get_mut("auths")?.as_object_mut()?.values_mut() {
        if let Some(entry) = entry.as_object_mut() {
            is_changed |= add_auth(entry);
        }
    }
    is_changed.then(|| document.to_string())
}

fn add_auth(entry: &mut Map<String, Value>) -> bool {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let (auth, name, password) = (text("auth"), text("username"), text("password"));
    if !auth.is_empty() || name.is_empty() || password.is_empty() {
        return false;
    }
    let auth = STANDARD.encode(format!("{name}:{password}"));
    entry.insert("auth".to_owned(), auth.into());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_password_become_what_buildah_reads() {
        let made = in_the_form_of_buildah(
            br#"{"auths": {
                "r.example.com/team": {"username": "u", "password": "p:w"},
                "r.example.com": {"auth": "YTpi", "username": "x", "password": "y"},
                "token.example.com": {"identitytoken": "t", "username": "only"}
            }, "credsStore": "desktop"}"#,
        );
        let made: Value = serde_json::from_str(&made.expect("one had no auth")).expect("JSON");
        assert_eq!(made["auths"]["r.example.com/team"]["auth"], "dTpwOnc=");
        assert_eq!(made["auths"]["r.example.com"]["auth"], "YTpi");
        assert_eq!(made["auths"]["token.example.com"].get("auth"), None);
        assert_eq!(made["credsStore"], "desktop");
    }

    #[test]
    fn what_needs_no_change_is_used_as_it_is() {
        for file in [
            r#"{"auths": {"r.example.com": {"auth": "YTpi"}}}"#,
            r#"{"auths": {"r.example.com": {}}}"#,
            r#"{"auths": {"r.example.com": 1}}"#,
            r#"{"auths": []}"#,
            "{}",
            "no JSON",
        ] {
            assert_eq!(in_the_form_of_buildah(file.as_bytes()), None, "{file}");
        }
    }

    #[test]
    fn a_variable_that_leads_to_no_file_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = || folder.path().to_owned();
        let of_secret = || of_secret(Some(place().into_os_string()));
        assert!(is_no_file(place(), Some("config.json")) && is_no_file(place(), None));
        assert_eq!(of_secret(), None);
        let secret = folder.path().join(".dockerconfigjson");
        std::fs::write(&secret, "{}").expect("a file");
        assert_eq!(of_secret(), Some(secret.clone()));
        std::fs::write(folder.path().join("config.json"), "{}").expect("a file");
        assert!(!is_no_file(place(), Some("config.json")) && !is_no_file(secret, None));
        assert_eq!(of_secret(), None, "buildah finds config.json itself");
    }
}
