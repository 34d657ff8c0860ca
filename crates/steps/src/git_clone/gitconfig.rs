//! The private `.gitconfig`: what we set, and of the user's own what cannot weaken it.
//!
//! A whole `.gitconfig` can start programs, turn verification off and send git elsewhere than the results say. So settings are taken by
//! name, and the names of those that are left out are told.

use std::fmt::Write as _;

use super::settings::{Access, Certificates};

/// What becomes of a setting of the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Taken.
    Keep,
    /// Taken; its value is a secret.
    KeepSecret,
    /// Taken if the value is one of these.
    KeepIf(&'static [&'static str]),
    /// Not needed if the value is one of these: ours says the same.
    Ours(&'static [&'static str]),
    /// Of no use here.
    Ignore,
    /// Left out, and told.
    LeaveOut,
}

/// What git LFS installs for itself.
const LFS: &[&str] = &[
    "git-lfs clean -- %f",
    "git-lfs smudge -- %f",
    "git-lfs smudge --skip -- %f",
    "git-lfs filter-process",
    "git-lfs filter-process --skip",
    "true",
];

/// Judges a setting by its name, as git lists it: section and last part in lower case.
pub(super) fn judge(key: &str) -> Verdict {
    let Some((section, middle, name)) = parts(key) else {
        return Verdict::LeaveOut;
    };
    match (section, middle, name) {
        ("credential", _, "helper") => Verdict::Ours(&["store", ""]),
        ("credential", _, "username" | "usehttppath") => Verdict::Keep,
        ("http", _, "extraheader") => Verdict::KeepSecret,
        // The base, where a token may be, is hidden in any line as each URL's is.
        ("url", Some(_), "insteadof") => Verdict::Keep,
        ("filter", Some("lfs"), "clean" | "smudge" | "process" | "required") => {
            Verdict::KeepIf(LFS)
        }
        ("user" | "author" | "committer" | "safe" | "init", ..) => Verdict::Ignore,
        _ => Verdict::LeaveOut,
    }
}

/// `section[.middle].name`; the middle may have dots.
fn parts(key: &str) -> Option<(&str, Option<&str>, &str)> {
    let (section, rest) = key.split_once('.')?;
    Some(match rest.rsplit_once('.') {
        Some((middle, name)) => (section, Some(middle), name),
        None => (section, None, rest),
    })
}

/// A setting as it stands in a file.
pub(super) fn entry(key: &str, value: &str) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let (section, middle, name) = parts(key).unwrap_or((key, None, ""));
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = match middle {
        Some(middle) => writeln!(text, "[{section} \"{}\"]", escaped(middle)),
        None => writeln!(text, "[{section}]"),
    };
    let _ = writeln!(text, "\t{name} = \"{}\"", escaped(value));
    text
}

/// What we set.
pub(super) fn base(access: &Access, has_store: bool) -> String {
    let verify = match access.certificates {
        Certificates::Verify => "true",
        Certificates::Insecure => "false",
    };
    let mut settings = vec![
        // Every repository that git opens here was made by this run; a volume may belong to somebody else all the same.
        ("safe.directory", "*"),
        ("core.hooksPath", "/dev/null"),
        ("core.fsmonitor", "false"),
        ("http.sslVerify", verify),
        // A server that sends nothing for two minutes has gone away.
        ("http.lowSpeedLimit", "1"),
        ("http.lowSpeedTime", "120"),
        ("submodule.recurse", "false"),
        ("fetch.recurseSubmodules", "false"),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
        ("advice.detachedHead", "false"),
        ("init.defaultBranch", "main"),
    ];
    if has_store {
        settings.push(("credential.helper", "store"));
    }
    settings
        .iter()
        .map(|(key, value)| entry(key, value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_run_or_weaken_something_is_left_out() {
        for key in [
            "http.sslverify",
            "http.https://h/.sslverify",
            "http.sslcainfo",
            "http.proxy",
            "http.followredirects",
            "core.sshcommand",
            "core.askpass",
            "core.hookspath",
            "core.fsmonitor",
            "core.gitproxy",
            "core.pager",
            "filter.x.smudge",
            "filter.lfs.other",
            "include.path",
            "includeif.gitdir:/.path",
            "alias.x",
            "protocol.ext.allow",
            "url.https://h/.pushinsteadof",
            "remote.origin.url",
            "remote.origin.uploadpack",
            "submodule.x.update",
            "credential.interactive",
            "x",
            "",
        ] {
            assert_eq!(judge(key), Verdict::LeaveOut, "{key}");
        }
        for key in ["credential.helper", "credential.https://a.b/c.helper"] {
            assert_eq!(judge(key), Verdict::Ours(&["store", ""]), "{key}");
        }
        assert_eq!(judge("credential.https://a.b.username"), Verdict::Keep);
        assert_eq!(judge("http.https://h.extraheader"), Verdict::KeepSecret);
        assert_eq!(judge("filter.lfs.process"), Verdict::KeepIf(LFS));
    }

    #[test]
    fn a_setting_is_read_back_as_it_was() {
        assert_eq!(
            entry("url.https://a\"\\b.c/.insteadof", "git@h:\\\"x # y"),
            "[url \"https://a\\\"\\\\b.c/\"]\n\tinsteadof = \"git@h:\\\\\\\"x # y\"\n"
        );
        assert_eq!(
            entry("safe.directory", "*"),
            "[safe]\n\tdirectory = \"*\"\n"
        );
    }
}
